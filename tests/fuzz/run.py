"""The run: ask, look at what came, keep an eye on the server's memory and on a neighbour's requests."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz import valid
from tests.fuzz.mutations import MUTATIONS
from tests.fuzz.talk import Answered, Client
from tests.fuzz.valid import Asked

# gRPC's words for a failure of the server's own: unknown, internal, data loss.
_OWN_FAULT = {2, 13, 15}
_STALLED = 40


@dataclass
class Report:
    """`findings`: what should not be. Memory in MiB, a neighbour's latency in ms."""

    requests: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    warm: float = 0.0
    end: float = 0.0
    peak: float = 0.0
    before_ms: list[float] = field(default_factory=list)
    during_ms: list[float] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For a person."""
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return [
            f"{self.requests} requests, {len(self.findings)} findings",
            f"answers: {answers}",
            f"memory: {self.warm:.0f} MiB after a tenth, {self.end:.0f} at the end, {self.peak:.0f} at most",
            f"a neighbour's request, median and 99th of a hundred: {_spread(self.before_ms)} ms before, "
            f"{_spread(self.during_ms)} ms meanwhile",
        ]


def fuzz(
    port: int, pid: int, requests: int, seed: int, say: Callable[[str], None] = lambda line: None
) -> Report:
    """Ask the server of process `pid`, which serves `tests.fuzz.models`, so many times."""
    report, client, neighbour = Report(), Client(port), Client(port)
    for number in range(200):
        report.before_ms.append(_ask_neighbour(neighbour, seed + number, report))
    stalled = [_stall(port, seed + number) for number in range(_STALLED)]
    for number in range(requests):
        # Each request has a seed of its own: a finding is made again by itself.
        chance = random.Random(f"{seed}/{number}")
        _one(client, chance, report, f"--seed {seed} --only {number}")
        report.requests += 1
        if number == requests // 10:
            report.warm = memory(pid, "VmRSS")
        if number % 50 == 0:
            report.during_ms.append(_ask_neighbour(neighbour, number, report))
        if number % 5000 == 4999:
            say(f"{number + 1} requests, {len(report.findings)} findings, {memory(pid, 'VmRSS'):.0f} MiB")
        if len(report.findings) > 50:
            break
    for each in [client, neighbour, *stalled]:
        each.close()
    report.end, report.peak = memory(pid, "VmRSS"), memory(pid, "VmHWM")
    return report


def one(port: int, seed: int, number: int) -> Report:
    """One request of a run again."""
    report = Report(requests=1)
    _one(Client(port), random.Random(f"{seed}/{number}"), report, f"--seed {seed} --only {number}")
    return report


def memory(pid: int, line: str) -> float:
    """MiB that a process has (VmRSS) or had at most (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(each.split()[1]) for each in status.splitlines() if each.startswith(line)) / 1024


def judge(asked: Asked, answered: Answered, good: bool) -> str:
    """What is wrong with an answer, or nothing."""
    status, text = answered.status, answered.body.decode(errors="replace")
    if good and (status != 200 or answered.trailers.get(b"grpc-status", b"0") != b"0"):
        return f"a valid request is answered {status}: {text} {answered.words}"
    if answered.trailers:
        code = int(answered.trailers[b"grpc-status"])
        if status != 200 or code in _OWN_FAULT or (code and not answered.words):
            return f"gRPC status {code} in HTTP {status}: {answered.words}"
        return _unnamed(asked, answered.words) if code else ""
    if status >= 500:
        return f"{status}: {text}"
    if status >= 400 and asked.method != b"HEAD":
        try:
            words = json.loads(text)["error"]
        except (ValueError, KeyError, TypeError):
            return f"{status} without an error: {text[:200]}"
        return _unnamed(asked, words)
    return ""


# Broken JSON is told by the byte where it breaks; an input without a readable name by its number.
_OTHERWISE = ("is not JSON", "nested too deeply", "at `$.inputs[")


def _unnamed(asked: Asked, words: str) -> str:
    named = not asked.broken or asked.broken in words or any(other in words for other in _OTHERWISE)
    return "" if words and named else f"input '{asked.broken}' is not named: {words[:200]}"


def _one(client: Client, chance: random.Random, report: Report, again: str) -> None:
    make = chance.choice(MUTATIONS)
    asked = make(chance)
    if chance.random() < 0.02:
        size = chance.randrange(len(asked.body) + 100)
        back = client.send_part(asked, size, half=chance.random() < 0.8)
        client.close()
        report.statuses["broken off"] += 1
        if b" 500 " in back[:20]:
            report.findings.append(f"{again}: {asked.made}, broken off at {size}: {back[:300]!r}")
        return
    try:
        answered = client.ask(asked, chance)
    except (OSError, ValueError, LookupError) as error:
        client.close()
        report.findings.append(f"{again}: {asked.made}: {error!r}")
        return
    if answered is None:
        report.findings.append(f"{again}: {asked.made}: no answer, the connection ends")
        return
    report.statuses[str(answered.status)] += 1
    if wrong := judge(asked, answered, make in valid.KINDS):
        report.findings.append(f"{again}: {asked.made}: {wrong}")


def _ask_neighbour(client: Client, seed: int, report: Report) -> float:
    """Milliseconds that a good request takes beside all this."""
    chance = random.Random(seed)
    asked = valid.json_infer(chance)
    began = time.perf_counter()
    answered = client.ask(asked, _Plain())
    taken = (time.perf_counter() - began) * 1000
    if answered is None or answered.status != 200:
        report.findings.append(f"a neighbour is answered {answered}")
    return taken


class _Plain(random.Random):
    """Sends all in one piece."""

    def randrange(self, *_: object) -> int:  # type: ignore[override]
        return 11


def _stall(port: int, seed: int) -> Client:
    """A client that sends a part and then nothing."""
    client, chance = Client(port), random.Random(seed)
    asked = valid.json_infer(chance)
    client.send_part(asked, chance.randrange(20, len(asked.body)), half=False)
    return client


def _spread(values: list[float]) -> str:
    ordered = sorted(values) or [0.0]
    return f"{ordered[len(ordered) // 2]:.2f} and {ordered[len(ordered) * 99 // 100]:.2f}"
