"""The lookup plugin gives roles what they need to know about an artifact."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from ansible.errors import AnsibleLookupError

from millrace.artifacts import fetch, load_bom
from tests.unit.artifacts.conftest import Clone

PLUGIN = Path(__file__).parents[3] / "playbooks" / "plugins" / "lookup" / "artifact.py"


@pytest.fixture
def plugin(clone: Clone, store: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The plugin, in a clone whose bill of materials has `thing`."""
    clone.add_jars("thing", a=b"a")
    (clone.bom.parent / "site.yml").touch()
    monkeypatch.setenv("MILLRACE_HOME", str(clone.root))
    monkeypatch.setenv("MILLRACE_STORE", str(store))
    spec = importlib.util.spec_from_file_location("lookup_artifact", PLUGIN)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_found(plugin: ModuleType, clone: Clone) -> None:
    (artifact,) = fetch(report=lambda line: None)
    (found,) = plugin.LookupModule().run(["thing"])
    assert found == {
        "component": "thing",
        "version": "1",
        "id": load_bom(clone.bom).id("thing"),
        "path": str(artifact.path),
        "sha256": artifact.sha256,
        "home": f"/opt/millrace/thing/{artifact.id}",
    }


@pytest.mark.parametrize(("name", "says"), [("thing", "run `./millrace fetch`"), ("thin", "it has thing")])
def test_not_found(plugin: ModuleType, name: str, says: str) -> None:
    with pytest.raises(AnsibleLookupError, match=says):
        plugin.LookupModule().run([name])
