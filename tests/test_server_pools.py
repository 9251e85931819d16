"""Places before threads: how many there are, and when they are free again."""

import asyncio
import threading

import pytest

pytest.importorskip("starlette", reason="needs the extra serve")

from sqam.server.pools import Pool, StoppedError
from sqam.server.problems import ProblemError


def run(test):
    asyncio.run(asyncio.wait_for(test, 60))


async def settled(pool, taken):
    while len(pool) != taken:
        await asyncio.sleep(0.001)


def test_work_is_done_in_a_thread_of_the_pool():
    async def test():
        pool = Pool("draw", 1, 0)
        with pool.place() as place:
            assert len(pool) == 1
            name = await place.run(lambda go_on: threading.current_thread().name)
        assert name.startswith("draw")
        await settled(pool, 0)

    run(test())


def test_errors_come_back():
    async def test():
        pool = Pool("draw", 1, 0)
        with pytest.raises(ZeroDivisionError), pool.place() as place:
            await place.run(lambda go_on: 1 // 0)
        await settled(pool, 0)

    run(test())


def test_one_more_is_refused_at_once():
    async def test():
        pool = Pool("draw", 2, 1)
        with pool.place(), pool.place(), pool.place():
            with pytest.raises(ProblemError, match="too many requests to draw at once") as error:
                with pool.place():
                    raise AssertionError("there was no place")
            assert error.value.status == 429 and error.value.headers == {"Retry-After": "2"}
        assert len(pool) == 0  # nothing was run, so nothing is waited for
        with pool.place():
            assert len(pool) == 1

    run(test())


def test_a_place_stays_taken_while_its_thread_works():
    """Who leaves early does not make room for another before the thread has stopped."""

    async def test():
        pool = Pool("draw", 1, 0)
        begun, go, ended = threading.Event(), threading.Event(), []

        def work(go_on):
            begun.set()
            assert go.wait(30)
            try:
                go_on(1)
            except StoppedError:
                ended.append("stopped")
                raise

        async def ask():
            with pool.place() as place:
                await place.run(work)

        task = asyncio.create_task(ask())
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(pool) == 1
        with pytest.raises(ProblemError), pool.place():
            pass
        go.set()
        await settled(pool, 0)
        assert ended == ["stopped"]

    run(test())


def test_work_that_waits_for_a_thread_is_not_begun_if_nobody_waits_for_it():
    async def test():
        pool = Pool("draw", 1, 1)
        go, done = threading.Event(), []

        def work(number):
            assert go.wait(30)
            done.append(number)

        async def ask(number):
            with pool.place() as place:
                await place.run(lambda go_on: work(number))

        first = asyncio.create_task(ask(1))
        second = asyncio.create_task(ask(2))
        await asyncio.sleep(0.01)
        second.cancel()
        await settled(pool, 1)
        go.set()
        await first
        await settled(pool, 0)
        assert done == [1]

    run(test())
