"""Asks, before anything is changed, whether the registries that are needed can be reached."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .bom import Bom, load_bom
from .store import Store

IMPATIENT = ("--retries=1", "--timeout=15")


def reach(
    components: Sequence[str] | None = None,
    *,
    store: Path | None = None,
    report: Callable[[str], None] = print,
    bom: Bom | None = None,
) -> None:
    """Asks each client for one small file that the store lacks; asks none when nothing is missing.

    Raises RegistryUnreachable or ClientMissing.
    """
    from . import jars, wheels
    from .assemble import Workshop

    bom = bom or load_bom()
    shelf = Store(store)
    names = [name for name in components or bom.components if not shelf.read(name, bom.id(name))]
    if not names:
        return
    workshop = Workshop(bom, shelf, names)
    lacking = workshop.components
    with (
        shelf.lock(lambda: report(f"a fetch is filling {shelf.root}: waiting for it")),
        shelf.scratch() as tmp,
    ):
        archives = [jar for each in lacking if each.of_jars for jar in workshop.missing_jars(each)]
        pins = [pin for each in lacking if not each.of_jars for pin in workshop.missing_wheels(each)]
        asked = []
        with ThreadPoolExecutor() as pool:
            if archives:
                asked.append(pool.submit(jars.download, workshop.clients, shelf, archives[:1], tmp))
            if pins:
                # Few files for a version: pure Python, so small.
                small = [min(pins, key=lambda pin: len(pin.hashes))]
                ask = wheels.download
                asked.append(
                    pool.submit(ask, workshop.clients, shelf, small, workshop.target, tmp, IMPATIENT)
                )
        for answer in asked:
            answer.result()
