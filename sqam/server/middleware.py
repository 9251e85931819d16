"""What holds for every request before any call sees it: its id, its token, its turn.

All are plain ASGI, so that an answer of 429 costs next to nothing.
"""

import hmac
import logging
import re
import time
import uuid
from collections.abc import Iterable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sqam.server import problems
from sqam.server.observe import Metrics
from sqam.server.problems import ProblemError, busy

API = "/v1/"
"""What the paths of calls begin with."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFETY = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_GONE = 499
_log = logging.getLogger("sqam.server")


class Draining:
    """Whether the server is about to stop."""

    def __init__(self) -> None:
        self.began = False


class Exchange:
    """Gives every request an id, every answer its headers, every error a problem; counts and logs.

    Outermost. While the server drains, answers close their connections, so that whoever keeps one
    open learns to go elsewhere.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, draining: Draining) -> None:
        self._app = app
        self._metrics = metrics
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = _request_id(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                if self._draining.began:
                    headers.append((b"connection", b"close"))
                message["headers"] = headers + _SAFETY
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            pass
        except Exception as error:
            fields = {"request_id": request_id}
            _log.error("unexpected error", exc_info=error, extra={"fields": fields})
            if status:
                raise  # the answer has begun; that it is cut off tells that it is not whole
            problem = ProblemError(500, "something went wrong here; the server's log says what")
            await problems.response(problem, request_id)(scope, receive, answer)
        finally:
            self._told(scope, status or _GONE, request_id, time.perf_counter() - began)

    def _told(self, scope: Scope, status: int, request_id: str, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.answered(route, scope["method"], status, seconds)
        # Those that are turned away are many when there are any, and counted.
        if status != 429 and _log.isEnabledFor(logging.INFO):
            fields = {
                "request_id": request_id,
                "client": (scope.get("client") or (None,))[0],
                "method": scope["method"],
                "route": route,
                "status": status,
                "milliseconds": round(1000 * seconds, 2),
            }
            _log.info("request", extra={"fields": fields})


class Token:
    """Lets calls pass that bring the token; all, if there is none."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._wanted = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer 401."""
        if self._wanted is not None and _is_call(scope) and not self._brought(scope["headers"]):
            problem = ProblemError(
                401,
                "this server asks for a token; send it as Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": "Bearer"},
            )
            await problems.response(problem, scope["state"]["request_id"])(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _brought(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        assert self._wanted is not None
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) != 1:
            return False
        kind, _, token = given[0].partition(b" ")
        # Compared in the same time, however much of it is right.
        return hmac.compare_digest(token.strip(), self._wanted) and kind.lower() == b"bearer"


class Turn:
    """Lets so many calls in at once and turns the rest away, at once."""

    def __init__(self, app: ASGIApp, most: int, metrics: Metrics) -> None:
        self._app = app
        self._most = most
        self._inside = 0
        metrics.watch("in flight", lambda: self._inside)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer 429."""
        if not _is_call(scope):
            await self._app(scope, receive, send)
            return
        if self._inside >= self._most:
            problem = busy("too many requests at once")
            await problems.response(problem, scope["state"]["request_id"])(scope, receive, send)
            return
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1


def _is_call(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["path"].startswith(API)


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return value.decode("ascii")
    return uuid.uuid4().hex
