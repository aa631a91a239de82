"""The demo's models: trained, deployed, asked."""

from __future__ import annotations

import json
import shlex
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

import millrace
from millrace import project
from millrace.cli import environments, program, train
from millrace.cli.deploy import sentence
from millrace.cli.gateway import Gateway
from millrace.cli.screen import Line
from millrace.cli.sdk import pointed_at
from millrace.cli.steps import Step
from millrace.problem import Problem
from millrace.site import Site

TIMES = 50


def training_environment(log: Path, name: str = environments.TRAINING) -> Step:
    """The environment in which examples are trained, made once for a machine."""

    def do(line: Line) -> str:
        return str(environments.make(name, log, line.note).parents[1])

    def done(line: Line) -> str | None:
        python = environments.ready(name)
        return str(python.parents[1]) if python else None

    return Step("training environment", do, done)


def train_and_deploy(model: str, site: Callable[[], Site]) -> list[Step]:
    """Steps that train an example and deploy its model; what is registered or live already stays."""

    def trained(line: Line) -> str | None:
        line.note("asking the registry")
        version = Gateway(site()).newest_version(model)
        return f"version {version} is registered" if version else None

    def do_train(line: Line) -> str:
        log = site().directory / "logs" / f"train-{model}.log"
        python = environments.make(environments.TRAINING, log, line.note)
        words, variables = train.command(site(), python, model)
        return run_training(model, words, variables, log, line)

    def live(line: Line) -> str | None:
        record = Gateway(site()).deployment(model)
        return sentence(record) if record else None

    def do_deploy(line: Line) -> str:
        with pointed_at(site()):
            return sentence(millrace.deploy(model))

    return [Step(f"train {model}", do_train, trained), Step(f"deploy {model}", do_deploy, live)]


def run_training(
    model: str, words: Sequence[str | Path], variables: Mapping[str, str], log: Path, line: Line
) -> str:
    """Run an example's training, and return the last thing that it says. Raises Problem."""
    said: list[str] = []

    def listen(text: str) -> None:
        said.append(text)
        line.note(text)

    if program.run(words, log, listen, variables):
        last = next((text for text in reversed(said) if text.strip()), "it said nothing")
        raise Problem(f"{model} could not be trained: {last}\nThe whole output: {log}")
    return said[-1].strip() if said else ""


def rows(model: str) -> list[dict[str, Any]]:
    """Real rows of an example."""
    found: list[dict[str, Any]] = json.loads((project.root() / "examples" / model / "rows.json").read_text())
    return found


def request_body(signature: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """The V2 request for one row, given what GET /v2/models/MODEL answered."""
    return {
        "inputs": [
            {"name": each["name"], "datatype": each["datatype"], "shape": [1, 1], "data": [row[each["name"]]]}
            for each in signature["inputs"]
        ]
    }


def ask(site: Site, model: str, write: Callable[[str], None]) -> None:
    """Ask a model of a site as `ask_at` does, without a login."""
    ask_at(site.url, model, write, site.ca, "`millrace logs prediction` says more.")


def ask_at(base: str, model: str, write: Callable[[str], None], ca: str = "", help: str = "") -> None:
    """Ask a model for real rows by plain HTTP, and show request, answer and latency. Raises Problem.

    `ca` is the file of the certificate to trust, `help` the end of the error's text.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = ca or True
    url = f"{base}/v2/models/{model}"
    trusted = f"--cacert {shlex.quote(ca)} " if ca else ""
    try:
        signature = session.get(url, timeout=10).json()
        for number, row in enumerate(rows(model)):
            body = json.dumps(request_body(signature, row))
            answer, took = None, []
            for _ in range(TIMES):
                start = time.perf_counter()
                answer = session.post(f"{url}/infer", data=body, timeout=10)
                took.append(time.perf_counter() - start)
                answer.raise_for_status()
            assert answer is not None
            outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
            if number == 0:
                write(f"$ curl {trusted}{url}/infer -d {shlex.quote(body)}")
                write(answer.text)
            write(f"{model} {json.dumps(row)}")
            write(f"  -> {json.dumps(outputs)}   {statistics.median(took) * 1000:.1f} ms (median of {TIMES})")
    except (requests.RequestException, KeyError, ValueError) as error:
        raise Problem(f"{url} gave no prediction: {error}. {help}".rstrip()) from error
