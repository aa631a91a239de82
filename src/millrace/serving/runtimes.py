"""What computes a bundle's answers, chosen by the runtime that its manifest names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from millrace.models import Bundle, InvalidBundle, OnnxModel


class Unavailable(Exception):
    """No fault of the rows: what computes is not there, and may be after `retry_after` seconds."""

    def __init__(self, text: str, retry_after: int = 1) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Runtime(Protocol):
    """A loaded model. `run` may be called from several threads at once."""

    @property
    def platform(self) -> str:
        """What the protocol's model metadata call it, as in `onnxruntime_onnx`."""

    @property
    def inline(self) -> bool:
        """Whether a small call may run on the event loop; else every call runs in a thread."""

    def run(
        self,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Sequence[str] | None = None,
        *,
        timeout: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Outputs by name, for arrays [N, ...] of all inputs (text as object arrays of str), N at least 1.

        `outputs` restricts what is computed. After `timeout` seconds nobody waits any longer: a runtime that
        can then gives up and raises TimeoutError. Raises Unavailable when it is not there for any rows; any
        other exception: it cannot compute these rows.
        """

    def close(self) -> None:
        """Let go of everything; nobody calls `run` any more."""


#: `run` for a single row: flat values of all outputs, from flat values of all inputs [1, width] of the
#: right types. A runtime that runs on the event loop may have it as `run_row`, for the fast path.
RunRow = Callable[[Sequence[Sequence[Any]]], list[list[Any]]]


def _python(bundle: Bundle) -> Runtime:
    from millrace.serving.python.model import PythonModel

    return PythonModel(bundle)


def _pmml(bundle: Bundle) -> Runtime:
    from millrace.serving.pmml.model import PmmlModel

    return PmmlModel(bundle)


#: By the manifest's `runtime`. A function, so that a runtime is imported only where a bundle needs it.
RUNTIMES: dict[str, Callable[[Bundle], Runtime]] = {"onnx": OnnxModel, "pmml": _pmml, "python": _python}
#: Of these every number may be missing, verified or not: the model itself says what becomes of it.
READS_MISSING = {"pmml"}


def load_runtime(bundle: Bundle) -> Runtime:
    """The bundle's model, loaded. Raises InvalidBundle when it does not load here."""
    load = RUNTIMES.get(bundle.manifest.runtime)
    if load is None:
        known = ", ".join(RUNTIMES)
        raise InvalidBundle(
            f"the bundle wants the runtime {bundle.manifest.runtime!r}, this server has {known}: upgrade it"
        )
    return load(bundle)


def platform_of(bundle: Bundle) -> str:
    """What the protocol's metadata call the bundle's runtime, loaded or not."""
    return str(getattr(RUNTIMES.get(bundle.manifest.runtime), "platform", bundle.manifest.runtime))
