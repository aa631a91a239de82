"""Metrics of the prediction server. Plain counters on the hot path, Prometheus families when scraped."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# A small tree takes 20 us, a batch of thousands of rows up to a second.
BUCKETS = (2e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0)
OUTCOMES = ("ok", "refused", "failed")
_LABELS = ["model", "version"]


class ModelMetrics:
    """Counts of one model version. Threads may lose a count to each other; none waits for another."""

    __slots__ = ("buckets", "outcomes", "seconds")

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def count(self, outcome: str, seconds: float) -> None:
        self.outcomes[outcome] += 1
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds


class ServingMetrics(Collector):
    """All that `/metrics` shows of predictions and deployments."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], ModelMetrics] = {}
        self.unknown_model = 0
        self.too_large = 0
        self.generations: Callable[[], dict[str, int]] = dict
        self.ready: Callable[[], bool] = bool

    def of(self, model: str, version: str) -> ModelMetrics:
        """The counters of a model version; they outlive its replacement."""
        return self._models.setdefault((model, version), ModelMetrics())

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "millrace_inference_requests", "Inference requests by outcome", labels=[*_LABELS, "outcome"]
        )
        seconds = HistogramMetricFamily(
            "millrace_inference_seconds", "Time from a request's body to its answer", labels=_LABELS
        )
        for key, counts in list(self._models.items()):
            for outcome, value in counts.outcomes.items():
                requests.add_metric([*key, outcome], value)
            bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
            buckets = list(zip(bounds, accumulate(counts.buckets), strict=True))
            seconds.add_metric(list(key), buckets, sum_value=counts.seconds)
        yield requests
        yield seconds
        unserved = CounterMetricFamily(
            "millrace_inference_unserved", "Requests that reached no model", labels=["reason"]
        )
        unserved.add_metric(["unknown_model"], self.unknown_model)
        unserved.add_metric(["too_large"], self.too_large)
        yield unserved
        generation = GaugeMetricFamily(
            "millrace_deployment_generation", "Generation of the live deployment record", labels=["model"]
        )
        for model, value in self.generations().items():
            generation.add_metric([model], value)
        yield generation
        yield GaugeMetricFamily(
            "millrace_replica_ready", "1 when this replica answers", value=int(self.ready())
        )
