"""The OpenAPI 3.1 document: of the calls, their models and their examples."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from emoji_vae import __version__
from sqam.server import problems, schemas
from sqam.server.calls import CALLS, Call
from sqam.server.settings import ServerSettings

_PLACE = "#/components/schemas/"
_PROBLEMS = {
    400: "the body cannot be read",
    401: "the token is missing or wrong",
    413: "the body or a picture is too large",
    415: "the body is of another type",
    422: "a value is not what was asked for, or nothing can be said of this text",
    429: "too many requests at once; Retry-After says when to try again",
    503: "the server is about to stop",
    504: "it took too long",
}


def document(settings: ServerSettings, token: bool) -> dict[str, Any]:
    """Return the document, which JSON can hold.

    Args:
        settings: whose limits it tells.
        token: whether calls need one.
    """
    models: list[Any] = [(schemas.ProblemDetails, "serialization")]
    for call in CALLS:
        models.append((call.gives, "serialization"))
        if call.takes is not None:
            models.append((call.takes, "validation"))
    _, definitions = models_json_schema(models, ref_template=f"{_PLACE}{{model}}")
    found = definitions["$defs"]
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call, found, settings, token)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "emoji-sqam",
            "version": __version__,
            "summary": "Ranks, explains, inserts, draws and blends emojis.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {**paths, **_probes()},
        "components": {
            "schemas": found,
            **(
                {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
                if token
                else {}
            ),
        },
    }


def _operation(
    call: Call, found: Mapping[str, Any], settings: ServerSettings, token: bool
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": call.path.removeprefix("/v1/").replace("-", "_"),
        "summary": call.summary,
        "responses": {
            "200": {
                "description": "fine",
                "content": {"application/json": {**_model(call.gives), "example": call.answer}},
            },
            **_problems(_statuses(call, token)),
        },
    }
    if token:
        told["security"] = [{"token": []}]
    if call.takes is None:
        return told
    told["description"] = call.takes.__doc__
    if call.method == "get":
        (example,) = call.examples.values()
        told["parameters"] = [
            {"name": name, "in": "query", "schema": schema, "example": example[name]}
            for name, schema in found[call.takes.__name__]["properties"].items()
        ]
    elif call.form:
        told["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": _form(call, found, settings)},
        }
    else:
        content = {**_model(call.takes), "examples": _named(call)}
        told["requestBody"] = {"required": True, "content": {"application/json": content}}
    return told


def _form(call: Call, found: Mapping[str, Any], settings: ServerSettings) -> dict[str, Any]:
    assert call.takes is not None
    fields = found[call.takes.__name__]
    pictures = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "maxItems": settings.pictures,
        "description": f"Files of at most {settings.picture_bytes} bytes and "
        f"{settings.picture_pixels} pixels.",
    }
    return {
        "schema": {
            **fields,
            "properties": {**fields["properties"], "pictures": pictures},
            "required": [*fields["required"], "pictures"],
        },
        "examples": _named(call),
    }


def _probes() -> dict[str, Any]:
    """Return the paths beside the calls; none needs a token."""
    live = _probe(
        "healthz", "Tell whether the server lives", "application/json", {"status": "live"}
    )
    ready = _probe(
        "readyz", "Tell whether it takes requests", "application/json", {"status": "ready"}
    )
    ready["get"]["responses"] |= _problems([503])
    figures = 'sqam_requests_total{method="POST",route="/v1/rank",status="200"} 12.0\n'
    metrics = _probe("metrics", "Give figures to Prometheus", "text/plain", figures)
    return {"/healthz": live, "/readyz": ready, "/metrics": metrics}


def _probe(name: str, summary: str, media_type: str, example: Any) -> dict[str, Any]:
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "responses": {
                "200": {"description": "fine", "content": {media_type: {"example": example}}}
            },
            "security": [],
        }
    }


def _named(call: Call) -> dict[str, Any]:
    return {name: {"value": example} for name, example in call.examples.items()}


def _statuses(call: Call, token: bool) -> list[int]:
    statuses = [429, 504]
    if token:
        statuses.append(401)
    if call.takes is not None:
        statuses.append(422)
        if call.method == "post":
            statuses += [400, 413, 415]
    return sorted(statuses)


def _model(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": f"{_PLACE}{model.__name__}"}}


def _problems(statuses: Iterable[int]) -> dict[str, Any]:
    return {
        str(status): {
            "description": _PROBLEMS[status],
            "content": {problems.MEDIA_TYPE: _model(schemas.ProblemDetails)},
        }
        for status in statuses
    }
