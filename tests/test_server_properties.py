"""Whatever is sent, the service answers as its OpenAPI says, and never with an error of its own."""

import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("starlette", reason="needs the extra serve")
pytest.importorskip("schemathesis", reason="needs the extra test")

import schemathesis
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.testclient import TestClient

from sqam.server.app import application
from sqam.server.calls import CALLS

MALFORMED = 10_000
"""Requests of the slow test that must be refused."""

PATIENT = settings(deadline=None, suppress_health_check=list(HealthCheck))
TAKING = [call for call in CALLS if call.takes is not None]


@pytest.fixture(scope="module")
def app(quick_engine):
    return application(quick_engine)


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def described(app):
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def ask(described, call, mode, examples):
    """Make requests that the OpenAPI allows, or does not; count the statuses of the answers."""
    statuses: Counter[int] = Counter()

    @settings(PATIENT, max_examples=examples)
    @given(described[call.path][call.method.upper()].as_strategy(mode))
    def check(case):
        response = case.call()
        assert response.status_code < 500
        # Of what a schema allows not all can be answered: most strings are no emoji, or no word.
        excluded = [positive_data_acceptance]
        # 413 is a refusal that this check does not know; and in a form a number is a text as well.
        # A parameter with no values is not on the wire, so there is nothing to refuse.
        sent = [] not in (case.query or {}).values()
        if response.status_code == 413 or call.form or not sent:
            excluded.append(negative_data_rejection)
        case.validate_response(response, excluded_checks=excluded)
        if sent:
            statuses[response.status_code] += 1

    check()
    return statuses


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.path)
def test_what_the_openapi_allows(described, call):
    assert set(ask(described, call, GenerationMode.POSITIVE, 20)) <= {200, 422}


@pytest.mark.parametrize("call", TAKING, ids=lambda call: call.path)
def test_what_the_openapi_does_not_allow(described, call):
    refused = {400, 413, 415, 422}
    found = set(ask(described, call, GenerationMode.NEGATIVE, 20))
    assert found <= refused | ({200} if call.form else set())


# What no OpenAPI can describe

PATHS = st.sampled_from([call.path for call in CALLS] + ["/", "/healthz", "/static/app.js"])
METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "BREW"])
HEADERS = st.dictionaries(
    st.sampled_from(
        ["content-type", "content-encoding", "content-length", "accept-encoding", "if-none-match",
         "authorization", "x-request-id", "expect", "transfer-encoding"]
    ),
    st.sampled_from(
        ["", "application/json", "application/json; charset=x", "multipart/form-data; boundary=b",
         "multipart/form-data", "gzip", "gzip;q=x", "-1", "1e3", "99999999999", '"', "*", "a" * 70]
    )
    | st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20),
    max_size=3,
)  # fmt: skip
NAMES = ["text", "texts", "k", "among", "blend", "offsets", "from", "to", "steps", "n", "seed",
         "finish", "emoji", "weight", "min_score", "max_per_sentence"]  # fmt: skip
SCALARS = (
    st.sampled_from(
        ["pizza", "😀", "❤️", "👍🏽", "", "\ud800", "\x00", "5", 0, 1, 8, -1, 2**31, 2**64]
    )
    | st.none()
    | st.booleans()
    | st.floats()
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=17)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5)


def sane(response):
    """Tell the status; what is no success is a problem that says so."""
    assert response.status_code < 500, response.text
    if response.status_code >= 400 and response.request.method != "HEAD":
        found = json.loads(response.content)
        assert found["status"] == response.status_code and "\n" not in found["detail"]
    return response.status_code


def any_json(client, path, body):
    # Not the client's own JSON, which knows neither NaN nor lone surrogates.
    headers = {"content-type": "application/json"}
    return sane(client.post(path, content=json.dumps(body), headers=headers))


@settings(PATIENT, max_examples=150)
@given(st.sampled_from([call.path for call in CALLS if call.method == "post"]), BODIES)
def test_any_json(client, path, body):
    any_json(client, path, body)


@settings(PATIENT, max_examples=150)
@given(METHODS, PATHS, HEADERS, st.binary(max_size=60))
def test_any_request(client, method, path, headers, content):
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    sane(client.request(method, path, headers=encoded, content=content))


@settings(PATIENT, max_examples=100)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
def test_any_path(client, path):
    assert sane(client.get(f"/v1/x{path}")) in (404, 400)
    sane(client.get(f"/static/{path}"))
    sane(client.get(f"/v1/generate?n=1&{path}"))


@pytest.mark.slow
def test_ten_thousand_malformed_requests_give_no_error_of_the_server(described, client):
    statuses: Counter[int] = Counter()
    for call in TAKING:
        statuses += ask(described, call, GenerationMode.NEGATIVE, MALFORMED // len(TAKING))

    @settings(PATIENT, max_examples=MALFORMED // 2)
    @given(st.sampled_from([call.path for call in CALLS if call.method == "post"]), BODIES)
    def ask_anything(path, body):
        statuses[any_json(client, path, body)] += 1

    ask_anything()
    print(dict(statuses))
    refused = sum(number for status, number in statuses.items() if status >= 400)
    assert refused >= MALFORMED and max(statuses) < 500
