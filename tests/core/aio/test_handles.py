"""What returns more than a value: objects, context managers and methods that nobody waits for."""

import asyncio  # noqa: TID251 - what is tested
import threading
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from bridged import config, on_thread

from gateway_core.aio import open_gateway
from gateway_core.aio.handles import Block, Handle, Items
from gateway_core.testing import FakeChannel


class Counter:
    """An object of the gateway's thread."""

    def __init__(self):
        self.threads = set()
        self.counted = []
        self.limit = 3

    def count(self, n):
        self.threads.add(threading.current_thread().name)
        if n > self.limit:
            raise ValueError(f"{n} is more than {self.limit}")
        self.counted.append(n)

    async def total(self, *, wait=0.0):
        await trio.sleep(wait)
        return sum(self.counted)


class Counting(Handle[Counter]):
    """As a face is written."""

    def count(self, n):
        self._tell(partial(self._inner.count, n))

    async def total(self, *, wait=0.0):
        return await self._call(self._inner.total, wait=wait)


@asynccontextmanager
async def counter(seen):
    made = Counter()
    try:
        yield made
    except BaseException as error:
        seen.append(type(error))
        raise
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.01)
        seen.append("left")


def run(main):
    async def whole():
        async with open_gateway(config(), plugins=[("fake", FakeChannel())]) as gateway:
            return await asyncio.wait_for(main(gateway._home), 100)

    return asyncio.run(whole())


def block(home, seen):
    return Block(home, partial(counter, seen), partial(Counting, home))


def test_what_nobody_waits_for_is_done_before_the_next_call():
    seen = []

    async def main(home):
        async with block(home, seen) as counting:
            for n in (1, 2, 3):
                counting.count(n)
            assert 6 == await counting.total()
            assert {"gateway"} == counting._inner.threads
        assert ["left"] == seen

    run(main)


def test_what_it_raised_is_raised_by_the_next_call_or_the_end_of_the_block():
    async def main(home):
        async def fails():
            async with block(home, []) as counting:
                counting.count(4)
                on_thread(int)  # it has failed by now
                with pytest.raises(ValueError, match="4 is more"):
                    await counting.total()
                assert 0 == await counting.total()
                counting.count(5)

        with pytest.raises(ValueError, match="5 is more"):
            await fails()

    run(main)


@pytest.mark.parametrize(
    ("error", "there"), [(KeyError, KeyError), (asyncio.CancelledError, trio.Cancelled)]
)
def test_the_block_s_exception_ends_it_there_as_well(error, there):
    seen = []

    async def main(home):
        with pytest.raises(error):
            async with block(home, seen):
                raise error
        assert [there, "left"] == seen

    run(main)


def test_a_block_whose_end_is_cancelled_is_left_before_the_task_goes_on():
    seen = []

    async def main(home):
        async def task():
            async with block(home, seen):
                pass

        leaving = asyncio.ensure_future(task())
        while not leaving.done():
            leaving.cancel()
            await asyncio.sleep(0.001)
        assert leaving.cancelled()
        assert seen in ([], ["left"], [trio.Cancelled, "left"])

    run(main)


def test_a_block_that_cannot_be_entered_says_why():
    async def main(home):
        with pytest.raises(TypeError):
            async with Block(home, partial(counter), Counting):
                pass

    run(main)


def test_a_call_of_an_object_is_cancelled_with_its_task():
    async def main(home):
        async with block(home, []) as counting:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(counting.total(wait=1e6), 0.01)

    run(main)


def test_items_come_one_by_one_and_end():
    async def numbers():
        for n in range(3):
            await trio.lowlevel.checkpoint()
            yield n

    async def main(home):
        items = Items(home, numbers())
        assert [0, 1, 2] == [n async for n in items]
        with pytest.raises(StopAsyncIteration):
            await anext(items)

    run(main)
