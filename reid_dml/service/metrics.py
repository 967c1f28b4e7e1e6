"""What the service counts, in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from reid_dml.errors import UserError
from reid_dml.service.service import Service

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """Requests by path and status, their seconds, and what the service is at."""

    def __init__(self, service: Service) -> None:
        self._service, self._registry = service, CollectorRegistry()
        labels = ["method", "path", "status"]
        self._requests = Counter("reid_dml_requests", "Requests answered", labels, registry=self._registry)
        self._seconds = Histogram(
            "reid_dml_request_seconds", "Seconds of a request", ["path"], buckets=_SECONDS, registry=self._registry
        )
        self._registry.register(self)  # for `collect`

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            method: of HTTP.
            path: of the route, not of the request: there must not be a count for every image.
            status: of HTTP; 0: the client went away.
            seconds: it took.
        """
        method = method if method in ("GET", "HEAD", "POST", "DELETE") else "other"
        self._requests.labels(method, path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All counts."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """What the service knows itself."""
        embedder = self._service.embedder
        yield CounterMetricFamily("reid_dml_images", "Images through the networks", embedder.items)
        yield CounterMetricFamily("reid_dml_batches", "Forward passes", embedder.batches)
        yield GaugeMetricFamily("reid_dml_waiting_images", "Images waiting for the networks or in them", len(embedder))
        try:
            count = len(self._service.gallery.current())
        except UserError:
            return
        yield GaugeMetricFamily("reid_dml_gallery_images", "Images of the gallery", count)
