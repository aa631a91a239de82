"""The description tells of every route of the server and of no other, and answers are as it says."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from millrace.serving import about
from millrace.serving.docs import description
from millrace.serving.http import Request, Response
from tests.unit.serving.running import ROWS, Running

SPEC: dict[str, Any] = json.loads(description().body)
OPERATIONS = [(path, method) for path, item in SPEC["paths"].items() for method in item]
#: Answered, but not to clients: the gateway does not lead there.
INTERNAL = {"/metrics"}
INFER = {"inputs": [{**column, "shape": [2, 1]} for column in ROWS]}
PREDICT = {"instances": [{"x": 1, "kind": "a", "count": 2}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("site"))
    yield running
    running.end()


def fill(path: str) -> str:
    return path.replace("{model_name}", "tiny").replace("{model_version}", "1")


def body_for(path: str) -> dict[str, Any]:
    return {"json": INFER if path.endswith("/infer") else PREDICT if path.endswith(":predict") else {}}


def check(status: int, operation: dict[str, Any], content: Any) -> None:
    """An answer against what the description says of it."""
    answer = operation["responses"][str(status)]
    if "$ref" in answer:
        answer = SPEC["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    schema = {"components": SPEC["components"], **answer["content"]["application/json"]["schema"]}
    jsonschema.Draft202012Validator(schema).validate(content)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_route_of_the_description_answers_as_it_says(server: Running, path: str, method: str) -> None:
    answer = server.ask(method.upper(), fill(path), **(body_for(path) if method == "post" else {}))
    # Only the gateway leads load and unload to control.
    assert answer.status_code == (403 if path.endswith("load") else 200)
    if answer.headers["content-type"] == "application/json":
        check(answer.status_code, SPEC["paths"][path][method], answer.json())


@pytest.mark.parametrize(
    "path", [path for path in SPEC["paths"] if "{" in path and not path.endswith("load")]
)
def test_an_unknown_model_is_told_as_the_description_says(server: Running, path: str) -> None:
    ((method, operation),) = SPEC["paths"][path].items()
    target = path.replace("{model_name}", "nobody").replace("{model_version}", "9")
    answer = server.ask(method.upper(), target, **(body_for(path) if method == "post" else {}))
    assert answer.status_code == 404
    check(404, operation, answer.json())


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_other_methods_are_told_which_one_is(server: Running, path: str, method: str) -> None:
    other = "POST" if method == "get" else "GET"
    answer = server.ask(other, fill(path))
    assert (answer.status_code, answer.headers["allow"]) == (405, method.upper())


def words() -> list[str]:
    """Every text that the code which finds routes compares a part of a path with."""
    patterns = ast.walk(ast.parse(inspect.getsource(about)))
    found = {
        node.value
        for pattern in patterns
        if isinstance(pattern, ast.MatchValue | ast.Compare)
        for node in ast.walk(pattern)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return sorted(word for word in found if re.fullmatch(r"[a-z0-9.]+", word))


def there(server: Running, path: str) -> bool:
    answer = server.app.handle(Request(b"GET", path.encode(), {}))
    return not isinstance(answer, Response) or answer.status != 404


def test_every_route_of_the_server_is_in_the_description(server: Running) -> None:
    known = {fill(path) for path in SPEC["paths"]} | INTERNAL
    parts = [*words(), "tiny", "1"]
    assert {"v1", "models", "docs", "infer", "unload"} <= set(parts)
    found = {path for path in ("/", "/metrics") if there(server, path)}
    for first, depth in itertools.product(("v1", "v2", "docs", "replica"), range(4)):
        for rest in itertools.product(parts, repeat=depth):
            path = "/".join(("", first, *rest))
            found |= {path} if there(server, path) else set()
    for start in ("/v1/models/tiny/", "/v1/models/tiny/versions/", "/v2/repository/models/tiny/"):
        found |= {path for part in parts if there(server, path := start + part)}
    for start in ("/v2/models/tiny/versions/1/", "/v2/models/tiny/versions/"):
        found |= {path for part in parts if there(server, path := start + part)}
    for start in ("/v1/models/tiny", "/v1/models/tiny/versions/1"):
        found |= {path for part in parts if there(server, path := f"{start}:{part}")}
    # Load and unload are told apart from what is there by the verb alone, whatever the model.
    found = {re.sub(r"(/v2/repository/models/)[^/]+/", r"\1tiny/", path) for path in found}
    assert found == known


def test_the_page_asks_nobody_but_its_server(server: Running) -> None:
    answer = server.ask("GET", "/v2/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'; connect-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", answer.text)
    assert not re.search(r"https?://", answer.text)
