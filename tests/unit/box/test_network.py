"""The subnet of a site's hosts is one that nothing here uses."""

from ipaddress import IPv4Network

import pytest

from millrace.box import network
from millrace.problem import Problem

USED = [IPv4Network("172.30.8.0/24"), IPv4Network("172.30.9.128/25")]


def test_the_first_subnet_that_overlaps_nothing_is_chosen() -> None:
    assert network.choose(USED, network.CANDIDATES) == IPv4Network("172.30.10.0/24")


def test_a_wide_route_leads_to_another_range() -> None:
    assert network.choose([IPv4Network("172.16.0.0/12")], network.CANDIDATES) == IPv4Network("10.213.8.0/24")


def test_when_all_are_used_the_option_is_named() -> None:
    with pytest.raises(Problem, match="--subnet"):
        network.choose([IPv4Network("0.0.0.0/0")], network.CANDIDATES)


def test_a_free_subnet_is_taken_as_asked() -> None:
    assert network.check_free("172.30.10.0/24", USED) == IPv4Network("172.30.10.0/24")


@pytest.mark.parametrize(
    ("subnet", "said"),
    [
        ("172.30.0.0/16", r"overlaps 172\.30\.8\.0/24"),
        ("172.30.10.1/24", "no IPv4 network"),
        ("rubbish", "no IPv4 network"),
        ("172.30.10.0/30", "no room"),
    ],
)
def test_a_bad_subnet_is_refused_with_the_reason(subnet: str, said: str) -> None:
    with pytest.raises(Problem, match=said):
        network.check_free(subnet, USED)
