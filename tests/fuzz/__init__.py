"""Broken requests, many, and a server that must stay whole: `python -m tests.fuzz --requests 100000`."""
