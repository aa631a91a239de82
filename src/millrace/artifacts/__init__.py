"""What hosts install: the bill of materials, the artifact store and how it is filled.

`fetch` fills the store with the registries' own clients, `check` only looks whether it is full, and `locate`
finds one artifact in it, each as this clone's bill of materials (`load_bom`) wants it.
"""

from .bom import Bom, Component, load_bom
from .errors import (
    ArtifactError,
    BomError,
    ClientFailed,
    ClientMissing,
    MissingArtifact,
    RegistryUnreachable,
    StoreUnwritable,
    WrongChecksum,
)
from .fetch import check, fetch
from .registries import reach
from .store import Artifact, Store, locate

__all__ = [
    "Artifact",
    "ArtifactError",
    "Bom",
    "BomError",
    "ClientFailed",
    "ClientMissing",
    "Component",
    "MissingArtifact",
    "RegistryUnreachable",
    "Store",
    "StoreUnwritable",
    "WrongChecksum",
    "check",
    "fetch",
    "load_bom",
    "locate",
    "reach",
]
