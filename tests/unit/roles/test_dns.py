"""Zones: serial numbers that grow with the records only, and reverse zones that hold every address."""

from __future__ import annotations

from tests.unit.roles.plugins import load

zone = load("roles/dns/library/dns_zone.py")
filters = load("plugins/filter/dns.py")

FILE = "$TTL 10\n@ SOA a. b. (\n  1700000000\n  60 30 9 10 )\n@ NS a.\n"


def test_serial_is_taken_out_and_the_rest_kept() -> None:
    assert zone.split(FILE) == (FILE.replace("1700000000", "SERIAL"), 1700000000)


def test_text_without_a_serial_counts_as_older_than_any() -> None:
    assert zone.split("") == ("", 0)


def test_serial_grows_even_when_the_clock_does_not() -> None:
    assert zone.following(1700000000, 1800000000) == 1800000000
    assert zone.following(1800000000, 1700000000) == 1800000001


def test_addresses_fall_into_the_zones_of_their_networks() -> None:
    zones = filters.reverse_zones([("b.x", "192.0.2.20"), ("a.x", "192.0.2.3"), ("c.x", "198.51.100.7")])
    assert zones == [
        {"name": "100.51.198.in-addr.arpa", "pointers": [{"label": "7", "host": "c.x"}]},
        {
            "name": "2.0.192.in-addr.arpa",
            "pointers": [{"label": "20", "host": "b.x"}, {"label": "3", "host": "a.x"}],
        },
    ]


def test_ipv6_addresses_have_zones_of_64_bits() -> None:
    (found,) = filters.reverse_zones([("a.x", "2001:db8:0:1::5")])
    assert found["name"] == "1.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
    assert found["pointers"] == [{"label": "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0", "host": "a.x"}]
