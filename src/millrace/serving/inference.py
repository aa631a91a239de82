"""A loaded model version: V2 request in, V2 answer out."""

import time
from typing import Any

from millrace.serving import protocol
from millrace.serving.metrics import ModelMetrics
from millrace.serving.protocol import BadRequest, Signature
from millrace.serving.runtimes import Runtime


class ModelVersion:
    """One version of a model in memory. `busy` counts requests that run beside the event loop."""

    def __init__(
        self,
        name: str,
        version: str,
        digest: str,
        signature: Signature,
        runtime: Runtime,
        metrics: ModelMetrics,
        max_rows: int,
    ) -> None:
        self.name = name
        self.version = version
        self.digest = digest
        self.signature = signature
        self.busy = 0
        self.platform = runtime.platform
        self._run = runtime.run
        self._metrics = metrics
        self._max_rows = max_rows

    def infer(self, body: bytes) -> bytes:
        """Answer one V2 JSON request; raises `BadRequest`. May be called from several threads."""
        began = time.perf_counter()
        try:
            request = protocol.decode_request(body)
            arrays = self.signature.read(request, self._max_rows)
            wanted = self.signature.wanted(request)
        except BadRequest:
            self._metrics.count("refused", time.perf_counter() - began)
            raise
        try:
            results = self._run(arrays, wanted)
            answer = self.signature.answer(self.name, self.version, request, results)
        except Exception as error:
            # The input was of the right form, so its values are what the model cannot take.
            self._metrics.count("failed", time.perf_counter() - began)
            reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            raise BadRequest(f"model '{self.name}' cannot compute these rows: {reason}") from error
        self._metrics.count("ok", time.perf_counter() - began)
        return answer

    def metadata(self) -> dict[str, Any]:
        """The protocol's model metadata."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": self.platform,
            "inputs": [
                {"name": t.name, "datatype": t.datatype, "shape": t.shape}
                for t in self.signature.inputs.values()
            ],
            "outputs": [
                {"name": name, "datatype": datatype, "shape": self.signature.output_shapes[name]}
                for name, datatype in self.signature.outputs.items()
            ],
            "parameters": {"digest": self.digest},
        }
