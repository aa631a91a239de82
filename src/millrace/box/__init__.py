"""Hosts of a site as systemd containers of a Docker engine on this machine."""

LABEL = "org.millrace.site"
