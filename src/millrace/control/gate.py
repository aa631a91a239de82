"""Control's own look at a bundle, before a replica is bothered."""

import tempfile
from pathlib import Path

from millrace.control.deployer import Refused
from millrace.models import InvalidBundle, VerificationFailed, verify
from millrace.models.registry import ModelNotFound, RegistryError, fetch_bundle, newest_version
from millrace.serving.config import Tls


class Gate:
    """Lets a model version through when its verification rows reproduce."""

    def __init__(self, registry_url: str, work_dir: Path, tls: Tls | None) -> None:
        self._registry = registry_url
        self._work_dir = work_dir
        self._tls = (tls.ca, tls.certificate, tls.key) if tls else None

    def newest(self, model: str) -> str:
        """The newest version that the registry has of a model; raises `Refused`: 404, 503."""
        try:
            return newest_version(self._registry, model, self._tls)
        except ModelNotFound as error:
            raise Refused(404, str(error)) from error
        except RegistryError as error:
            raise Refused(503, f"the newest version of {model} is not known: {error}") from error

    def __call__(self, model: str, version: str) -> str:
        """The bundle's digest; raises `Refused`: 404 unknown, 409 does not reproduce, 503 no registry."""
        with tempfile.TemporaryDirectory(prefix="gate-", dir=self._work_dir) as place:
            try:
                bundle = fetch_bundle(self._registry, model, version, Path(place) / "bundle", self._tls)
                # Code of others, and a JVM, run only where they are shut in: a replica verifies those there,
                # when it prepares.
                if bundle.manifest.runtime == "onnx":
                    verify(bundle)
            except ModelNotFound as error:
                raise Refused(404, str(error)) from error
            except RegistryError as error:
                raise Refused(503, f"the bundle of {model} {version} cannot be had: {error}") from error
            except (VerificationFailed, InvalidBundle) as error:
                raise Refused(
                    409, f"nothing is switched, {model} {version} does not pass the gate: {error}"
                ) from error
            return bundle.digest
