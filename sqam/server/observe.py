"""What can be seen of a running server: metrics for Prometheus, and log lines that are JSON."""

import contextlib
import datetime
import json
import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128)
_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
_MOST_LINES = 10_000
_LAST_WORDS = 2.0  # seconds for what is still to be written at the end


class Metrics:
    """The metrics of one server, in a registry of its own.

    Labels hold routes of ours, known methods and statuses alone, so that no request adds one.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._requests = Counter(
            "sqam_requests",
            "Requests that were answered",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "sqam_request_seconds",
            "From the head of a request to the end of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "sqam_batch_texts",
            "Texts that were ranked together",
            buckets=_TEXTS,
            registry=self._registry,
        )
        self._places = Gauge(
            "sqam_places_taken",
            "Requests that are worked on or wait, by the place that they take",
            ["place"],
            registry=self._registry,
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; ``status`` is 499 if the client went away before its answer."""
        method = method if method in _METHODS else "other"
        self._requests.labels(route, method, status).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, texts: int) -> None:
        """Count a batch."""
        self._batches.observe(texts)

    def watch(self, place: str, taken: Callable[[], float]) -> None:
        """Show how many requests are at a place, asked for when somebody looks."""
        self._places.labels(place).set_function(taken)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class JsonLines(logging.Formatter):
    """A log record as one line of JSON, in ASCII; ``extra={"fields": {...}}`` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _Handing(logging.Handler):
    """Hands records to the thread that writes; what that cannot keep up with is lost."""

    def __init__(self, records: "queue.Queue[logging.LogRecord | None]") -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self._records.put_nowait(record)


@contextlib.contextmanager
def logs(level: str) -> Iterator[None]:
    """Write log lines of this level and above to standard error, from a thread of its own.

    A reader that stands still holds up nobody: beyond some lines, more are lost.
    """
    records: queue.Queue[logging.LogRecord | None] = queue.Queue(_MOST_LINES)
    writing = logging.StreamHandler(sys.stderr)
    writing.setFormatter(JsonLines())

    def write() -> None:
        while (record := records.get()) is not None:
            writing.handle(record)

    writer = threading.Thread(target=write, name="log", daemon=True)
    handing = _Handing(records)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handing)
    root.setLevel(level.upper())
    # It tells of every malformed request, and of its own start and end, which are told here.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    writer.start()
    try:
        yield
    finally:
        root.removeHandler(handing)
        root.setLevel(before)
        with contextlib.suppress(queue.Full):
            records.put(None, timeout=_LAST_WORDS)
        writer.join(_LAST_WORDS)
