"""The calls over HTTP, each by its own examples, and what is refused."""

import asyncio
import io
import json
import threading
import time

import pytest
from PIL import Image

pytest.importorskip("starlette", reason="needs the extra serve")

import httpx2
from starlette.routing import Route
from starlette.testclient import TestClient

from sqam.server import calls, schemas
from sqam.server.app import application
from sqam.server.calls import CALLS
from sqam.server.engine import Engine
from sqam.server.settings import ServerSettings

FIVE = ["❤️", "⚾", "😄", "😞", "🍴"]
POSTS = [call for call in CALLS if call.method == "post"]
EXAMPLES = [(call, name) for call in CALLS for name in call.examples or [None]]


@pytest.fixture(scope="module")
def client(quick_engine):
    with TestClient(application(quick_engine)) as client:
        yield client


def picture(size=8, format="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (size, size), "orange").save(file, format)
    return file.getvalue()


def problem(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert set(found) - {"errors"} == {"type", "title", "status", "detail", "request_id"}
    assert found["status"] == status and found["type"] == "about:blank"
    assert found["request_id"] == response.headers["x-request-id"]
    assert "\n" not in found["detail"] and found["detail"]
    schemas.ProblemDetails.model_validate(found)
    return found


def ask(client, call, given, **options):
    if call.form:
        fields = {name: value for name, value in given.items() if name != "pictures"}
        files = [("pictures", (name, picture())) for name in given["pictures"]]
        return client.post(call.path, data=fields, files=files, **options)
    if call.method == "get":
        return client.get(call.path, params=given, **options)
    return client.post(call.path, json=given, **options)


@pytest.mark.parametrize(("call", "name"), EXAMPLES, ids=lambda one: getattr(one, "path", one))
def test_examples(client, call, name):
    response = ask(client, call, call.examples.get(name))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    for found in (response.json(), call.answer):
        # Nothing is said that the model does not tell of.
        call.gives.model_validate(found, extra="forbid")
    assert set(response.json()) <= set(call.answer)


def test_ranked(client, engine):
    found = client.post("/v1/rank", json={"texts": ["pizza", ""], "k": 2}).json()["results"]
    (expected,) = engine.rank([(["pizza", ""], 2, None)])
    assert found == expected and found[1] == {"text": "", "matches": []}
    found = client.post("/v1/rank", json={"text": "let's play", "among": FIVE}).json()
    assert sorted(match["emoji"] for match in found["results"][0]["matches"]) == sorted(FIVE)


@pytest.mark.parametrize("text", ["", " ", "\x00\x07", "xqzzt wvvk", "\u202e", "\ufffe"])
def test_texts_without_a_word(client, text):
    found = client.post("/v1/rank", json={"text": text}).json()
    assert found == {"results": [{"text": text, "matches": []}]}
    found = client.post("/v1/emojify", json={"text": text}).json()["results"]
    assert found == [{"text": text, "emojified": text, "insertions": []}]
    found = client.post("/v1/rank-pictures", data={"text": text}, files={"pictures": picture()})
    assert found.json() == {"text": text, "matches": []}
    for path in ("/v1/explain", "/v1/imagine"):
        problem(client.post(path, json={"text": text}), 422)


def test_texts_are_ranked_in_pieces(quick_engine):
    settings = ServerSettings(batch_texts=3, batch_characters=1_000)
    texts = ["pizza", "a" * 999, "sun", "rain", "b" * 5_000, "", "good", "bad", "cat", "dog"]
    with TestClient(application(quick_engine, settings)) as client:
        found = client.post("/v1/rank", json={"texts": texts, "k": 1}).json()["results"]
        assert [one["text"] for one in found] == texts
        told = client.get("/metrics").text
    # (pizza), (aaa…), (sun, rain), (bbb…), ("", good, bad), (cat, dog): each fits, or goes alone
    assert "sqam_batch_texts_count 6.0" in told and "sqam_batch_texts_sum 10.0" in told


@pytest.mark.parametrize("call", POSTS, ids=lambda call: call.path)
def test_what_no_call_takes(client, call):
    problem(client.post(call.path, content=b"{}", headers={"content-type": "text/plain"}), 415)
    problem(client.put(call.path), 405)
    if not call.form:
        said = problem(client.post(call.path, json={}), 422)
        assert said["errors"]
        for content, status in ((b"{", 400), (b" " * 1_000_001, 413)):
            headers = {"content-type": "application/json"}
            problem(client.post(call.path, content=content, headers=headers), status)


def test_what_is_no_call(client):
    for path in (
        "/v1", "/v1/", "/v1/rank/", "/v1/nothing", "/docs", "/static/", "/static/../app.py",
        "/static/..%2fapp.py", "/static/%2e%2e/settings.py", "/healthz/", "/%ed%a0%bd",
    ):  # fmt: skip
        problem(client.get(path), 404)
    problem(client.get("/v1/rank"), 405)
    assert client.get("/v1/rank").headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/rank", {"text": "a", "among": ["pizza"]}, "'pizza' is no emoji of the catalogue"),
        ("/v1/explain", {"text": "a", "among": ["../a"]}, "'../a' is no emoji"),
        ("/v1/emojify", {"text": "a", "among": ["❤️❤️"]}, "is no emoji"),
        ("/v1/emojify", {"text": "a", "min_score": 2}, "/min_score"),
        ("/v1/morph", {"from": "😀", "to": ""}, "/to"),
        ("/v1/morph", {"from": "😀", "to": "x"}, "'x' is no emoji"),
        ("/v1/morph", {"from": "😀", "to": "🐱", "steps": 33}, "/steps"),
        ("/v1/draw", {"blend": []}, "/blend"),
        ("/v1/draw", {"blend": [{"emoji": "😀", "weight": -1}]}, "/blend/0/weight"),
        ("/v1/draw", {"blend": [{"emoji": "😀", "weight": 0}]}, "weights"),
        ("/v1/draw", {"blend": [{"emoji": "😀"}], "offsets": [0.0] * 15}, "/offsets"),
        ("/v1/draw", {"blend": [{"emoji": "😀"}], "offsets": [8.1] * 16}, "/offsets/0"),
        ("/v1/imagine", {"text": "a", "n": 17}, "/n"),
    ],
)
def test_values_that_are_refused(client, path, body, said):
    assert said in problem(client.post(path, json=body), 422)["detail"]


def test_pictures(client):
    files = [("pictures", (name, picture())) for name in ("a.png", "../../etc/b", "é.png")]
    found = client.post("/v1/rank-pictures", data={"text": "sun"}, files=files).json()
    assert {one["picture"]: one["name"] for one in found["matches"]} == {
        0: "a.png",
        1: "../../etc/b",
        2: "é.png",
    }
    # Pictures that are alike tie, and keep their order.
    assert [one["picture"] for one in found["matches"]] == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"no picture", 422),
        (picture()[:40], 422),
        (picture(format="EPS"), 422),
        (picture(5_000), 422),  # 25 million pixels in 73 kB
        (b"\0" * 2_000_001, 413),
    ],
)
def test_pictures_that_are_refused(client, content, status):
    files = [("pictures", ("good.png", picture())), ("pictures", ("bad.png", content))]
    said = problem(client.post("/v1/rank-pictures", data={"text": "sun"}, files=files), status)
    assert "pictures 1" in said["detail"] or "picture 1" in said["detail"]


def test_too_many_pictures(client):
    files = [("pictures", ("a", picture()))] * 17
    problem(client.post("/v1/rank-pictures", data={"text": "sun"}, files=files), 422)


def test_drawings_of_the_same_seed_are_the_same(client):
    one, same, other = (
        client.get("/v1/generate", params={"n": 1, "seed": seed}).json() for seed in (1, 1, 2)
    )
    assert one == same != other
    problem(client.get("/v1/generate?n=1&n=2"), 422)
    problem(client.get("/v1/generate?temperature=NaN"), 422)


def test_emojis_come_once(client):
    first = client.get("/v1/emojis")
    assert len(first.json()["emojis"]) > 1_700
    again = client.get("/v1/emojis", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_head_has_no_body(client):
    response = client.head("/v1/emojis")
    assert response.status_code == 200 and response.content == b""


# Many at once


def gathered(app, work):
    """Run ``work(client)`` against the application, in an event loop of its own."""

    async def run():
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            return await asyncio.wait_for(work(client), 60)

    return asyncio.run(run())


def test_requests_at_once_become_few_calls_of_the_scorer(quick_engine):
    app = application(quick_engine)
    bodies = [
        {"text": f"{word} pizza {n}", "k": 1 + n % 3, **({"among": FIVE} if n % 5 == 0 else {})}
        for n, word in enumerate(["good", "bad", "old", "my"] * 15)
    ]

    async def work(client):
        alone = [await client.post("/v1/rank", json=body) for body in bodies]
        before = (await client.get("/metrics")).text
        together = await asyncio.gather(*(client.post("/v1/rank", json=body) for body in bodies))
        return alone, before, together, (await client.get("/metrics")).text

    alone, before, together, after = gathered(app, work)
    for one, other in zip(alone, together, strict=True):
        assert one.status_code == other.status_code == 200
        one, other = (response.json()["results"][0]["matches"] for response in (one, other))
        assert [m["emoji"] for m in one] == [m["emoji"] for m in other]
        assert [m["score"] for m in one] == pytest.approx([m["score"] for m in other], abs=2e-4)

    def batches(told):
        (line,) = (one for one in told.splitlines() if one.startswith("sqam_batch_texts_count"))
        return float(line.split()[1])

    assert batches(before) == 60
    assert batches(after) - batches(before) < 20


class Slow(Engine):
    """An engine whose work waits until it is let go."""

    def __init__(self, engine):
        vars(self).update(vars(engine))
        self.go = threading.Event()
        self.entered = threading.Semaphore(0)
        self.stopped = threading.Event()

    def rank(self, requests):
        self.entered.release()
        assert self.go.wait(60)
        return super().rank(requests)

    def generate(self, n, seed, temperature, progress=None):
        self.entered.release()
        try:
            while not self.go.wait(0.005):
                progress(0)
        except Exception:
            self.stopped.set()
            raise
        return super().generate(n, seed, temperature, progress)

    async def has_begun(self):
        await asyncio.to_thread(self.entered.acquire)


def test_one_more_than_can_be_handled_is_turned_away_at_once(quick_engine):
    slow = Slow(quick_engine)
    app = application(slow, ServerSettings(in_flight=5))

    async def work(client):
        asked = [asyncio.create_task(client.post("/v1/rank", json={"text": "a"})) for _ in range(5)]
        await slow.has_begun()
        refused = await client.post("/v1/rank", json={"text": "a"})
        other = await client.get("/v1/emojis")
        # How the server is can be asked all the same.
        seen = [await client.get(path) for path in ("/healthz", "/readyz", "/metrics", "/")]
        slow.go.set()
        answered = await asyncio.gather(*asked)
        again = await client.post("/v1/rank", json={"text": "a"})
        return refused, other, seen, answered, again

    refused, other, seen, answered, again = gathered(app, work)
    for response in (refused, other):
        problem(response, 429)
        assert response.headers["retry-after"] == "1"
    assert [response.status_code for response in seen] == [200] * 4
    assert 'sqam_places_taken{place="in flight"} 5.0' in seen[2].text
    assert [response.status_code for response in (*answered, again)] == [200] * 6


def test_slow_calls_have_places_of_their_own(quick_engine):
    slow = Slow(quick_engine)
    app = application(slow, ServerSettings(drawing_threads=1, waiting=1))

    async def work(client):
        asked = [asyncio.create_task(client.get("/v1/generate?n=1")) for _ in range(2)]
        await slow.has_begun()
        while 'sqam_places_taken{place="draw"} 2.0' not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.001)
        refused = await client.get("/v1/generate?n=1")
        explained = await client.post("/v1/explain", json={"text": "pizza"})
        slow.go.set()
        return refused, explained, await asyncio.gather(*asked)

    refused, explained, answered = gathered(app, work)
    problem(refused, 429)
    assert refused.headers["retry-after"] == "2"
    assert [response.status_code for response in (explained, *answered)] == [200] * 3


def test_what_takes_too_long_is_given_up(quick_engine):
    slow = Slow(quick_engine)
    app = application(slow, ServerSettings(timeout=0.2, slow_timeout=0.3))

    async def work(client):
        ranked = asyncio.create_task(client.post("/v1/rank", json={"text": "a"}))
        drawn = asyncio.create_task(client.get("/v1/generate?n=1"))
        late = await asyncio.gather(ranked, drawn)
        # The thread does not draw on for nobody.
        assert await asyncio.to_thread(slow.stopped.wait, 30)
        slow.go.set()
        return late, await client.post("/v1/rank", json={"text": "pizza"})

    (ranked, drawn), after = gathered(app, work)
    assert "0.2 s" in problem(ranked, 504)["detail"]
    assert "0.3 s" in problem(drawn, 504)["detail"]
    assert after.status_code == 200


def test_a_body_that_does_not_come_is_given_up(quick_engine):
    app = application(quick_engine, ServerSettings(timeout=0.2))

    # The client above would read the body whole before it calls the application.
    messages = [{"type": "http.request", "body": b'{"text": ', "more_body": True}]
    sent = []

    async def receive():
        if messages:
            return messages.pop()
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/rank",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    began = time.monotonic()
    asyncio.run(app(scope, receive, send))
    assert time.monotonic() - began < 30
    assert sent[0]["status"] == 504 and json.loads(sent[1]["body"])["status"] == 504


def test_a_client_that_leaves_stops_its_drawing(quick_engine):
    slow = Slow(quick_engine)
    app = application(slow, ServerSettings())
    messages = [{"type": "http.request", "body": b"", "more_body": False}]
    sent = []

    async def receive():
        if messages:
            return messages.pop()
        await slow.has_begun()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/generate",
        "query_string": b"n=1",
        "headers": [],
    }
    asyncio.run(app(scope, receive, send))
    assert not sent and slow.stopped.wait(30)


def test_one_who_leaves_does_not_break_the_batch_of_others(quick_engine):
    slow = Slow(quick_engine)
    app = application(slow)

    async def work(client):
        first = asyncio.create_task(client.post("/v1/rank", json={"text": "pizza"}))
        await slow.has_begun()
        others = [
            asyncio.create_task(client.post("/v1/rank", json={"text": "pizza"})) for _ in range(4)
        ]
        while 'sqam_places_taken{place="rank"} 4.0' not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.001)
        first.cancel()
        others[1].cancel()
        slow.go.set()
        return await asyncio.gather(*others, return_exceptions=True)

    found = gathered(app, work)
    assert isinstance(found.pop(1), asyncio.CancelledError)
    assert [response.json()["results"][0]["matches"][0]["emoji"] for response in found] == [
        "🍕"
    ] * 3


def test_an_unexpected_error_is_a_problem_without_its_inside(quick_engine, caplog):
    class Broken(Slow):
        def explain(self, *arguments):
            raise ZeroDivisionError("a secret")

    app = application(Broken(quick_engine))
    with TestClient(app) as client:
        response = client.post("/v1/explain", json={"text": "pizza"})
    said = problem(response, 500)
    assert "secret" not in response.text
    (record,) = (one for one in caplog.records if one.exc_info)
    assert record.fields["request_id"] == said["request_id"]


def test_calls_are_all_routed(quick_engine):
    routes = {
        route.path: route.methods or set()
        for route in application(quick_engine).routes
        if isinstance(route, Route)
    }
    for call in calls.CALLS:
        assert call.method.upper() in routes.pop(call.path)
    assert not [path for path in routes if path.startswith("/v1")]
