"""What is asked of this machine before anything is changed; every refusal names the fix."""

import ipaddress
import os
import socket
from pathlib import Path

import pytest

from millrace.box import machine
from millrace.problem import Problem

BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'


def test_debian_12_and_13_will_do() -> None:
    assert machine.check_distribution(BOOKWORM) == "Debian GNU/Linux 12 (bookworm)"
    assert machine.check_distribution(BOOKWORM.replace("12", "13")).startswith("Debian")


@pytest.mark.parametrize(
    "text", [BOOKWORM.replace("12", "11"), 'ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04"\n', ""]
)
def test_another_distribution_is_refused_with_the_other_way(text: str) -> None:
    with pytest.raises(Problem, match=r"needs Debian 12 or 13.*ansible-playbook site\.yml"):
        machine.check_distribution(text)


def test_a_machine_sold_as_8_gb_is_enough_and_one_of_4_is_not() -> None:
    assert (
        machine.check_memory("MemFree: 1 kB\nMemTotal:        7600000 kB\nMemAvailable: 6000000 kB\n") > 7e9
    )
    with pytest.raises(Problem, match=r"has 4\.1 GB of memory; the demo needs 8 GB"):
        machine.check_memory("MemTotal:        4000000 kB\n")


def test_memory_that_others_use_is_not_there_for_a_site() -> None:
    meminfo = "MemTotal: 8000000 kB\nMemAvailable: 2000000 kB\n"
    with pytest.raises(Problem, match=r"2\.0 GB are free.*millrace down --site"):
        machine.check_memory(meminfo)
    assert machine.check_memory(meminfo, free=0)


@pytest.mark.parametrize("text", ["dns.example", "127.0.0.1", "::1", "10.0.0"])
def test_a_forwarder_is_an_address_that_a_container_can_ask(text: str) -> None:
    with pytest.raises(Problem, match=f"--forwarder {text} is no address"):
        machine.check_address(text)


def test_a_full_disk_is_named_with_its_purpose(tmp_path: Path) -> None:
    missing = tmp_path / "not" / "yet"
    assert machine.check_disk({"containers": missing}, needed=1) > 0
    with pytest.raises(Problem, match=rf"{tmp_path} has .* for containers; .* Free some space\.$"):
        machine.check_disk({"containers": missing}, needed=1 << 60)
    with pytest.raises(Problem, match="MILLRACE_STORE"):
        machine.check_disk({"the artifact store": missing}, needed=1 << 60)


def test_a_taken_port_says_by_whom() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Problem, match=rf"Port {port} is taken by \S+ \(process {os.getpid()}\).*--port"):
            machine.check_port(port)
    machine.check_port(port)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_dns_servers_are_the_ones_of_resolv_conf(tmp_path: Path) -> None:
    conf = write(
        tmp_path / "resolv.conf", "# made by hand\nsearch x\nnameserver 10.0.0.2\nnameserver 10.0.0.2\n"
    )
    assert machine.nameservers(conf, tmp_path / "none") == ["10.0.0.2"]


def test_behind_systemd_resolved_its_own_file_is_asked(tmp_path: Path) -> None:
    conf = write(tmp_path / "resolv.conf", "nameserver 127.0.0.53\noptions edns0\n")
    real = write(tmp_path / "real", "nameserver fe80::1%2\nnameserver 192.168.1.1\nnameserver 8.8.4.4\n")
    assert machine.nameservers(conf, real) == ["192.168.1.1", "8.8.4.4"]


@pytest.mark.parametrize(
    "text", ["", "nameserver\n", "nameserver ::1\nnameserver 127.0.0.1\n", "nameserver x\n"]
)
def test_without_a_usable_dns_server_the_option_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(Problem, match="--forwarder ADDRESS"):
        machine.nameservers(write(tmp_path / "resolv.conf", text), tmp_path / "none")


def test_routes_of_this_machine_are_networks_without_the_default(tmp_path: Path) -> None:
    table = write(
        tmp_path / "route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
        "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\n"
        "br0\t00081EAC\t00000000\t0001\t0\t0\t0\t00FFFFFF\n",
    )
    assert machine.routes(table) == [ipaddress.IPv4Network("172.30.8.0/24")]


def test_extra_certificates_are_found_where_debian_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "company").mkdir()
    certificate = write(tmp_path / "company" / "ca.crt", "x")
    write(tmp_path / "readme", "x")
    assert machine.extra_ca(tmp_path) == [certificate]
    assert machine.extra_ca(tmp_path / "none") == []
