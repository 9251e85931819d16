"""uvicorn's HTTP/1.1 connection, which also bounds the head of a request: its time and its size.

A client that sends its head byte by byte would otherwise keep a connection for ever.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 65_536
"""Bytes of a request's line and its headers."""


class Connection(HttpToolsProtocol):
    """One connection; the class attribute is set before the server starts."""

    head_timeout = 10.0
    """Seconds from the connection, or from a head's first byte, to the head's end."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head has become too large."""
        super().data_received(data)
        if self._timer is not None:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._stop()
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """Wait for the end of the head that has begun."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """Give the request to the application."""
        self._stop()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._stop()
        self._head = 0
        self._timer = self.loop.call_later(self.head_timeout, self.transport.close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
