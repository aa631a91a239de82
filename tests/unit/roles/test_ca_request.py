"""A certificate is asked for when, and only when, the host has no right one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.roles.plugins import load

request = load("roles/ca/library/ca_request.py")
NAMES = ["node1.millrace.internal", "node1", "192.0.2.10", "2001:db8::1"]


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def sign(directory: Path, names: list[str], days: int, authority: str = "ca") -> None:
    """Make host.crt for host.key as the authority would, starting now."""
    (directory / "host.csr").write_text(request.request(directory / "host.key", names))
    openssl(
        "x509", "-req", "-in", directory / "host.csr", "-CA", directory / f"{authority}.crt",
        "-CAkey", directory / f"{authority}.key", "-days", days, "-copy_extensions", "copyall",
        "-out", directory / "host.crt",
    )  # fmt: skip


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """A directory with two authorities and a host's key with its certificate."""
    for name in ("ca", "other"):
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", tmp_path / f"{name}.key",
            "-out", tmp_path / f"{name}.crt", "-days", 100,
        )  # fmt: skip
    request.make_key(tmp_path / "host.key", tmp_path.stat().st_gid)
    sign(tmp_path, NAMES, days=90)
    return tmp_path


def why(tls: Path, names: list[str] = NAMES, authority: str = "ca") -> str:
    return request.due(tls / "host.key", tls / "host.crt", names, (tls / f"{authority}.crt").read_text())


def test_right_certificate_is_kept(tls: Path) -> None:
    assert why(tls) == ""
    assert why(tls, names=[*reversed(NAMES), NAMES[0]]) == ""


def test_missing_certificate_or_key(tls: Path) -> None:
    (tls / "host.crt").unlink()
    assert why(tls) == "there is none"


def test_other_names(tls: Path) -> None:
    assert why(tls, names=[*NAMES, "node2"]) == "it is for other names"
    assert why(tls, names=NAMES[:-1]) == "it is for other names"


def test_other_authority(tls: Path) -> None:
    assert why(tls, authority="other") == "it is of another authority"


def test_other_key(tls: Path) -> None:
    request.make_key(tls / "host.key", tls.stat().st_gid)
    assert why(tls) == "it belongs to another key"


def test_half_a_file(tls: Path) -> None:
    (tls / "host.crt").write_text((tls / "host.crt").read_text()[:200])
    assert why(tls) == "it is unreadable"


def test_renewed_when_a_third_of_its_life_is_left(tls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, day = request.time.time(), 86400
    monkeypatch.setattr(request.time, "time", lambda: now + 59 * day)
    assert why(tls) == ""
    monkeypatch.setattr(request.time, "time", lambda: now + 61 * day)
    assert why(tls) == "a third of its life is left"


def test_key_is_readable_by_its_group_alone(tls: Path) -> None:
    assert (tls / "host.key").stat().st_mode & 0o777 == 0o640
