"""Requests that are computed together."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from millrace.serving.policy import Policy, changed
from tests.unit.serving.moody import Stage
from tests.unit.serving.running import INFER, ROWS, Running


def test_requests_that_come_together_are_computed_together(stage: Stage) -> None:
    stage.policy(batching={"rows": 64, "wait_seconds": 0.2})
    stage.model.rows.clear()
    answers = stage.together(10)
    assert [a.json()["outputs"][0]["data"] for a in answers] == [[2.0, 5.0]] * 10
    assert sum(stage.model.rows) == 20
    assert len(stage.model.rows) < 10


def test_a_full_batch_does_not_wait(stage: Stage) -> None:
    stage.policy(batching={"rows": 4, "wait_seconds": 1.0})
    began = time.monotonic()
    stage.together(2)
    assert time.monotonic() - began < 1.0


def test_bad_rows_in_a_batch_spoil_only_their_own_request(stage: Stage) -> None:
    stage.policy(batching={"rows": 64, "wait_seconds": 0.2})
    stage.model.spoilt_by = "z"
    spoilt = [ROWS[0], ROWS[1] | {"data": ["a", "z"]}, ROWS[2]]

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        asked = [client.post(INFER, json={"inputs": rows}) for rows in (ROWS, spoilt, ROWS)]
        return await asyncio.gather(*asked)

    answers = stage.server.run(talk)
    assert [a.status_code for a in answers] == [200, 400, 200]
    assert answers[2].json()["outputs"][0]["data"] == [2.0, 5.0]


def test_rows_have_equal_bits_alone_and_in_company(tmp_path: Path) -> None:
    server = Running(tmp_path, policy=changed(Policy(), {"batching": {"rows": 64, "wait_seconds": 0.1}}))
    values = np.random.default_rng(1).normal(size=20)

    def body(value: float) -> dict[str, Any]:
        rows = [{"name": "x", "datatype": "FP64", "shape": [1], "data": [value]}]
        rows.append({"name": "kind", "datatype": "BYTES", "shape": [1], "data": ["a"]})
        rows.append({"name": "count", "datatype": "INT64", "shape": [1], "data": [1]})
        return {"inputs": rows}

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post(INFER, json=body(v)) for v in values.tolist()))

    try:
        together = [a.json()["outputs"][0]["data"][0] for a in server.run(talk)]
        alone = [server.ask("POST", INFER, json=body(v)).json()["outputs"][0]["data"][0] for v in values]
        assert together == alone == (values * 2).tolist()
    finally:
        server.end()
