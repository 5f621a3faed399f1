"""What the HTTP edge counts, for /metrics: requests by route and status, and how long they took.

Counting is a few list operations and the families are built when they are read: prometheus_client's own counters take a lock each time.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BOUNDS = (*(str(bound) for bound in _SECONDS), "+Inf")
_METHODS = frozenset({"GET", "HEAD", "POST"})


class Tally(Collector):
    """A counter with labels. Use it from the event loop's thread only."""

    def __init__(self, name: str, help: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._help, self._labels = name, help, labels
        self._counts: Counter[tuple[str, ...]] = Counter()
        registry.register(self)

    def count(self, *labels: str) -> None:
        self._counts[labels] += 1

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class WebMetrics(Collector):
    """Counts into a registry; routes are named by their template, so the number of series is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Tally(
            "foldwork_http_requests", "HTTP requests answered.", ["method", "route", "status"], registry
        )
        self._counts: dict[str, list[int]] = {}
        self._totals: dict[str, float] = {}
        registry.register(self)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self._requests.count(method if method in _METHODS else "other", route, str(status))
        counts = self._counts.get(route)
        if counts is None:
            counts = self._counts[route] = [0] * len(_BOUNDS)
            self._totals[route] = 0.0
        counts[bisect_left(_SECONDS, seconds)] += 1
        self._totals[route] += seconds

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily("foldwork_http_request_seconds", "Time to answer.", labels=["route"])
        for route, counts in self._counts.items():
            family.add_metric([route], list(zip(_BOUNDS, accumulate(counts), strict=True)), self._totals[route])
        yield family
