"""Metrics of the prediction server. Plain counters on the hot path, Prometheus families when scraped."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# A small tree takes 20 us, a batch of thousands of rows up to a second.
BUCKETS = (2e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0, 5.0)
# ok, refused: wrong request; failed: the model cannot compute; fallback: something else answered.
OUTCOMES = ("ok", "refused", "failed", "deadline", "overloaded", "open", "fallback")
REASONS = ("failed", "deadline", "overloaded", "open")
_LABELS = ["model", "version"]
_clock = time.perf_counter


class ModelMetrics:
    """Counts of one model version, kept on the event loop. Times are in seconds."""

    __slots__ = (
        "_bad", "_bad_seconds", "_computing", "_good", "_good_seconds", "_last", "_queued", "_reading",
        "_rows", "buckets", "fallbacks",
    )  # fmt: skip

    def __init__(self) -> None:
        # Of the good answers: how many, their rows, and what their time went to; the rest was for writing.
        self._good = self._rows = 0
        self._good_seconds = self._reading = self._queued = self._computing = 0.0
        # When the last of them was given (`perf_counter`).
        self._last = 0.0
        self._bad = dict.fromkeys(OUTCOMES[1:], 0)
        self._bad_seconds = 0.0
        self.fallbacks = dict.fromkeys(REASONS, 0)
        self.buckets = [0] * (len(BUCKETS) + 1)

    def answered(self, began: float, read: float, queued: float, computed: float, rows: int) -> None:
        """A call was answered: when it began, was read, had its turn, and was computed (`perf_counter`)."""
        done = _clock()
        seconds = done - began
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self._good += 1
        self._rows += rows
        self._good_seconds += seconds
        self._reading += read - began
        self._queued += queued - read
        self._computing += computed - queued
        self._last = done

    def unanswered(self, outcome: str, began: float) -> None:
        """A call was not answered by the model."""
        seconds = _clock() - began
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self._bad[outcome] += 1
        self._bad_seconds += seconds

    @property
    def outcomes(self) -> dict[str, int]:
        """Calls by outcome."""
        return {"ok": self._good, **self._bad}

    @property
    def seconds(self) -> float:
        """Of all calls."""
        return self._good_seconds + self._bad_seconds

    def statistics(self) -> dict[str, Any]:
        """As the protocol's statistics extension has them; nanoseconds."""
        good = self._good
        writing = self._good_seconds - self._queued - self._reading - self._computing
        inference = {
            "success": _duration(good, self._good_seconds),
            "fail": _duration(sum(self._bad.values()), self._bad_seconds),
            "queue": _duration(good, self._queued),
            "compute_input": _duration(good, self._reading),
            "compute_infer": _duration(good, self._computing),
            "compute_output": _duration(good, max(writing, 0.0)),
            "cache_hit": _duration(0, 0),
            "cache_miss": _duration(0, 0),
        }
        last = time.time() - (_clock() - self._last) if self._last else 0
        return {
            "last_inference": round(last * 1000),
            "inference_count": self._rows,
            "execution_count": good,
            "inference_stats": inference,
            "batch_stats": [],
        }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}


class ServingMetrics(Collector):
    """All that `/metrics` shows of predictions and deployments."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], ModelMetrics] = {}
        self.unserved = {"unknown_model": 0, "too_large": 0, "too_many": 0}
        self.generations: Callable[[], dict[str, int]] = dict
        self.ready: Callable[[], bool] = bool
        # By model: breaker state, calls that run beside the event loop, calls that wait.
        self.states: Callable[[], dict[str, tuple[int, int, int]]] = dict
        # Model versions in memory, and known.
        self.loaded: Callable[[], tuple[int, int]] = lambda: (0, 0)

    def of(self, model: str, version: str) -> ModelMetrics:
        """The counters of a model version; they outlive its replacement."""
        return self._models.setdefault((model, version), ModelMetrics())

    def refused(self, reason: str) -> None:
        """A request was refused before its body was read."""
        self.unserved[reason] += 1

    def collect(self) -> Iterator[Metric]:
        yield from self._inference()
        unserved = CounterMetricFamily(
            "millrace_inference_unserved", "Requests that reached no model", labels=["reason"]
        )
        for reason, value in self.unserved.items():
            unserved.add_metric([reason], value)
        yield unserved
        yield from self._states()
        generation = GaugeMetricFamily(
            "millrace_deployment_generation", "Generation of the live deployment record", labels=["model"]
        )
        for model, generated in self.generations().items():
            generation.add_metric([model], generated)
        yield generation
        yield GaugeMetricFamily(
            "millrace_replica_ready", "1 when this replica answers", value=int(self.ready())
        )

    def _inference(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "millrace_inference_requests", "Inference requests by outcome", labels=[*_LABELS, "outcome"]
        )
        fallbacks = CounterMetricFamily(
            "millrace_inference_fallbacks", "Answers of a fallback, by reason", labels=[*_LABELS, "reason"]
        )
        seconds = HistogramMetricFamily(
            "millrace_inference_seconds", "Time from a request's body to its answer", labels=_LABELS
        )
        bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
        for key, counts in list(self._models.items()):
            for outcome, value in counts.outcomes.items():
                requests.add_metric([*key, outcome], value)
            for reason, value in counts.fallbacks.items():
                fallbacks.add_metric([*key, reason], value)
            buckets = list(zip(bounds, accumulate(counts.buckets), strict=True))
            seconds.add_metric(list(key), buckets, sum_value=counts.seconds)
        yield requests
        yield fallbacks
        yield seconds

    def _states(self) -> Iterator[Metric]:
        breaker = GaugeMetricFamily(
            "millrace_breaker_state", "0 closed, 1 half-open, 2 open", labels=["model"]
        )
        running = GaugeMetricFamily(
            "millrace_inference_running", "Calls that run beside the event loop", labels=["model"]
        )
        waiting = GaugeMetricFamily(
            "millrace_inference_waiting", "Calls that wait for their turn", labels=["model"]
        )
        for model, (state, runs, waits) in self.states().items():
            breaker.add_metric([model], state)
            running.add_metric([model], runs)
            waiting.add_metric([model], waits)
        yield breaker
        yield running
        yield waiting
        loaded, known = self.loaded()
        yield GaugeMetricFamily("millrace_models_loaded", "Model versions in memory", value=loaded)
        yield GaugeMetricFamily("millrace_models_known", "Model versions that are served", value=known)
