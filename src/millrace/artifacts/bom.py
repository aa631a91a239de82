"""The bill of materials: which artifacts hosts install, and what each is made from."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from millrace import project

from .errors import BomError

# The C parser where there is one: the lookup plugin reads the bill in every task.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
KINDS = ("python", "jars", "tool", "project", "pages", "java")
# Counts changes of what a tar looks like, which no lock shows.
LAYOUT = 1
REQUIRED = {"kind", "version", "licence", "source", "lock"}
OPTIONAL = {"build", "omit", "program"}


@dataclass(frozen=True)
class Component:
    """One entry of the bill.

    `lock` is an absolute path, `build` names the distributions that have no wheel (of kind java: the jars
    that compile `program`, a directory), `omit` those that the lock leaves out; of kind project the parts
    of src/millrace that hosts do not run, so that a change of them is no new artifact.
    """

    name: str
    kind: str
    version: str
    licence: str
    source: str
    lock: Path
    build: tuple[str, ...] = ()
    omit: tuple[str, ...] = ()
    program: Path | None = None

    @property
    def of_jars(self) -> bool:
        """Whether its lock names jars, not distributions of Python."""
        return self.kind in ("jars", "java")


@dataclass(frozen=True)
class Bom:
    """`python` is the hosts' version ("3.13"), `platform` their wheel tag ("manylinux_2_28_x86_64")."""

    path: Path
    python: str
    platform: str
    components: dict[str, Component]

    @property
    def root(self) -> Path:
        """The clone that this bill belongs to."""
        return self.path.parent.parent

    def component(self, name: str) -> Component:
        """The entry of that name; BomError lists the names there are."""
        if name not in self.components:
            raise BomError(f"{self.path} has no component {name}; it has {', '.join(self.components)}")
        return self.components[name]

    def id(self, name: str) -> str:
        """`<version>-<8 hex>`: another id for anything that would make another artifact."""
        component = self.component(name)
        digest = hashlib.sha256()
        entry = [
            LAYOUT,
            name,
            component.kind,
            component.version,
            component.source,
            component.build,
            component.omit,
        ]
        if not component.of_jars and component.kind != "pages":
            entry += [self.python, self.platform]
        digest.update(json.dumps(entry).encode())
        digest.update(component.lock.read_bytes())
        for path in self._sources(component):
            digest.update(f"\n{path.relative_to(self.root)}\n".encode())
            digest.update(path.read_bytes())
        return f"{component.version}-{digest.hexdigest()[:8]}"

    def _sources(self, component: Component) -> Iterator[Path]:
        """Files of this repository that an artifact is made from."""
        if component.kind == "project":
            yield from project_files(self.root, component.omit)
        if component.kind == "pages":
            yield from pages_files(self.root)
        if component.program:
            yield from program_files(component.program)


def project_files(root: Path, omit: Sequence[str] = ()) -> Iterator[Path]:
    """What this repository's own wheel is made from, in a fixed order, without the parts named in `omit`."""
    yield root / "pyproject.toml"
    package = root / "src" / "millrace"
    for path in sorted(package.rglob("*")):
        parts = path.relative_to(package).parts
        if path.is_file() and "__pycache__" not in parts and parts[0] not in omit:
            yield path


def program_files(program: Path) -> Iterator[Path]:
    """The sources of a Java program, in a fixed order."""
    yield from sorted(program.rglob("*.java"))


def pages_files(root: Path) -> Iterator[Path]:
    """What the documentation is made from, in a fixed order: pages, and what their tables are read from."""
    playbooks = root / "playbooks"
    yield from (root / "mkdocs.yml", root / "README.md", playbooks / "site.yml", playbooks / "bom.yml")
    places = [playbooks / "group_vars", playbooks / "locks"]
    places += [root / name for name in ("docs", "requirements", "src", "tests/docs")]
    for place in (
        *places,
        *sorted(playbooks.glob("roles/*/defaults")),
        *sorted(playbooks.glob("roles/*/meta")),
    ):
        for path in sorted(place.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path
    yield playbooks / "roles/prometheus/files/millrace.rules.yml"


def load_bom(path: Path | None = None) -> Bom:
    """Reads and checks a bill of materials, this clone's by default. Raises BomError."""
    path = path or project.playbooks() / "bom.yml"
    try:
        data = yaml.load(path.read_text(), LOADER)
    except FileNotFoundError:
        raise BomError(f"{path} does not exist: run millrace from a clone of its repository") from None
    except yaml.YAMLError as error:
        raise BomError(f"{path} is not YAML: {error}") from None
    if not isinstance(data, dict):
        raise BomError(f"{path} is empty")
    for key in ("bom_python", "bom_platform", "bom_components"):
        if not data.get(key):
            raise BomError(f"{path} has no {key}")
    components = {name: _component(path, name, entry) for name, entry in data["bom_components"].items()}
    return Bom(path, str(data["bom_python"]), str(data["bom_platform"]), components)


def _component(path: Path, name: str, entry: Any) -> Component:
    where = f"{path}: component {name}"
    if not isinstance(entry, dict):
        raise BomError(f"{where} is not a mapping")
    if missing := REQUIRED - entry.keys():
        raise BomError(f"{where} has no {', '.join(sorted(missing))}")
    if unknown := entry.keys() - REQUIRED - OPTIONAL:
        raise BomError(f"{where} has unknown {', '.join(sorted(unknown))}; known are {_known()}")
    if entry["kind"] not in KINDS:
        raise BomError(f"{where} has kind {entry['kind']}; known are {', '.join(KINDS)}")
    if not isinstance(entry["version"], str):
        raise BomError(f"{where} has version {entry['version']!r}, which is no string: put it in quotes")
    lock = path.parent / entry["lock"]
    if not lock.is_file():
        raise BomError(f"{where} has lock {entry['lock']}, which does not exist")
    build, omit = tuple(entry.get("build", ())), tuple(entry.get("omit", ()))
    program = (path.parent / entry["program"]).resolve() if "program" in entry else None
    if (entry["kind"] == "java") != bool(program and any(program_files(program))):
        raise BomError(f"{where} of kind java, and no other, has a `program`, a directory with .java files")
    return Component(
        name, entry["kind"], entry["version"], entry["licence"], entry["source"], lock, build, omit, program
    )


def _known() -> str:
    return ", ".join(sorted(REQUIRED | OPTIONAL))
