"""Threads for slow work, a few of each kind: so many requests may run and wait, and no more."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from sqam.server.problems import busy

Found = TypeVar("Found")


class StoppedError(Exception):
    """Ends work in a thread that nobody waits for any more."""


class Pool:
    """Some threads, which end with it, and the places before them; for the event loop's thread.

    Args:
        name: what the threads do, a verb.
        threads: that work at once.
        waiting: how many more requests have a place.
    """

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self.name = name
        self._places = threads + waiting
        self._taken = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def __len__(self) -> int:
        """Return how many places are taken."""
        return self._taken

    @contextlib.contextmanager
    def place(self) -> Iterator["Place"]:
        """Take a place; it is free again when the block and its work in a thread have ended.

        Raises:
            ProblemError: 429, there is none.
        """
        if self._taken >= self._places:
            raise busy(f"too many requests to {self.name} at once", 2)
        self._taken += 1
        place = Place(self._threads)
        try:
            yield place
        finally:
            place.leave(self._free)

    def _free(self) -> None:
        self._taken -= 1


class Place:
    """A place before the threads of a pool, for one piece of work."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._left = threading.Event()
        self._job: Future[Any] | None = None

    async def run(self, work: Callable[[Callable[[object], None]], Found]) -> Found:
        """Return what the work gives, which is done in a thread.

        Args:
            work: gets a function that it calls now and then, with anything: that raises
                `StoppedError` once nobody waits for the work any more.
        """
        self._job = self._threads.submit(work, self._go_on)
        found: Found = await asyncio.wrap_future(self._job)
        return found

    def leave(self, free: Callable[[], None]) -> None:
        """Stop the work, and call ``free`` as soon as no thread is at it."""
        self._left.set()
        if self._job is None:
            free()
            return
        loop = asyncio.get_running_loop()

        def tell(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody counts
                loop.call_soon_threadsafe(free)

        self._job.add_done_callback(tell)

    def _go_on(self, _: object = None) -> None:
        if self._left.is_set():
            raise StoppedError
