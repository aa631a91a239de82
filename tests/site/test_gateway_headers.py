"""What the gateway tells a service of who asks.

A second HAProxy on the edge host has the first one's configuration. Only the addresses differ, and its
servers answer with what reached them.
"""

from typing import Any

import pytest

from tests.site.inside import run_program
from tests.site.live import SITE

testinfra_hosts = SITE.hosts("edge")[:1]
USER, PASSWORD = SITE.user()
BEARER = {"Authorization": "Bearer token"}
FORGED = {
    "X-Millrace-User": "root",
    "x_millrace_group": "nobody",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "elsewhere",
    "X-Forwarded-For": "192.0.2.9",
}


@pytest.fixture(scope="module")
def seen(host: Any) -> dict[str, dict[str, str]]:
    """By name of a request: the headers that reached the service, or the status when none was asked."""
    requests: dict[str, Any] = {
        "open, nobody": ("/v2/models/m", {}, False),
        "open, forged": ("/v2/models/m", FORGED, False),
        "open, login": ("/v2/models/m", {}, True),
        "open, bearer": ("/spark.connect.SparkConnectService/Config", FORGED | BEARER, False),
        "closed, login": ("/deployments", FORGED, True),
        "closed, nobody": ("/deployments", FORGED, False),
        "closed, bearer": ("/deployments", BEARER, False),
    }
    question = {"user": USER, "password": PASSWORD, "requests": requests}
    return run_program(host, "gateway_echo.py", question)


@pytest.mark.parametrize("request_", ["open, nobody", "open, forged"])
def test_a_prediction_hears_of_nobody(seen: dict[str, dict[str, str]], request_: str) -> None:
    assert not [name for name in seen[request_] if "millrace" in name or "forwarded" in name]


@pytest.mark.parametrize("request_", ["open, bearer", "closed, login"])
def test_other_services_hear_how_they_were_asked(seen: dict[str, dict[str, str]], request_: str) -> None:
    told = seen[request_]
    assert (told["x-forwarded-for"], told["x-forwarded-proto"]) == ("127.0.0.1", "https")
    assert told["x-forwarded-host"] == told["host"]


def test_a_password_of_the_site_goes_no_further(seen: dict[str, dict[str, str]]) -> None:
    for request in ("open, login", "closed, login"):
        assert "authorization" not in seen[request], request


def test_a_service_with_tokens_of_its_own_gets_them(seen: dict[str, dict[str, str]]) -> None:
    assert seen["open, bearer"]["authorization"] == BEARER["Authorization"]


def test_a_service_with_a_login_hears_who_asks(seen: dict[str, dict[str, str]]) -> None:
    told = seen["closed, login"]
    group = next(user["group"] for user in SITE.variables["site_users"] if user["name"] == USER)
    assert (told["x-millrace-user"], told["x-millrace-group"]) == (USER, group)
    assert told["x-millrace-gateway"] == SITE.secrets["gateway_to_backend"]


@pytest.mark.parametrize("request_", ["closed, nobody", "closed, bearer"])
def test_without_a_login_a_service_is_not_asked(seen: dict[str, dict[str, str]], request_: str) -> None:
    assert seen[request_] == {"status": "401"}
