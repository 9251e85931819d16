"""Runs the service as a process: its socket, its signals, and its end, which loses no request."""

import asyncio
import contextlib
import ipaddress
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType

from emoji_vae.errors import InputError, MissingExtraError

try:
    import uvicorn

    from sqam.server.app import application
    from sqam.server.connection import Connection
    from sqam.server.observe import logs
except ImportError as error:
    raise MissingExtraError("The server", "serve") from error
from sqam.server.engine import Engine
from sqam.server.middleware import Draining
from sqam.server.settings import ServerSettings

_LINGER = 0.2
"""Seconds in which requests come in whose connections were there before listening ended."""

_log = logging.getLogger("sqam.server")


def serve(
    host: str,
    port: int,
    folder: Path | None = None,
    settings: ServerSettings | None = None,
    token: str | None = None,
    level: str = "info",
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        host: a name or an address of this machine.
        port: 0 takes any that is free.
        folder: models of one's own, laid out like assets/models.
        settings: limits.
        token: that calls must bring.
        level: of the log.

    Raises:
        InputError: an address that cannot be listened on, a token that no header can hold, or a
            model that cannot be opened.
    """
    settings = settings or ServerSettings()
    if token is not None and not _is_token(token):
        raise InputError("the token must be 1 to 512 visible ASCII characters without spaces")
    with contextlib.closing(_listening(host, port)) as listener, logs(level):
        draining = Draining()
        app = application(Engine.load(folder), settings, token, draining)
        Connection.head_timeout = settings.head_timeout
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            # Requests end by themselves before that; who does not read his answer is cut off.
            timeout_graceful_shutdown=math.ceil(max(settings.timeout, settings.slow_timeout)) + 1,
        )
        host, port = listener.getsockname()[:2]

        def started() -> None:
            print(f"listening on {_url(host, port)} (Ctrl-C ends it)", flush=True)
            fields = {"address": _url(host, port), "pid": os.getpid(), "token": token is not None}
            _log.info("listening", extra={"fields": fields})
            if token is None and not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
                _log.warning("who reaches this address may use it; --token asks for a token")

        _Server(config, draining, settings.drain, started).run([listener])
        _log.info("stopped")


class _Server(uvicorn.Server):
    """uvicorn's server with an end in three steps.

    At SIGTERM it says that it is not ready, and goes on for ``drain`` seconds, so that whoever
    shares requests out sends no more. Then it listens no more, and answers what was sent. Then it
    closes its connections. SIGINT skips the first step, a second signal all of them.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        draining: Draining,
        drain: float,
        started: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._told = started
        self._draining = draining
        self._drain = drain
        self._end = math.inf

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Handle signals; unlike uvicorn's, the process then ends by itself, with code 0."""
        before = {
            one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop, or stop at once if it has begun."""
        if self._draining.began:
            self.should_exit = self.force_exit = True
            return
        self._draining.began = True
        self._end = time.monotonic() + (self._drain if sig == signal.SIGTERM else 0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell so."""
        await super().startup(sockets)
        if self.started:
            self._told()

    async def on_tick(self, counter: int) -> bool:
        """Tell, ten times a second, whether to stop listening."""
        if time.monotonic() >= self._end:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer what has been sent, close the connections."""
        # Closing a listening socket drops the connections that wait to be taken from it. A copy of
        # the socket keeps them until it is closed itself, just after it was found empty.
        copies = [listener.dup() for listener in sockets or []]
        for server in self.servers:
            server.close()
        for copy in copies:
            await self._take_all(copy)
        if not self.force_exit:
            await asyncio.sleep(_LINGER)
        await super().shutdown(sockets)

    async def _take_all(self, listener: socket.socket) -> None:
        taken: list[socket.socket] = []
        with listener, contextlib.suppress(OSError):
            listener.setblocking(False)
            while len(taken) < self.config.backlog:
                taken.append(listener.accept()[0])
        for connection in taken:
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state)


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that is bound, and so refuses an address before models are opened."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot listen on {host!r:.60}, port {port}: {said}; name another --host or --port"
        ) from error
    return listener


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _is_token(token: str) -> bool:
    return 0 < len(token) <= 512 and all("!" <= character <= "~" for character in token)
