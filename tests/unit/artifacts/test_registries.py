"""Whether the registries answer is asked before anything is changed: for each component by its own client."""

from pathlib import Path
from typing import Any

import pytest

from millrace.artifacts import jars, registries, wheels
from millrace.artifacts.bom import load_bom

BOM = load_bom()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Clients that would be asked, and for what."""
    found: list[tuple[str, str]] = []

    def maven(clients: Any, shelf: Any, archives: Any, *rest: Any) -> None:
        found.extend(("maven", jar.artifact) for jar in archives)

    def pip(clients: Any, shelf: Any, pins: Any, *rest: Any) -> None:
        found.extend(("pip", pin.name) for pin in pins)

    monkeypatch.setattr(jars, "download", maven)
    monkeypatch.setattr(wheels, "download", pip)
    return found


@pytest.mark.parametrize("name", sorted(BOM.components))
def test_an_empty_store_asks_one_client_for_one_file(
    name: str, asked: list[tuple[str, str]], tmp_path: Path
) -> None:
    registries.reach([name], store=tmp_path)
    component = BOM.components[name]
    if component.kind == "pages":
        assert asked == []
        return
    ((client, file),) = asked
    assert client == ("maven" if component.source.startswith("maven:") else "pip")
    assert file in component.lock.read_text()


def test_an_empty_store_asks_both_clients(asked: list[tuple[str, str]], tmp_path: Path) -> None:
    registries.reach(store=tmp_path)
    assert sorted(client for client, _ in asked) == ["maven", "pip"]
