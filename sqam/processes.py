"""Work on chunks in several processes, in order: Python's lock lets threads share one core."""

import atexit
import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from emoji_vae.errors import InputError

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

_AHEAD = 2
"""Chunks a process that are begun before the first of them is asked for: enough that none waits."""

_work: Callable[[Any], Any]
"""Of a process: what it does with each chunk."""


def in_order(
    work: Callable[[_Given], _Made], chunks: Iterable[_Given], workers: int
) -> Iterator[_Made]:
    """Yield what the work makes of each chunk, in order, while processes work on the next ones.

    What came of the chunks before a problem comes before the error. However this process ends, the
    others end with it; an interruption (SIGINT) is this process's alone.

    Args:
        work: goes to each process once.
        chunks: go to the processes, as what is made comes back.
        workers: processes, at least 1.

    Raises:
        InputError: from the work or the chunks, or a process was killed.
    """
    problem: Exception | None = None
    begun: deque[Future[_Made]] = deque()
    chunks = iter(chunks)
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (work,))
    try:
        while True:
            try:
                chunk = next(chunks)
            except StopIteration:
                break
            except Exception as error:
                problem = error
                break
            # Processes start when there is work for them, with the signals blocked that are here.
            with _deaf_to_interruptions():
                begun.append(pool.submit(_do, chunk))
            if len(begun) > _AHEAD * workers:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    except BrokenProcessPool as error:
        raise InputError(
            "a process that worked on the texts was killed, perhaps for want of memory; what is "
            "finished is kept: give the same command with --resume, and --workers 1 to use less"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    if problem is not None:
        raise problem


@contextlib.contextmanager
def _deaf_to_interruptions() -> Iterator[None]:
    """Let processes that start meanwhile never hear SIGINT; this one hears it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(work: Callable[[Any], Any]) -> None:
    """Prepare a process, which ends when the one that started it does."""
    global _work
    _work = work
    # Its end needs no clearing up, which takes as long as a chunk.
    atexit.register(os._exit, 0)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this process was started by another
    wait([parent.sentinel])
    os._exit(1)


def _do(chunk: Any) -> Any:
    return _work(chunk)
