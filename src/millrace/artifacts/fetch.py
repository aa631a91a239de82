"""Fills the store, or checks that it is full."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

from .bom import Bom, load_bom
from .errors import BrokenDownload, MissingArtifact
from .store import Artifact, Store

if TYPE_CHECKING:
    from .assemble import Workshop

Report = Callable[[str], None]
ALIVE_EVERY = 5.0


class SourceChanged(Exception):
    """What an artifact is made from is no longer what its id says."""


def fetch(
    components: Sequence[str] | None = None,
    *,
    store: Path | None = None,
    report: Report = print,
    bom: Bom | None = None,
) -> list[Artifact]:
    """Brings the artifacts of these components (all by default) into the store.

    `report` gets one line for each component with its size in MB and seconds, and one every 5 s while
    clients are at work. What an interrupted fetch has brought is not brought again. Raises ArtifactError.
    """
    bom = bom or load_bom()
    shelf = Store(store)
    names = _names(bom, components)
    found = _present(bom, shelf, names)
    if len(found) < len(names):
        with shelf.lock(lambda: report(f"another fetch is filling {shelf.root}: waiting for it")):
            found = _present(bom, shelf, names)
            found |= _fill(bom, shelf, [name for name in names if name not in found], report)
    size = sum(artifact.size for artifact in found.values())
    report(f"all {len(names)} artifacts are in {shelf.root} ({size / 1e6:.0f} MB)")
    return [found[name] for name in names]


def check(
    components: Sequence[str] | None = None, *, store: Path | None = None, bom: Bom | None = None
) -> list[Artifact]:
    """The artifacts of these components (all by default) if the store has them all; reaches no registry.

    Raises MissingArtifact, which names all that are missing.
    """
    bom = bom or load_bom()
    shelf = Store(store)
    names = _names(bom, components)
    found = _present(bom, shelf, names)
    if lacking := ", ".join(f"{name} {bom.id(name)}" for name in names if name not in found):
        raise MissingArtifact(f"the artifact store {shelf.root} lacks {lacking}: run `./millrace fetch`")
    return [found[name] for name in names]


def _names(bom: Bom, components: Sequence[str] | None) -> list[str]:
    return [bom.component(name).name for name in (components or bom.components)]


def _present(bom: Bom, shelf: Store, names: Sequence[str]) -> dict[str, Artifact]:
    found = {name: shelf.read(name, bom.id(name)) for name in names}
    return {name: artifact for name, artifact in found.items() if artifact and shelf.intact(artifact)}


def _fill(bom: Bom, shelf: Store, names: Sequence[str], report: Report) -> dict[str, Artifact]:
    # On demand, for the lookup plugin's sake: it imports this package in every task.
    from .assemble import Workshop

    workshop = Workshop(bom, shelf, names)
    running: dict[Future[Artifact], str] = {}
    # Sources to be built take longest: they begin first.
    order = sorted(names, key=lambda name: not bom.components[name].build)
    with ThreadPoolExecutor(max_workers=max(len(order), 1)) as pool:
        try:
            for name in order:
                running[pool.submit(_one, bom, shelf, workshop, name, report)] = name
            return {running[done]: done.result() for done in _until_done(running, shelf, report)}
        except BaseException:
            workshop.clients.end()
            raise


def _until_done(
    running: dict[Future[Artifact], str], shelf: Store, report: Report
) -> Iterator[Future[Artifact]]:
    start = time.monotonic()
    waiting = set(running)
    while waiting:
        done, waiting = wait(waiting, timeout=ALIVE_EVERY, return_when=FIRST_EXCEPTION)
        yield from done
        if waiting:
            names = ", ".join(running[future] for future in running if future in waiting)
            report(f"{time.monotonic() - start:.0f} s: still fetching {names}")


def _one(bom: Bom, shelf: Store, workshop: "Workshop", name: str, report: Report) -> Artifact:
    start = time.monotonic()
    broken: set[str] = set()
    while True:
        try:
            artifact = _make(bom, shelf, workshop, name)
        except BrokenDownload as error:
            shelf.drop(error.sha256)
            if error.sha256 in broken:
                raise
            broken.add(error.sha256)
            report(f"{name}: {error}: fetching it again")
        except SourceChanged:
            report(f"{name}: this clone's source changed meanwhile: making it again")
        else:
            break
    report(f"{name} {artifact.version}: {artifact.size / 1e6:.1f} MB in {time.monotonic() - start:.1f} s")
    return artifact


def _make(bom: Bom, shelf: Store, workshop: "Workshop", name: str) -> Artifact:
    from .pack import write_tar

    component = bom.component(name)
    id = bom.id(name)
    with shelf.scratch() as tmp:
        members = workshop.members(component, tmp)
        if bom.id(name) != id:
            raise SourceChanged
        return shelf.write(name, component.version, id, lambda path: write_tar(path, members))
