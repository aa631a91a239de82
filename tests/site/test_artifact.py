"""What hosts were given from the artifact store: whole, as locked, theirs to run and nobody's to change."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
import testinfra

from millrace.artifacts.bom import Component, load_bom
from millrace.artifacts.locks import canonical, read_jars, read_requirements
from tests.site.live import SITE

testinfra_hosts = SITE.hosts("all")
ROOT = "/opt/millrace"
BOM = load_bom()
# Configuration by which pip, uv, Maven or npm would be sent to a registry.
FILES = (
    *("/etc/pip.conf", "/etc/uv", "/etc/npmrc", "/etc/maven/settings.xml"),
    *("~/.config/pip", "~/.pip", "~/.config/uv", "~/.npmrc", "~/.m2"),
)
# What they leave behind when they were there.
CACHES = ("~/.cache/pip", "~/.cache/uv", "~/.npm/_cacache")
VARIABLES = ("PIP_", "UV_", "NPM_CONFIG_", "MAVEN_")


def installed(host: Any) -> dict[str, str]:
    """Components of a host, with what `current` points to."""
    listed = host.check_output("find %s -mindepth 2 -maxdepth 2 -name current -printf '%%P %%l\\n'", ROOT)
    return {line.split("/")[0]: line.split()[1] for line in listed.splitlines()}


def of_kind(host: Any, *kinds: str) -> list[Component]:
    return [BOM.component(name) for name in installed(host) if BOM.component(name).kind in kinds]


def homes(host: Any) -> list[str]:
    """Home directories of root and of the users that services run as."""
    lines = host.check_output("getent passwd").splitlines()
    found = {line.split(":")[5] for line in lines if line.split(":")[5].startswith(("/root", "/var/lib"))}
    return sorted(found)


def test_every_component_is_somewhere_in_the_version_of_the_bill() -> None:
    found: dict[str, set[str]] = {name: set() for name in BOM.components}
    for name in SITE.hosts("all"):
        for component, current in installed(testinfra.get_host(name)).items():
            found[component].add(current)
    assert found == {name: {BOM.id(name)} for name in BOM.components}, "converge the site from this clone"


def test_what_is_there_is_whole_and_nothing_else_is(host: Any) -> None:
    assert set(host.check_output("ls -A %s", ROOT).split()) <= set(BOM.components)
    for component, current in installed(host).items():
        home = f"{ROOT}/{component}"
        assert host.file(f"{home}/{current}/.complete").exists, f"{component} was cut short"
        # The one before may stay, for what still runs from it.
        entries = host.check_output("ls -A %s", home).split()
        assert len(entries) <= 3, f"{component}: {entries}"
        assert not [entry for entry in entries if entry.startswith(".")], f"{component}: {entries}"


def test_nobody_but_root_can_change_it(host: Any) -> None:
    search = r"find %s -xdev ! -type l \( ! -uid 0 -o ! -gid 0 -o -perm /022 \)"
    assert host.check_output(search, ROOT) == ""


def test_everybody_can_run_it(host: Any) -> None:
    for component in of_kind(host, "python", "project"):
        python = f"{ROOT}/{component.name}/current/bin/python"
        run = host.run("setpriv --reuid=nobody --regid=nogroup --clear-groups %s -c ''", python)
        assert run.rc == 0, f"{component.name}: {run.stderr}"


def test_python_environments_hold_what_is_locked_and_nothing_else(host: Any) -> None:
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    for component in of_kind(host, "python", "project"):
        python = f"{ROOT}/{component.name}/current/bin/python"
        found = set()
        for pin in host.check_output("%s -I -c %s", python, code).split():
            name, _, version = pin.partition("==")
            found.add((canonical(name), version))
        omitted = component.omit if component.kind == "python" else ()
        locked = {(r.name, r.version) for r in read_requirements(component.lock) if r.name not in omitted}
        own = {("millrace", component.version)} if component.kind == "project" else set()
        assert found == locked | own, component.name


def test_jars_are_the_locked_ones_to_the_byte(host: Any) -> None:
    for component in of_kind(host, "jars", "java"):
        directory = f"{ROOT}/{component.name}/current/lib"
        lines = host.check_output(f"cd {shlex.quote(directory)} && sha256sum *").splitlines()
        found = {line.split()[1]: line.split()[0] for line in lines}
        # Our own program is made of its sources, which the component's id tells of.
        if component.program:
            assert found.pop(f"millrace-{component.name}.jar")
        locked = [jar for jar in read_jars(component.lock) if jar.artifact not in component.build]
        assert found == {jar.path.name: jar.sha256 for jar in locked}, component.name


def test_what_runs_is_what_current_names(host: Any) -> None:
    current = installed(host)
    words = {word for line in host.check_output("ps -e -ww -o args=").splitlines() for word in line.split()}
    running = {tuple(word.removeprefix(f"{ROOT}/").split("/")[:2]) for word in words if word.startswith(ROOT)}
    assert running, "nothing runs from the store's artifacts"
    old = {(name, version) for name, version in running if version not in ("current", current.get(name))}
    assert not old, f"still runs from what was replaced: {old}"


def test_no_registry_is_configured_or_was_asked(host: Any) -> None:
    paths = [path for path in (*FILES, *CACHES) if path.startswith("/")]
    paths += [path.replace("~", home) for home in homes(host) for path in (*FILES, *CACHES) if path[0] == "~"]
    found = host.run(f"ls -d {' '.join(map(shlex.quote, paths))} 2> /dev/null").stdout
    assert found == "", "a registry's client was set up or used here"


@pytest.mark.parametrize("place", ["/etc/environment", "units"])
def test_no_variable_leads_to_a_registry(host: Any, place: str) -> None:
    if place == "units":
        text = host.check_output("systemctl show -p Environment 'millrace-*.service'")
    else:
        text = host.file(place).content_string if host.file(place).exists else ""
    named = [word for word in text.replace("Environment=", "").split() if word.startswith(VARIABLES)]
    assert named == []


def test_wheels_came_by_no_address(host: Any) -> None:
    """Installed from a URL or an index, a distribution remembers it (PEP 610)."""
    found = host.check_output("find %s -name direct_url.json", ROOT)
    urls = [json.loads(host.file(path).content_string)["url"] for path in found.splitlines()]
    assert [url for url in urls if not url.startswith("file:")] == []
