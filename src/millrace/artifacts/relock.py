"""Makes lock files again from what is beside them; for whoever changes a version, never run on a site."""

from pathlib import Path

from .bom import Bom
from .client import Clients
from .errors import BomError
from .jars import copy
from .store import Store, digest
from .wheels import uv

# Maven's exclusions cannot name classifiers: natives for other machines are left out here.
FOREIGN = ("-osx", "-windows", "-linux-aarch_64", "-linux-riscv64", "macos", "kqueue")
COMPILE = ["pip", "compile", "--quiet", "--generate-hashes", "--no-emit-index-url", "--no-header"]
# Control machines and the trainers' machines: any Linux with this Python or a newer one.
UNIVERSAL = ["--universal", "--python-version=3.11"]


def relock(bom: Bom, names: list[str], *, upgrade: bool = False) -> list[Path]:
    """Writes the locks of components, or of requirements/NAME.in; returns them. Raises ArtifactError."""
    return [_lock(bom, name, upgrade) for name in names or [*bom.components, *_environments(bom)]]


def _environments(bom: Bom) -> list[str]:
    # cli first: dev has to agree with it.
    return sorted(
        (path.stem for path in (bom.root / "requirements").glob("*.in")), key=lambda name: name != "cli"
    )


def _lock(bom: Bom, name: str, upgrade: bool) -> Path:
    if name in bom.components:
        component = bom.components[name]
        if component.of_jars:
            return _lock_jars(component.lock, component.lock.with_suffix(".pom.xml"))
        options = [
            f"--python-version={bom.python}",
            f"--python-platform=x86_64-{bom.platform.removesuffix('_x86_64')}",
        ]
        options += ["--only-binary=:all:", *(f"--no-binary={built}" for built in component.build)]
        options += [f"--no-emit-package={each}" for each in component.omit if component.kind == "python"]
        return _lock_python(bom.root, component.lock, options, upgrade)
    lock = bom.root / "requirements" / f"{name}.txt"
    if not lock.with_suffix(".in").is_file():
        raise BomError(f"{name} is neither in the bill of materials nor in {lock.parent}")
    return _lock_python(bom.root, lock, UNIVERSAL, upgrade)


def _lock_python(root: Path, lock: Path, options: list[str], upgrade: bool) -> Path:
    # Paths as seen from the clone, since uv repeats them in its comments.
    made, source = lock.relative_to(root), lock.with_suffix(".in").relative_to(root)
    command: list[str | Path] = [
        uv(),
        *COMPILE,
        *options,
        *(["--upgrade"] if upgrade else []),
        "--output-file",
        made,
        source,
    ]
    store = Store()
    with store.lock(_waiting), store.scratch() as tmp:
        Clients().run("uv", command, tmp, cwd=root)
    return lock


def _waiting() -> None:
    print("a fetch is filling the store: waiting for it")


def _lock_jars(lock: Path, pom: Path) -> Path:
    store = Store()
    with store.lock(_waiting), store.scratch() as tmp:
        into = copy(Clients(), store, pom, tmp, "-DincludeScope=runtime")
        found = [path for path in into.rglob("*.jar") if not any(word in path.name for word in FOREIGN)]
        lines = [f"{digest(path)}  {path.relative_to(into)}\n" for path in sorted(found, key=str)]
    lock.write_text("".join(lines))
    return lock
