"""What waits becomes one call: sizes, order, who is cancelled, who is to blame."""

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("starlette", reason="needs the extra serve")

from sqam.server.batching import Batcher


class Gate:
    """Work that waits until it is let through, and notes its batches."""

    def __init__(self, answer=lambda item: item):
        self.batches: list[list] = []
        self.open = threading.Event()
        self.entered = threading.Event()
        self.answer = answer

    def __call__(self, items):
        self.batches.append(list(items))
        self.entered.set()
        assert self.open.wait(30)
        return [self.answer(item) for item in items]

    async def has_begun(self):
        await asyncio.to_thread(self.entered.wait, 30)


def run(test):
    asyncio.run(asyncio.wait_for(test, 60))


def test_what_waits_while_the_thread_works_is_the_next_batch():
    async def test():
        gate, seen = Gate(lambda item: item * 2), list[int]()
        batcher = Batcher(gate, units=10, weight=100, observe=seen.append)
        first = asyncio.create_task(batcher.ask(1))
        await gate.has_begun()
        others = [asyncio.create_task(batcher.ask(item)) for item in (2, 3, 4)]
        await asyncio.sleep(0)
        assert len(batcher) == 3
        gate.open.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
        assert gate.batches == [[1], [2, 3, 4]] and seen == [1, 3] and len(batcher) == 0
        assert await batcher.ask(5) == 10  # and again, after it had nothing to do

    run(test())


@pytest.mark.parametrize(
    ("items", "batches"),
    [
        # (units, weight), at most 4 units and 10 weight a batch
        ([(1, 1)] * 5, [4, 1]),
        ([(3, 1), (2, 1), (2, 1)], [1, 2]),
        ([(1, 6), (1, 4), (1, 1)], [2, 1]),
        ([(9, 1), (1, 1)], [1, 1]),  # one that is too large goes alone
        ([(1, 1), (1, 99), (1, 1)], [1, 1, 1]),
    ],
)
def test_batches_are_bounded(items, batches):
    async def test():
        gate = Gate()
        batcher = Batcher(gate, units=4, weight=10)
        first = asyncio.create_task(batcher.ask(None))
        await gate.has_begun()
        asked = [asyncio.create_task(batcher.ask(item, *item)) for item in items]
        await asyncio.sleep(0)
        gate.open.set()
        assert await asyncio.gather(*asked) == items
        await first
        assert [len(batch) for batch in gate.batches] == [1, *batches]

    run(test())


def test_one_who_is_cancelled_does_not_break_the_batch_of_others():
    async def test():
        gate = Gate()
        batcher = Batcher(gate, units=10, weight=10)
        working = asyncio.create_task(batcher.ask("working"))
        await gate.has_begun()
        left, stays = (asyncio.create_task(batcher.ask(item)) for item in ("left", "stays"))
        await asyncio.sleep(0)
        working.cancel()
        left.cancel()
        gate.open.set()
        assert await stays == "stays"
        assert working.cancelled() and left.cancelled()
        assert gate.batches == [["working"], ["stays"]]  # nothing is done for who has left

    run(test())


def test_an_item_that_is_wrong_gets_its_error_alone():
    def work(items):
        return [ValueError(item) if item == "bad" else item for item in items]

    async def test():
        batcher = Batcher(work, units=10, weight=10)
        found = await asyncio.gather(
            *(batcher.ask(item) for item in ("good", "bad", "fine")), return_exceptions=True
        )
        assert found[0] == "good" and found[2] == "fine"
        assert isinstance(found[1], ValueError) and str(found[1]) == "bad"

    run(test())


def test_a_batch_that_fails_is_worked_on_one_by_one():
    def work(items):
        if "worst" in items:
            raise ZeroDivisionError
        return items

    async def test():
        batcher = Batcher(work, units=10, weight=10)
        # The second batch holds them all: the first is under way before they ask.
        found = await asyncio.gather(
            *(batcher.ask(item) for item in ("first", "good", "worst", "fine")),
            return_exceptions=True,
        )
        assert [type(one) for one in found] == [str, str, ZeroDivisionError, str]
        assert await batcher.ask("later") == "later"

    run(test())


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 12), st.booleans()), max_size=30))
def test_everybody_gets_his_own(items):
    """Whatever is asked for and whoever leaves: each who stays gets his own answer, in bounds."""

    async def test():
        gate = Gate()
        batcher = Batcher(gate, units=8, weight=20)
        first = asyncio.create_task(batcher.ask("first"))
        await gate.has_begun()
        asked = [
            asyncio.create_task(batcher.ask((place, units, weight), units, weight))
            for place, (units, weight, _) in enumerate(items)
        ]
        await asyncio.sleep(0)
        for task, (_, _, leaves) in zip(asked, items, strict=True):
            if leaves:
                task.cancel()
        gate.open.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        await first
        for place, (answer, (units, weight, leaves)) in enumerate(zip(found, items, strict=True)):
            if leaves:
                assert isinstance(answer, asyncio.CancelledError)
            else:
                assert answer == (place, units, weight)
        for batch in gate.batches[1:]:
            assert sum(units for _, units, _ in batch) <= 8
            assert sum(weight for *_, weight in batch) <= 20

    run(test())
