"""Concurrent requests become one call: what waits while a thread works is its next batch.

Nobody waits for a batch to fill: a single request is worked on at once. Under load batches grow by
themselves, and with them what the thread gets done.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Waiting(Generic[Item]):
    item: Item
    units: int
    weight: int
    answer: "asyncio.Future[Any]" = field(default_factory=lambda: asyncio.Future())


class Batcher(Generic[Item, Found]):
    """One thread, which ends with it, that answers what waits, together.

    Args:
        work: items to their results, in order, in the thread; an exception among the results is
            raised to the one who asked.
        units: of a batch, at most, unless a single item has more.
        weight: of a batch, likewise.
        observe: told of every batch how many units it has.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Found | Exception]],
        units: int,
        weight: int,
        observe: Callable[[int], object] = lambda units: None,
    ) -> None:
        self._work = work
        self._units = units
        self._weight = weight
        self._observe = observe
        self._waiting: deque[_Waiting[Item]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._running: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many items wait for the next batch."""
        return len(self._waiting)

    async def ask(self, item: Item, units: int = 1, weight: int = 0) -> Found:
        """Return the item's result.

        Who is cancelled while he waits gets nothing; the others of his batch get theirs.

        Args:
            item: for ``work``.
            units, weight: what it counts for in a batch.

        Raises:
            Exception: that ``work`` raised, or gave as this item's result.
        """
        waiting = _Waiting(item, units, weight)
        self._waiting.append(waiting)
        if self._running is None:
            self._running = asyncio.create_task(self._answer_all())
        found: Found = await waiting.answer
        return found

    async def _answer_all(self) -> None:
        try:
            while batch := self._next():
                self._observe(sum(one.units for one in batch))
                for one, found in zip(batch, await self._results(batch), strict=True):
                    if one.answer.done():  # cancelled
                        continue
                    if isinstance(found, Exception):
                        one.answer.set_exception(found)
                    else:
                        one.answer.set_result(found)
        finally:
            self._running = None

    def _next(self) -> list[_Waiting[Item]]:
        batch: list[_Waiting[Item]] = []
        units = weight = 0
        while self._waiting:
            one = self._waiting[0]
            if one.answer.done():
                self._waiting.popleft()
                continue
            units, weight = units + one.units, weight + one.weight
            if batch and (units > self._units or weight > self._weight):
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _results(self, batch: Sequence[_Waiting[Item]]) -> Sequence[Found | Exception]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._work, [one.item for one in batch])
        except Exception as error:
            if len(batch) == 1:
                return [error]
            # One of them is to blame, and the others need not suffer for it.
            _log.warning("a batch failed; its items are worked on one by one", exc_info=error)
            return [(await self._results([one]))[0] for one in batch]
