"""What holds for every answer: ids, headers, the token."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette", reason="needs the extra serve")

from starlette.testclient import TestClient

from sqam.server.app import application
from sqam.server.middleware import Draining

TOKEN = "a-long-secret"
EVERYWHERE = ["/", "/static/style.css", "/static/emojis.png", "/healthz", "/readyz", "/metrics",
              "/openapi.json"]  # fmt: skip
CALLS = ["/v1/emojis", "/v1/generate?n=1", "/v1/rank", "/v1/nothing"]


@pytest.fixture(scope="module")
def client(quick_engine):
    with TestClient(application(quick_engine)) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(quick_engine):
    with TestClient(application(quick_engine, token=TOKEN)) as client:
        yield client


@pytest.mark.parametrize("path", [*EVERYWHERE, *CALLS, "/nowhere"])
def test_every_answer_has_an_id_and_keeps_browsers_safe(client, path):
    headers = client.get(path, headers={"origin": "https://elsewhere.example"}).headers
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
    policy = dict(one.split(" ", 1) for one in headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert not [name for name in headers if name.startswith("access-control-")]
    assert "server" not in headers


def test_other_sites_are_not_let_in(client):
    response = client.options(
        "/v1/rank",
        headers={
            "origin": "https://elsewhere.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type",
        },
    )
    assert response.status_code == 405
    assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("given", ["a", "A-z_0.9", "x" * 64])
def test_a_sane_id_of_the_request_is_kept(client, given):
    assert client.get("/healthz", headers={"x-request-id": given}).headers["x-request-id"] == given
    assert client.get("/nowhere", headers={"x-request-id": given}).json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", '"', "<b>", "é", "a\x7f"])
def test_another_id_is_replaced(client, given):
    found = client.get("/healthz", headers={"x-request-id": given.encode("latin-1")}).headers
    assert re.fullmatch(r"[0-9a-f]{32}", found["x-request-id"])


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer a-long-secre",
        "Bearer a-long-secretx",
        "Bearer A-LONG-SECRET",
        "Basic a-long-secret",
        "a-long-secret",
        "Bearer é",
    ],
)
def test_calls_need_the_token(guarded, path, given):
    headers = {} if given is None else {"authorization": given.encode("latin-1")}
    for method in ("GET", "POST", "PUT"):
        response = guarded.request(method, path, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/problem+json"
        assert TOKEN not in response.text


def test_two_tokens_are_none(guarded):
    headers = [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer x")]
    assert guarded.get("/v1/emojis", headers=headers).status_code == 401


@pytest.mark.parametrize("given", ["Bearer a-long-secret", "bearer a-long-secret"])
def test_the_token_opens_calls(guarded, given):
    assert guarded.get("/v1/emojis", headers={"authorization": given}).status_code == 200


@pytest.mark.parametrize("path", EVERYWHERE)
def test_the_rest_needs_no_token(guarded, path):
    assert guarded.get(path).status_code == 200


@given(st.binary(max_size=40).filter(lambda one: not set(one) & set(b"\r\n\0")))
def test_no_other_token_opens_calls(guarded, given):
    assert guarded.get("/v1/emojis", headers={"authorization": given}).status_code == 401


def test_who_drains_says_so(quick_engine):
    draining = Draining()
    with TestClient(application(quick_engine, draining=draining)) as client:
        before = client.get("/readyz")
        assert before.status_code == 200 and "connection" not in before.headers
        draining.began = True
        ready, live, call = (client.get(path) for path in ("/readyz", "/healthz", "/v1/emojis"))
    assert (ready.status_code, live.status_code, call.status_code) == (503, 200, 200)
    assert ready.headers["content-type"] == "application/problem+json"
    for response in (ready, live, call):
        assert response.headers["connection"] == "close"
