"""KServe's SDK: `python kserve_sdk.py v1|v2|binary|grpc MODEL`, with what `millrace env` sets."""

import asyncio
import json
import os
import ssl
import sys
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
    InferResponse,
    RESTConfig,
)

KIND, MODEL = sys.argv[1:]
GATEWAY, CA = os.environ["MILLRACE_GATEWAY"], os.environ["MILLRACE_CA"]


def request(binary: bool = False) -> InferRequest:
    columns = {
        "x": ("FP64", np.array([[1.0], [2.5]])),
        "kind": ("BYTES", np.array([["a"], ["ü"]], dtype=object)),
        "count": ("INT64", np.array([[7], [8]])),
    }
    inputs = []
    for name, (datatype, values) in columns.items():
        given = InferInput(name, list(values.shape), datatype)
        given.set_data_from_numpy(values, binary_data=binary)
        inputs.append(given)
    return InferRequest(MODEL, inputs, request_id="r1")


def outputs(answer: InferResponse) -> dict[str, Any]:
    found: dict[str, Any] = {"id": answer.id, "model": answer.model_name}
    for output in answer.outputs:
        values = output.as_numpy().ravel().tolist()
        found[output.name] = [v.decode() if isinstance(v, bytes) else v for v in values]
    return found


async def rest(protocol: str) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=CA)
    async with InferenceRESTClient(RESTConfig(protocol=protocol, verify=context)) as client:
        found: dict[str, Any] = {"ready": await client.is_model_ready(GATEWAY, MODEL)}
        if protocol == "v1":
            # Its sign of life is the root page of the servers' own name.
            named = {"Host": "predict.localhost"}
            found["live"] = await client.is_server_live(GATEWAY, headers=named)
            rows = [{"x": 1.0, "kind": "a", "count": 7}, {"x": 2.5, "kind": "ü", "count": 8}]
            answer = await client.infer(GATEWAY, {"instances": rows}, model_name=MODEL)
            return found | {"predictions": answer["predictions"]}
        found["live"] = await client.is_server_live(GATEWAY) and await client.is_server_ready(GATEWAY)
        found["absent"] = await client.is_model_ready(GATEWAY, "nobody")
        answer = await client.infer(GATEWAY, request(KIND == "binary"), model_name=MODEL)
        try:
            await client.infer(GATEWAY, request(), model_name="nobody")
        except httpx.HTTPStatusError as error:
            found["refused"] = error.response.json()["error"]
        return found | outputs(answer)


async def grpc() -> dict[str, Any]:
    async with InferenceGRPCClient(urlsplit(GATEWAY).netloc, use_ssl=True, root_certificates=CA) as client:
        live = await client.is_server_live() and await client.is_server_ready()
        ready = await client.is_model_ready(MODEL)
        return {"live": live, "ready": ready} | outputs(await client.infer(request()))


def main() -> None:
    print(json.dumps(asyncio.run(grpc() if KIND == "grpc" else rest(KIND.replace("binary", "v2")))))


main()
