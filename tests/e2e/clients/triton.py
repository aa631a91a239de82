"""tritonclient: `python triton.py json|binary|grpc MODEL`, with what `millrace env` sets."""

import json
import os
import sys
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import tritonclient.grpc
import tritonclient.http

KIND, MODEL = sys.argv[1:]
GATEWAY = urlsplit(os.environ["MILLRACE_GATEWAY"])
COLUMNS = {
    "x": np.array([[1.0], [2.5]]),
    "kind": np.array([["a"], ["ü"]], dtype=object),
    "count": np.array([[7], [2**53 + 1]]),
}


def http() -> Any:
    if GATEWAY.scheme == "http":
        return tritonclient.http.InferenceServerClient(GATEWAY.netloc)
    options = {"ca_certs": os.environ["MILLRACE_CA"]}
    return tritonclient.http.InferenceServerClient(GATEWAY.netloc, ssl=True, ssl_options=options)


def grpc() -> Any:
    roots = os.environ["MILLRACE_CA"]
    return tritonclient.grpc.InferenceServerClient(GATEWAY.netloc, ssl=True, root_certificates=roots)


def ask(module: Any, client: Any, **how: Any) -> dict[str, Any]:
    """Health, metadata, index, statistics, a prediction of two of three outputs, and two refusals."""
    inputs = []
    for name, values in COLUMNS.items():
        datatype = {"x": "FP64", "kind": "BYTES", "count": "INT64"}[name]
        given = module.InferInput(name, list(values.shape), datatype)
        given.set_data_from_numpy(values, **how)
        inputs.append(given)
    outputs = [module.InferRequestedOutput(name, **how) for name in ("label", "number")]
    answer = client.infer(MODEL, inputs, outputs=outputs, request_id="r1")
    every = client.infer(MODEL, inputs)
    as_json = {} if how or module is tritonclient.http else {"as_json": True}
    metadata = client.get_model_metadata(MODEL, **as_json)
    index = client.get_model_repository_index(**as_json)
    stats = client.get_inference_statistics(MODEL, **as_json)
    return {
        "live": client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL),
        "absent": client.is_model_ready("nobody"),
        "server": client.get_server_metadata(**as_json)["name"],
        "inputs": [each["name"] for each in metadata["inputs"]],
        "indexed": MODEL in [each["name"] for each in (index["models"] if as_json else index)],
        "counted": int(stats["model_stats"][0]["inference_count"]) > 0,
        "id": answer.get_response()["id"] if module is tritonclient.http else answer.get_response().id,
        "label": [
            text.decode() if isinstance(text, bytes) else text for text in answer.as_numpy("label").ravel()
        ],
        "number": answer.as_numpy("number").tolist(),
        "score": every.as_numpy("score").tolist(),
        "unasked": answer.as_numpy("score") is None,
        "refused": [refusal(client, module, MODEL, inputs[:1]), refusal(client, module, "nobody", inputs)],
    }


def texts(array: Any) -> list[str]:
    """JSON carries text as such, binary tensors as bytes."""
    return [each.decode() if isinstance(each, bytes) else each for each in array.ravel()]


def refusal(client: Any, module: Any, model: str, inputs: list[Any]) -> str:
    try:
        client.infer(model, inputs)
    except module.InferenceServerException as error:
        return str(error.message())
    return ""


def main() -> None:
    if KIND == "grpc":
        answer = ask(tritonclient.grpc, grpc())
    else:
        answer = ask(tritonclient.http, http(), binary_data=KIND == "binary")
    print(json.dumps(answer))


main()
