"""Generated pages hold everything that the sources declare."""

import re
from pathlib import Path

import pytest
import yaml

from tests.unit.docs.pages import ROOT, article, port_row, verbs

PLAYBOOKS = ROOT / "playbooks"
ALL = PLAYBOOKS / "group_vars/all"


def test_every_variable_of_every_role_is_listed(built: Path) -> None:
    text = article(built, "reference/roles")
    specs = sorted(PLAYBOOKS.glob("roles/*/meta/argument_specs.yml"))
    mains = [yaml.safe_load(path.read_text())["argument_specs"]["main"] for path in specs]
    wanted = [name for main in mains for name in main.get("options", {})]
    assert len(wanted) > 20
    assert [name for name in wanted if name not in text] == []


def test_examples_of_the_defaults_are_shown(built: Path) -> None:
    text = article(built, "reference/roles")
    found = [
        value
        for path in PLAYBOOKS.glob("roles/*/defaults/main.yml")
        for value in re.findall(r"^# Example: \w+: (.+)$", path.read_text(), re.M)
    ]
    assert len(found) > 5
    assert [value for value in found if f"Example: {value}" not in text] == []


def test_every_variable_of_the_site_is_listed_with_its_default(built: Path) -> None:
    text = article(built, "reference/roles")
    values = yaml.safe_load((ALL / "site.yml").read_text())
    assert [name for name in values if name not in text] == []
    assert f"site_domain {values['site_domain']}" in text


def test_every_port_and_name_is_listed(built: Path) -> None:
    text = article(built, "reference/ports")
    services = yaml.safe_load((ALL / "services.yml").read_text())["site_services"]
    for name, service in services.items():
        assert port_row(name, service) in text
        for label in service.get("name", []):
            assert f"{label}.millrace.internal" in text


def test_every_component_is_listed_with_version_and_licence(built: Path) -> None:
    text = article(built, "reference/versions")
    for name, item in yaml.safe_load((PLAYBOOKS / "bom.yml").read_text())["bom_components"].items():
        assert f"{name} {item['version']} {item['licence']} {item['source']}" in text


def test_what_a_lock_pins_is_listed(built: Path) -> None:
    text = article(built, "reference/versions")
    name, version = re.findall(r"^([a-z]\S+)==(\S+) ", (PLAYBOOKS / "locks/serving.txt").read_text(), re.M)[0]
    assert f"{name} {version}" in text
    jar = (PLAYBOOKS / "locks/kafka.sha256").read_text().split()[1].split("/")
    assert f":{jar[-3]} {jar[-2]}" in text


def test_every_size_is_listed(built: Path) -> None:
    text = article(built, "reference/sizes")
    sizes = yaml.safe_load((ALL / "sizing.yml").read_text())["site_sizes"]
    for service, settings in sizes["laptop"].items():
        for key in settings:
            row = " ".join(str(size[service][key]) for size in sizes.values())
            assert f"{service} {key} {row}" in text


@pytest.mark.parametrize("verb", sorted(verbs()))
def test_every_verb_is_listed_with_its_options(built: Path, verb: str) -> None:
    text = article(built, "reference/commands")
    command = verbs()[verb]
    assert f"millrace {verb}" in text
    options = [
        name for p in command.params if p.param_type_name == "option" for name in p.opts if not p.hidden
    ]
    assert [name for name in options if name not in text] == []


def test_public_functions_are_listed_with_their_text(built: Path) -> None:
    text = article(built, "reference/python")
    for name in ("millrace.models.write_bundle", "millrace.models.verify", "millrace.artifacts.locate"):
        assert name in text
    assert "raise VerificationFailed" in text
