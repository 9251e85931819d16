"""Metrics and log lines: what they say, what they do not, and that they hold nobody up."""

import io
import json
import logging
import sys
import threading

import pytest

pytest.importorskip("starlette", reason="needs the extra serve")

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from sqam.server import observe
from sqam.server.app import application

SECRET = "my very private words"


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def counted(found, route, method, status):
    labels = [("method", method), ("route", route), ("status", str(status))]
    return found.get(("sqam_requests_total", *labels), 0)


def test_metrics(quick_engine):
    with TestClient(application(quick_engine)) as client:
        for _ in range(3):
            client.post("/v1/rank", json={"texts": ["a", "b"]})
        client.post("/v1/rank", json={})
        client.request("BREW", "/v1/rank")
        client.request("BREW2", "/v1/rank")
        for number in range(5):
            client.get(f"/v1/{number}")
            client.get(f"/static/{number}.js")
        response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(response.text)
    assert counted(found, "/v1/rank", "POST", 200) == 3
    assert counted(found, "/v1/rank", "POST", 422) == 1
    # Whatever is asked for, the labels are ours.
    assert counted(found, "/v1/rank", "other", 405) == 2
    assert counted(found, "none", "GET", 404) == 5
    assert counted(found, "/static/{name}", "GET", 404) == 5
    assert found[("sqam_batch_texts_count",)] == 3 and found[("sqam_batch_texts_sum",)] == 6
    assert found[("sqam_request_seconds_count", ("route", "/v1/rank"))] == 6
    for place in ("in flight", "rank", "read", "draw", "imagine", "upload"):
        assert found[("sqam_places_taken", ("place", place))] == 0


def test_two_servers_do_not_share_their_figures(quick_engine):
    with TestClient(application(quick_engine)) as one, TestClient(application(quick_engine)) as two:
        one.get("/healthz")
        assert counted(samples(one.get("/metrics").text), "/healthz", "GET", 200) == 1
        assert counted(samples(two.get("/metrics").text), "/healthz", "GET", 200) == 0


def lines(monkeypatch, level, work):
    """Run the work with logs of this level; return its lines."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with observe.logs(level):
        work()
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_log_lines(quick_engine, monkeypatch):
    def work():
        with TestClient(application(quick_engine)) as client:
            headers = {"x-request-id": "mine"}
            client.post("/v1/rank", json={"text": SECRET}, headers=headers)
            client.get(f"/v1/generate?n={SECRET}")
            client.get(f"/{SECRET}", headers={"authorization": "Bearer hidden"})

    found = lines(monkeypatch, "info", work)
    found = [line for line in found if line["event"] == "request"]
    assert [(line["route"], line["status"]) for line in found] == [
        ("/v1/rank", 200),
        ("/v1/generate", 422),
        ("none", 404),
    ]
    first = found[0]
    assert list(first) == [
        "time", "level", "logger", "event", "request_id", "client", "method", "route", "status",
        "milliseconds",
    ]  # fmt: skip
    assert (first["request_id"], first["method"], first["level"]) == ("mine", "POST", "info")
    assert first["milliseconds"] > 0 and first["time"].endswith("+00:00")
    # What was asked for, and by what right, is nobody's business.
    told = json.dumps(found)
    assert "private" not in told and "hidden" not in told


def test_the_level_of_the_log(quick_engine, monkeypatch):
    def work():
        with TestClient(application(quick_engine)) as client:
            client.get("/healthz")

    assert not lines(monkeypatch, "warning", work)


def test_exceptions_and_odd_values_fit_on_a_line(monkeypatch):
    # Pytest's own handlers would keep what no report of a parallel run can hold.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    def work():
        try:
            raise ValueError("a\nb\ud800\x1b[31m")
        except ValueError:
            log = logging.getLogger("sqam.server")
            log.exception("it %s", "failed", extra={"fields": {"where": sys, "\n": 1}})

    (found,) = lines(monkeypatch, "info", work)
    assert found["event"] == "it failed" and found["\n"] == 1
    assert found["exception"].startswith("Traceback") and "\x1b" in found["exception"]


def test_a_reader_that_stands_still_holds_up_nobody(monkeypatch):
    monkeypatch.setattr(observe, "_MOST_LINES", 5)
    going, begun = threading.Event(), threading.Event()

    class Stuck(io.StringIO):
        def write(self, text):
            begun.set()
            assert going.wait(30)
            return super().write(text)

    stuck = Stuck()
    monkeypatch.setattr(sys, "stderr", stuck)
    log = logging.getLogger("sqam.server")
    with observe.logs("info"):
        log.info("first")
        assert begun.wait(30)
        for number in range(100):  # would never end if it waited
            log.info("line %s", number)
        going.set()
    events = [json.loads(line)["event"] for line in stuck.getvalue().splitlines()]
    assert events == ["first", "line 0", "line 1", "line 2", "line 3", "line 4"]


def test_a_reader_that_never_reads_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr(observe, "_MOST_LINES", 1)
    monkeypatch.setattr(observe, "_LAST_WORDS", 0.01)
    going = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text):
            going.wait()
            return len(text)

    monkeypatch.setattr(sys, "stderr", Stuck())
    with observe.logs("info"):
        for _ in range(10):
            logging.getLogger("sqam.server").info("never read")
    going.set()


def test_the_log_is_left_as_it_was():
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with observe.logs("debug"):
        assert root.level == logging.DEBUG
    assert (root.level, list(root.handlers)) == before
