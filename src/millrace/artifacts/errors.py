"""What can go wrong between a registry and the store; every text names the fix."""

from millrace.problem import Problem


class ArtifactError(Problem):
    """Base of all errors of this package."""


class BomError(ArtifactError):
    """The bill of materials or a lock file says something that cannot be meant."""


class MissingArtifact(ArtifactError):
    """An artifact is not in the store, or only a part of it."""


class ClientMissing(ArtifactError):
    """A registry's client (pip, mvn, uv) is not installed."""


class StoreUnwritable(ArtifactError):
    """The store's disk is full, or the store belongs to someone else."""


class RegistryUnreachable(ArtifactError):
    """A client did not reach its registry."""


class WrongChecksum(ArtifactError):
    """A file is not the one that its lock names, twice in a row."""


class BrokenDownload(WrongChecksum):
    """A file of the store's downloads is not what its name says; `sha256` is that name."""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"the download {sha256} in the store is broken")
        self.sha256 = sha256


class ClientFailed(ArtifactError):
    """A client ended with an error of its own; the text ends with its last lines."""
