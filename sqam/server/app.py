"""The routes: a request in, its work to a thread, an answer out."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from emoji_vae.errors import InputError
from sqam.bulk import Result
from sqam.server import bodies, calls, openapi, problems, resources, schemas
from sqam.server.batching import Batcher
from sqam.server.engine import Engine
from sqam.server.middleware import Draining, Exchange, Token, Turn
from sqam.server.observe import Metrics
from sqam.server.pools import Pool
from sqam.server.problems import ProblemError
from sqam.server.settings import ServerSettings

Found = TypeVar("Found")

_UPLOADS = 3
"""That may wait for the one that is read: each holds its pictures in memory."""


def application(
    engine: Engine,
    settings: ServerSettings | None = None,
    token: str | None = None,
    draining: Draining | None = None,
) -> Starlette:
    """Return the service as an ASGI application.

    Args:
        engine: does the work.
        settings: its limits.
        token: that every call must bring; None asks for none.
        draining: tells whether the server is about to stop.
    """
    settings = settings or ServerSettings()
    draining = draining or Draining()
    metrics = Metrics()
    api = Api(engine, settings, metrics)
    document = _json(openapi.document(settings, token is not None))
    page = resources.page()
    page["emojis.png"] = resources.sheet()

    async def health(request: Request) -> Response:
        return Response(_json({"status": "live"}), media_type="application/json")

    async def ready(request: Request) -> Response:
        if draining.began:
            raise ProblemError(503, "the server is about to stop; ask another")
        return Response(_json({"status": "ready"}), media_type="application/json")

    async def figures(request: Request) -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def described(request: Request) -> Response:
        return Response(document, media_type="application/json")

    async def static(request: Request) -> Response:
        found = page.get(request.path_params.get("name", "index.html"))
        if found is None:
            raise HTTPException(404)
        return found.answer(request)

    app = Starlette(
        routes=[
            *api.routes(),
            Route("/healthz", health),
            Route("/readyz", ready),
            Route("/metrics", figures),
            Route("/openapi.json", described),
            Route("/static/{name}", static),
            Route("/", static),
        ],
        middleware=[
            Middleware(Exchange, metrics, draining),
            Middleware(Token, token),
            Middleware(Turn, settings.in_flight, metrics),
        ],
        exception_handlers={
            ProblemError: _told,
            InputError: _refused,
            HTTPException: _not_there,
        },
    )
    app.router.redirect_slashes = False  # it would send people where the Host header says
    return app


class Api:
    """The calls of `calls`: each method takes a request and returns what its answer says."""

    def __init__(self, engine: Engine, settings: ServerSettings, metrics: Metrics) -> None:
        self._engine = engine
        self._settings = settings
        self._batcher = Batcher(
            engine.rank, settings.batch_texts, settings.batch_characters, metrics.batch
        )
        waiting = settings.waiting
        self._reading = Pool("read", 1, waiting)
        self._drawing = Pool("draw", settings.drawing_threads, waiting)
        self._imagining = Pool("imagine", 1, waiting)
        self._uploading = Pool("upload", 1, min(waiting, _UPLOADS))
        self._emojis = resources.Resource(_json({"emojis": engine.emojis()}), "application/json")
        metrics.watch("rank", lambda: len(self._batcher))
        for pool in (self._reading, self._drawing, self._imagining, self._uploading):
            metrics.watch(pool.name, pool.__len__)

    def routes(self) -> Iterator[Route]:
        """Yield a route for each call."""
        for call, handler in (
            (calls.RANK, self._rank),
            (calls.EXPLAIN, self._explain),
            (calls.EMOJIFY, self._emojify),
            (calls.RANK_PICTURES, self._rank_pictures),
            (calls.GENERATE, self._generate),
            (calls.IMAGINE, self._imagine),
            (calls.DRAW, self._draw),
            (calls.MORPH, self._morph),
            (calls.EMOJIS, self._list_emojis),
        ):
            seconds = self._settings.slow_timeout if call.slow else self._settings.timeout
            yield Route(call.path, _Endpoint(handler, seconds), methods=[call.method.upper()])

    async def _body(self, request: Request, model: type[bodies.Read]) -> bodies.Read:
        return await bodies.json_body(request, model, self._settings.body_bytes)

    async def _rank(self, request: Request) -> Any:
        body = await self._body(request, schemas.Rank)
        results: list[Result] = []
        # A large request goes through in pieces, and small ones pass between them.
        for texts, characters in self._pieces(body.given):
            asked = (texts, body.k, body.among)
            results += await self._batcher.ask(asked, len(texts), characters)
        return {"results": results}

    def _pieces(self, texts: Sequence[str]) -> Iterator[tuple[list[str], int]]:
        """Yield texts that fit into one batch, with their length."""
        piece: list[str] = []
        characters = 0
        for text in texts:
            full = len(piece) == self._settings.batch_texts
            if piece and (full or characters + len(text) > self._settings.batch_characters):
                yield piece, characters
                piece, characters = [], 0
            piece.append(text)
            characters += len(text)
        if piece:
            yield piece, characters

    async def _explain(self, request: Request) -> Any:
        body = await self._body(request, schemas.Explain)
        with self._reading.place() as place:
            return await place.run(lambda _: self._engine.explain(body.text, body.k, body.among))

    async def _emojify(self, request: Request) -> Any:
        body = await self._body(request, schemas.Emojify)
        with self._reading.place() as place:
            results = await place.run(
                lambda _: self._engine.emojify(
                    body.given, body.max_per_sentence, body.min_score, body.among
                )
            )
        return {"results": results}

    async def _rank_pictures(self, request: Request) -> Any:
        settings = self._settings
        # The place comes first: uploads that wait for one would fill the memory.
        with self._uploading.place() as place:
            body, pictures = await bodies.form(
                request,
                schemas.RankPictures,
                "pictures",
                settings.pictures,
                settings.picture_bytes,
                settings.upload_bytes,
            )
            matches = await _unless_gone(
                request,
                place.run(
                    lambda _: self._engine.rank_pictures(
                        body.text, pictures, settings.picture_pixels
                    )
                ),
            )
        return {"text": body.text, "matches": matches}

    async def _generate(self, request: Request) -> Any:
        asked = bodies.query(request, schemas.Generate)
        drawings = await _in_place(
            request,
            self._drawing,
            lambda go_on: self._engine.generate(asked.n, asked.seed, asked.temperature, go_on),
        )
        return {"drawings": drawings}

    async def _imagine(self, request: Request) -> Any:
        body = await self._body(request, schemas.Imagine)
        return await _in_place(
            request,
            self._imagining,
            lambda go_on: self._engine.imagine(body.text, body.n, body.seed, go_on),
        )

    async def _draw(self, request: Request) -> Any:
        body = await self._body(request, schemas.Draw)
        parts = [(part.emoji, part.weight) for part in body.blend]
        return await _in_place(
            request,
            self._drawing,
            lambda go_on: self._engine.draw(
                parts, body.offsets, body.finish, body.seed, body.text, go_on
            ),
        )

    async def _morph(self, request: Request) -> Any:
        body = await self._body(request, schemas.Morph)
        frames = await _in_place(
            request,
            self._drawing,
            lambda go_on: self._engine.morph(body.start, body.end, body.steps, go_on),
        )
        return {"frames": frames}

    async def _list_emojis(self, request: Request) -> Response:
        return self._emojis.answer(request)


class _Endpoint:
    """A handler as an ASGI application that has so many seconds, its answer's way out included."""

    def __init__(self, handler: Callable[[Request], Awaitable[Any]], seconds: float) -> None:
        self._handler = handler
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._handler(request)
                if not isinstance(found, Response):
                    found = Response(_json(found), media_type="application/json")
                await found(scope, receive, send)
        except TimeoutError as error:
            raise ProblemError(
                504, f"it took longer than {self._seconds:g} s; ask for less, or later"
            ) from error


async def _in_place(
    request: Request, pool: Pool, work: Callable[[Callable[[object], None]], Found]
) -> Found:
    with pool.place() as place:
        return await _unless_gone(request, place.run(work))


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Found]) -> Found:
    """Return what the work gives; stop it if the client, whose body was read, goes away first."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(found: Any) -> bytes:
    return json.dumps(found, ensure_ascii=False, allow_nan=False).encode()


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problems.response(error, request.state.request_id)


async def _refused(request: Request, error: Exception) -> Response:
    return await _told(request, ProblemError(422, str(error)))


async def _not_there(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {404: "there is nothing here; /openapi.json tells what there is"}.get(
        error.status_code, f"{request.method} is nothing that can be done here"
    )
    return await _told(request, ProblemError(error.status_code, said, headers=error.headers))
