"""What this machine offers, and whether that is enough for a site."""

from __future__ import annotations

import ipaddress
import shutil
import socket
from pathlib import Path

from millrace.problem import Problem

DISK = 12 << 30
# What a machine sold as 8 GB shows of it.
MEMORY = 7_400_000_000
# A site and the training of its models beside it.
FREE_MEMORY = 4_000_000_000
SUPPORTED = {"debian": ("12", "13")}
EXTRA_CA = Path("/usr/local/share/ca-certificates")


def check_distribution(os_release: str) -> str:
    """Name of the distribution. Raises Problem when it is not one that the demo was made for."""
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    fields = {key: value.strip("\"'") for key, value in fields.items()}
    name = fields.get("PRETTY_NAME") or fields.get("ID") or "an unknown system"
    if fields.get("VERSION_ID") not in SUPPORTED.get(fields.get("ID", ""), ()):
        raise Problem(
            f"This machine runs {name}; the demo needs Debian 12 or 13. From another Linux, "
            "converge Debian 13 hosts with `ansible-playbook site.yml` instead."
        )
    return name


def check_memory(meminfo: str, free: int = FREE_MEMORY) -> int:
    """Bytes of memory. Raises Problem when a whole site does not fit, or not beside what runs."""
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in meminfo.splitlines() if ":" in line}
    total = sizes["MemTotal"]
    if total < MEMORY:
        raise Problem(
            f"This machine has {total / 1e9:.1f} GB of memory; the demo needs 8 GB. Use a larger machine."
        )
    available = sizes.get("MemAvailable", total)
    if available < free:
        raise Problem(
            f"Of this machine's memory {available / 1e9:.1f} GB are free; a site needs {free / 1e9:.1f} GB: "
            "end something that runs, or another site with `./millrace down --site NAME`."
        )
    return total


def check_disk(places: dict[str, Path], needed: int = DISK) -> int:
    """Free bytes where least is free; `places` are purpose -> path, there or not yet. Raises Problem."""
    least = None
    for purpose, path in places.items():
        while not path.exists():
            path = path.parent
        free = shutil.disk_usage(path).free
        if free < needed:
            raise Problem(
                f"{path} has {free / 1e9:.1f} GB free for {purpose}; the demo needs "
                f"{needed / 1e9:.0f} GB there. Free some space{_elsewhere(purpose)}."
            )
        least = free if least is None else min(least, free)
    return least or 0


def _elsewhere(purpose: str) -> str:
    return ", or set MILLRACE_STORE to a larger disk" if purpose == "the artifact store" else ""


def check_port(port: int) -> None:
    """Raises Problem, which says who has it, when a loopback port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise Problem(f"Port {port} needs root: choose one above 1023 with --port.") from error
        except OSError as error:
            holder = port_holder(port)
            raise Problem(
                f"Port {port} is taken by {holder}: end that, or choose another with --port {port + 1000}."
            ) from error


def port_holder(port: int, proc: Path = Path("/proc")) -> str:
    """Who listens on a TCP port, as far as this user may see."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        path = proc / "net" / table
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            words = line.split()
            if words[3] == "0A" and int(words[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{words[9]}]")
    for fd in proc.glob("[0-9]*/fd/*"):
        try:
            if str(fd.readlink()) in inodes:
                return f"{(fd.parents[1] / 'comm').read_text().strip()} (process {fd.parents[1].name})"
        except OSError:
            continue
    return "another program"


def nameservers(
    resolv_conf: Path = Path("/etc/resolv.conf"), resolved: Path = Path("/run/systemd/resolve/resolv.conf")
) -> list[str]:
    """DNS servers that a host of the box can ask. Raises Problem when there is none.

    Loopback addresses are this machine's alone; behind systemd-resolved the real ones are in its file.
    """
    for path in (resolv_conf, resolved):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        words = [line.split() for line in lines]
        found = [w[1] for w in words if len(w) > 1 and w[0] == "nameserver" and _usable(w[1])]
        if found:
            return list(dict.fromkeys(found))
    raise Problem(
        f"{resolv_conf} names no DNS server that a container can ask: give one with --forwarder ADDRESS."
    )


def check_address(text: str) -> str:
    """A DNS server's address, as it was given. Raises Problem."""
    if not _usable(text):
        raise Problem(
            f"--forwarder {text} is no address that a container can ask: give one like 192.168.1.1."
        )
    return text


def _usable(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # The box's network speaks IPv4 only.
    return address.version == 4 and not address.is_loopback and not address.is_unspecified


def extra_ca(directory: Path = EXTRA_CA) -> list[Path]:
    """Certificates that the owner of this machine has told it to trust."""
    return sorted(directory.rglob("*.crt")) if directory.is_dir() else []


def routes(table: Path = Path("/proc/net/route")) -> list[ipaddress.IPv4Network]:
    """Networks that this machine already has a route to, the default one aside."""
    found = []
    for line in table.read_text().splitlines()[1:]:
        words = line.split()
        address, mask = (int.from_bytes(bytes.fromhex(words[i]), "little") for i in (1, 7))
        if mask:
            found.append(ipaddress.IPv4Network((address, mask.bit_count())))
    return found
