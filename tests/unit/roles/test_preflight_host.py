"""What a host says of itself, and what it used for names before it became part of a site."""

from __future__ import annotations

from tests.unit.roles.plugins import load

host = load("roles/preflight/library/preflight_host.py")


def test_nameservers_of_a_host_of_its_own() -> None:
    assert host.nameservers("search x\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n") == [
        "192.0.2.1",
        "192.0.2.2",
    ]


def test_nameservers_from_before_outlive_the_sites_resolv_conf() -> None:
    text = "# upstream: 192.0.2.1 192.0.2.2\nsearch millrace.internal\nnameserver 192.0.2.10\n"
    assert host.nameservers(text) == ["192.0.2.1", "192.0.2.2"]


def test_a_local_stub_is_followed_to_what_it_asks() -> None:
    assert host.nameservers("nameserver 127.0.0.53\n", "nameserver 192.0.2.1\n") == ["192.0.2.1"]


def test_no_nameserver_at_all() -> None:
    assert host.nameservers("") == []


def test_ssh_is_where_sshd_listens() -> None:
    # As of `Port 2200` and two times ListenAddress: a port that no address has is not listened on.
    text = "port 2200\naddressfamily any\nlistenaddress [::]:22\nlistenaddress 192.0.2.10:2222\n"
    assert host.ssh_ports(text) == [22, 2222]


def test_without_addresses_ssh_is_at_the_ports() -> None:
    assert host.ssh_ports("port 22\nport 2200\naddressfamily any\n") == [22, 2200]


def test_the_connection_in_use_is_not_cut() -> None:
    # A socket unit or a second sshd listens elsewhere than the configuration says.
    assert host.ssh_ports("port 22\n", "198.51.100.7 51234 192.0.2.10 2022") == [22, 2022]


def test_ssh_is_at_its_own_port_when_nobody_says_more() -> None:
    assert host.ssh_ports("") == [22]
