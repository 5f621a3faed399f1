"""What the HTTP edge counts, for /metrics: requests by route and status, and how long they took."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class WebMetrics:
    """Counts into a registry; routes are named by their template, so the number of series is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "foldwork_http_requests", "HTTP requests answered.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "foldwork_http_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=registry
        )
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        key = (method, route, status)
        series = self._series.get(key)
        if series is None:
            known = method if method in ("GET", "HEAD", "POST") else "other"
            series = (self._requests.labels(known, route, str(status)), self._seconds.labels(route))
            if known == method:
                self._series[key] = series
        series[0].inc()
        series[1].observe(seconds)
