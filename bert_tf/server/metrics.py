"""The metrics of a server, in the text form of Prometheus."""

from collections.abc import Callable, Mapping

from bert_tf.server.access_log import RequestRecord

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counts requests and batches. Each server has its own.

    Args:
        waiting: returns the number of texts that wait for the model.
        held: returns the number of requests that the server holds.
        versions: returns the newest version of each model.

    Raises:
        ImportError: prometheus-client is not installed.
    """

    def __init__(
        self, waiting: Callable[[], float], held: Callable[[], float], versions: Callable[[], Mapping[str, int]]
    ) -> None:
        import prometheus_client as prometheus

        self._registry = prometheus.CollectorRegistry()
        registry = self._registry
        prometheus.ProcessCollector(registry=registry)  # memory, processor time, open files
        labels = ("model", "verb")
        self._requests = prometheus.Counter(
            "bert_tf_requests", "Requests that ended.", (*labels, "status"), registry=registry
        )
        self._seconds = prometheus.Histogram(
            "bert_tf_request_seconds", "Time from a request to its answer.", labels, buckets=_SECONDS, registry=registry
        )
        self._texts = prometheus.Counter("bert_tf_texts", "Texts that were asked.", labels, registry=registry)
        self._batches = prometheus.Histogram(
            "bert_tf_batch_texts", "Texts that were computed together.", buckets=_TEXTS, registry=registry
        )
        self._batch_seconds = prometheus.Histogram(
            "bert_tf_batch_seconds", "Time that a batch took.", buckets=_SECONDS, registry=registry
        )
        queue = prometheus.Gauge("bert_tf_queue_texts", "Texts that wait for the model.", registry=registry)
        queue.set_function(waiting)
        requests = prometheus.Gauge("bert_tf_requests_held", "Requests that are being answered.", registry=registry)
        requests.set_function(held)
        self._version = prometheus.Gauge(
            "bert_tf_model_version", "The newest version that answers.", ("model",), registry=registry
        )
        self._versions = versions

    def request(self, record: RequestRecord) -> None:
        """Count a request that has ended."""
        labels = (record.model, record.verb)
        self._requests.labels(*labels, str(record.status)).inc()
        self._seconds.labels(*labels).observe(record.seconds)
        if record.texts:
            self._texts.labels(*labels).inc(record.texts)

    def batch(self, texts: int, seconds: float) -> None:
        """Count a batch."""
        self._batches.observe(texts)
        self._batch_seconds.observe(seconds)

    def page(self) -> tuple[bytes, str]:
        """Return the page of all metrics, and its content type."""
        import prometheus_client as prometheus

        for model, number in self._versions().items():
            self._version.labels(model).set(number)
        return prometheus.generate_latest(self._registry), prometheus.CONTENT_TYPE_LATEST
