"""The OpenAPI tells of every call, with examples that are as it says, and tells the limits."""

import jsonschema_rs
import pytest

pytest.importorskip("starlette", reason="needs the extra serve")

from starlette.testclient import TestClient

from sqam.server import openapi, schemas
from sqam.server.app import application
from sqam.server.calls import CALLS
from sqam.server.settings import ServerSettings


@pytest.fixture(scope="module")
def document():
    return openapi.document(ServerSettings(), token=False)


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def valid(document, schema, value):
    whole = {**schema, "components": document["components"]}
    return jsonschema_rs.validator_for(whole).is_valid(value)


def test_it_is_served(quick_engine, document):
    with TestClient(application(quick_engine)) as client:
        assert client.get("/openapi.json").json() == document


def test_every_call_is_told_of(document):
    told = {(path, method) for path, method, _ in operations(document)}
    assert told == {(call.path, call.method) for call in CALLS} | {
        (path, "get") for path in ("/healthz", "/readyz", "/metrics")
    }
    names = [operation["operationId"] for *_, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for *_, operation in operations(document))


def test_every_answer_has_an_example_that_is_as_it_says(document):
    for path, _, operation in operations(document):
        for media_type, content in operation["responses"]["200"]["content"].items():
            assert "example" in content, path
            if media_type == "application/json" and "schema" in content:
                assert valid(document, content["schema"], content["example"]), path


def test_every_request_has_examples_that_are_as_it_says(document):
    for call in CALLS:
        operation = document["paths"][call.path][call.method]
        if call.takes is None:
            assert "requestBody" not in operation and "parameters" not in operation
        elif call.method == "get":
            for parameter in operation["parameters"]:
                assert valid(document, parameter["schema"], parameter["example"])
        else:
            (content,) = operation["requestBody"]["content"].values()
            assert content["examples"]
            for example in content["examples"].values():
                assert valid(document, content["schema"], example["value"]), call.path


@pytest.mark.parametrize(
    ("body", "fine"),
    [
        ({"text": "a"}, True),
        ({"texts": ["a"], "among": None}, True),
        ({"text": "a", "texts": ["a"]}, False),
        ({"k": 3}, False),
        ({"text": "a", "k": 101}, False),
        ({"text": "a", "x": 1}, False),
    ],
)
def test_it_says_what_the_server_does(document, quick_engine, body, fine):
    assert valid(document, {"$ref": "#/components/schemas/Rank"}, body) is fine
    with TestClient(application(quick_engine)) as client:
        assert client.post("/v1/rank", json=body).status_code == (200 if fine else 422)


def test_errors_are_told_of(document):
    statuses = {
        call.path: set(document["paths"][call.path][call.method]["responses"]) for call in CALLS
    }
    assert statuses["/v1/rank"] == {"200", "400", "413", "415", "422", "429", "504"}
    assert statuses["/v1/generate"] == {"200", "422", "429", "504"}
    assert statuses["/v1/emojis"] == {"200", "429", "504"}
    problem = {"$ref": "#/components/schemas/ProblemDetails"}
    for *_, operation in operations(document):
        for status, response in operation["responses"].items():
            if status != "200":
                assert response["content"] == {"application/problem+json": {"schema": problem}}


def test_the_limits_of_this_server_are_told():
    told = openapi.document(ServerSettings(pictures=3, picture_bytes=5_000), token=False)
    content = told["paths"]["/v1/rank-pictures"]["post"]["requestBody"]["content"]
    pictures = content["multipart/form-data"]["schema"]["properties"]["pictures"]
    assert pictures["maxItems"] == 3 and "5000 bytes" in pictures["description"]


def test_a_token_is_told_of(document):
    assert "securitySchemes" not in document["components"]
    told = openapi.document(ServerSettings(), token=True)
    assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, _, operation in operations(told):
        assert operation["security"] == ([{"token": []}] if path.startswith("/v1/") else [])
        assert ("401" in operation["responses"]) is path.startswith("/v1/")


def test_texts_are_as_long_as_the_model_reads():
    from sqam.text import MAX_CHARACTERS

    assert schemas.MAX_TEXT == MAX_CHARACTERS == 20_000
