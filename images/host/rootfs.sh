#!/bin/bash
# rootfs.sh OUT.tar [SOURCES]: a minimal Debian 13 with systemd, sshd and the Python that Ansible asks for.
# SOURCES is a sources.list for it; without one, mmdebstrap takes Debian's own archive.
set -euo pipefail
out=$1 sources=${2:-}
mode=unshare
[ "$(id -u)" = 0 ] && mode=root
packages=(
    systemd systemd-sysv dbus openssh-server sudo python3 python3-apt ca-certificates
    iproute2 iputils-ping procps curl gnupg less
)
# The empty man1 directory stays: openjdk's installation fails without it.
exec mmdebstrap --mode="$mode" --variant=minbase \
    --include="$(IFS=,; echo "${packages[*]}")" \
    --aptopt='Apt::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='mkdir -p "$1/usr/share/man/man1"' \
    trixie "$out" ${sources:+"$sources"}
