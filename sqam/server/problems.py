"""Errors as RFC 9457 has them: ``application/problem+json``, one line that says what to mend."""

import http
import json
from collections.abc import Mapping, Sequence

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    """What ends a request early: a status and one line.

    Attributes:
        status: of HTTP, 400 to 599.
        detail: names the value and the remedy.
        errors: of several things that are wrong, each a ``pointer`` and a ``detail``.
        headers: that the answer has beside its usual ones.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[Mapping[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers


def busy(what: str, seconds: int = 1) -> ProblemError:
    """Return what is said when there is no room for one more request."""
    detail = f"{what}; try again in {seconds} s"
    return ProblemError(429, detail, headers={"Retry-After": str(seconds)})


def response(problem: ProblemError, request_id: str) -> Response:
    """Return the answer that tells of a problem."""
    content = {
        "type": "about:blank",
        "title": http.HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": " ".join(problem.detail.split()),
        "request_id": request_id,
    }
    if problem.errors is not None:
        content["errors"] = problem.errors
    return Response(
        json.dumps(content, ensure_ascii=False),
        problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )
