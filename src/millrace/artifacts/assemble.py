"""What the tar of each kind of component consists of."""

import shutil
import sys
import threading
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from . import jars, java, wheels
from .bom import Bom, Component, project_files
from .client import Clients
from .errors import BrokenDownload, ClientFailed
from .locks import Jar, Requirement, read_jars, read_requirements
from .pack import Member
from .store import Store, digest

Wheel = tuple[str, str, Path, str]


class Workshop:
    """Brings and makes the parts of components; its methods may run in several threads."""

    def __init__(self, bom: Bom, store: Store, names: Sequence[str]) -> None:
        self.bom = bom
        self.components = [bom.component(name) for name in names]
        self.store = store
        self.clients = Clients()
        self.target = wheels.Target(bom.python, bom.platform)
        # One pip at a time, so that what two components share comes once; Maven's repository wants it too.
        self._pip = threading.Lock()
        self._mvn = threading.Lock()

    def members(self, component: Component, tmp: Path) -> list[Member]:
        """The files of a component's tar; brings what the store lacks."""
        kinds: dict[str, Callable[[Component, Path], list[Member]]] = {
            "python": self._python, "jars": self._jars, "tool": self._tool, "project": self._project,
            "pages": self._pages, "java": self._java,
        }  # fmt: skip
        return kinds[component.kind](component, tmp)

    def _together(self, components: Sequence[Component]) -> list[Jar]:
        # A project holds one version of an artifact; the first component's is the one that is needed now.
        chosen: dict[tuple[str, str, str], Jar] = {}
        for jar in (jar for component in components for jar in self.missing_jars(component)):
            chosen.setdefault((jar.group, jar.artifact, jar.classifier), jar)
        return list(chosen.values())

    def missing_jars(self, component: Component) -> list[Jar]:
        """What a component of kind jars or java still has to download."""
        return [jar for jar in read_jars(component.lock) if not self.store.kept(jar.sha256)]

    def missing_wheels(self, component: Component) -> list[Requirement]:
        """What a component of the other kinds still has to download, besides sources."""
        if component.kind == "pages":
            return []
        locked = [each for each in read_requirements(component.lock) if each.name not in component.build]
        return [each for each in locked if not wheels.kept(self.store, each, self.target)]

    def _jars(self, component: Component, tmp: Path) -> list[Member]:
        wanted = read_jars(component.lock)
        with self._mvn:
            if self.missing_jars(component):
                # One start of Maven for all: it is slow to start, and its own modules are many.
                others = [each for each in self.components if each.of_jars and each != component]
                jars.download(self.clients, self.store, self._together([component, *others]), tmp)
        return [Member(f"lib/{jar.path.name}", self._kept(jar.sha256), jar.sha256) for jar in wanted]

    def _java(self, component: Component, tmp: Path) -> list[Member]:
        members = self._jars(component, tmp)
        compilers = {jar.path.name for jar in read_jars(component.lock) if jar.artifact in component.build}
        found = {member.name.removeprefix("lib/"): member for member in members}
        places = {name: Path(str(member.content)) for name, member in found.items()}
        assert component.program
        content = java.compiled(
            self.clients,
            [places.pop(name) for name in sorted(compilers)],
            list(places.values()),
            component.program,
            tmp,
        )
        own = Member(f"lib/millrace-{component.name}.jar", content)
        return [own, *(member for name, member in found.items() if name not in compilers)]

    def _python(self, component: Component, tmp: Path) -> list[Member]:
        return _environment(self._wheels(component, tmp))

    def _project(self, component: Component, tmp: Path) -> list[Member]:
        own = self._own_wheel(component, tmp)
        return _environment([*self._wheels(component, tmp), own])

    def _tool(self, component: Component, tmp: Path) -> list[Member]:
        ((_, _, wheel, sha256),) = self._wheels(component, tmp)
        if digest(wheel) != sha256:
            raise BrokenDownload(sha256)
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith(f".data/scripts/{component.name}"):
                    return [Member(component.name, archive.read(name), mode=0o755)]
        raise ClientFailed(f"{wheel.name} holds no program {component.name}")

    def _pages(self, component: Component, tmp: Path) -> list[Member]:
        site = tmp / "pages"
        words: list[str | Path] = [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "--site-dir",
            site,
        ]
        self.clients.run("mkdocs", words, tmp, cwd=self.bom.root, env={"NO_MKDOCS_2_WARNING": "1"})
        files = sorted(path for path in site.rglob("*") if path.is_file())
        return [Member(f"pages/{path.relative_to(site)}", path, digest(path)) for path in files]

    def _wheels(self, component: Component, tmp: Path) -> list[Wheel]:
        locked = read_requirements(component.lock)
        ready = [each for each in locked if each.name not in component.build]
        made = [each for each in locked if each.name in component.build]
        found = [
            (each.name, each.version, *wheels.built(self.clients, self.store, each, tmp)) for each in made
        ]
        with self._pip:
            wheels.download(self.clients, self.store, self.missing_wheels(component), self.target, tmp)
        return found + [(each.name, each.version, *self._wheel(each)) for each in ready]

    def _wheel(self, requirement: Requirement) -> tuple[Path, str]:
        found = wheels.kept(self.store, requirement, self.target)
        if not found:
            raise ClientFailed(
                f"pip brought no wheel of {requirement.name} {requirement.version} for the hosts"
            )
        return found

    def _kept(self, sha256: str) -> Path:
        found = self.store.kept(sha256)
        if not found:
            raise ClientFailed(f"the download {sha256} is gone from {self.store.root}: fetch again")
        return found

    def _own_wheel(self, component: Component, tmp: Path) -> Wheel:
        source = tmp / "source"
        for path in project_files(self.bom.root, component.omit):
            place = source / path.relative_to(self.bom.root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        # The wheel's metadata wants one; a word changed in ours should not restart services.
        (source / "README.md").write_text("Millrace\n")
        wheel = wheels.build_wheel(self.clients, source, tmp)
        return "millrace", component.version, wheel, digest(wheel)


def _environment(found: list[Wheel]) -> list[Member]:
    lines = sorted(f"{name}=={version} --hash=sha256:{sha256}\n" for name, version, _, sha256 in found)
    members = [Member(f"wheels/{path.name}", path, sha256) for _, _, path, sha256 in found]
    return [Member("requirements.txt", "".join(lines).encode()), *members]
