"""What returns more than a value: objects, context managers and methods that nobody waits for."""

import threading
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from bridged import config, on_thread

from gateway_core.blocking import open_gateway
from gateway_core.blocking.handles import Block, Handle, Items
from gateway_core.testing import FakeChannel


class Counter:
    """An object of the gateway's thread."""

    def __init__(self):
        self.threads = set()
        self.counted = []

    def count(self, n):
        self.threads.add(threading.current_thread().name)
        if n > 3:
            raise ValueError(f"{n} is more than 3")
        self.counted.append(n)

    async def total(self, *, wait=0.0):
        await trio.sleep(wait)
        return sum(self.counted)


class Counting(Handle[Counter]):
    """As a face is written."""

    def count(self, n):
        self._tell(partial(self._inner.count, n))

    def total(self, *, wait=0.0, timeout=None):
        return self._call(timeout, self._inner.total, wait=wait)


@asynccontextmanager
async def counter(seen, swallows=()):
    try:
        yield Counter()
    except BaseException as error:
        seen.append(type(error))
        if not isinstance(error, swallows):
            raise
    finally:
        seen.append("left")


@pytest.fixture
def home():
    with open_gateway(config(), plugins=[("fake", FakeChannel())]) as gateway:
        yield gateway._home


def block(home, seen, swallows=()):
    return Block(home, partial(counter, seen, swallows), partial(Counting, home))


def test_what_nobody_waits_for_is_done_before_the_next_call(home):
    seen = []
    with block(home, seen) as counting:
        for n in (1, 2, 3):
            counting.count(n)
        assert 6 == counting.total()
        assert {"gateway"} == counting._inner.threads
    assert ["left"] == seen


def test_what_it_raised_is_raised_by_the_next_call_or_the_end_of_the_block(home):
    def fails():
        with block(home, []) as counting:
            counting.count(4)
            on_thread(int)  # it has failed by now
            with pytest.raises(ValueError, match="4 is more"):
                counting.total()
            assert 0 == counting.total()
            counting.count(5)

    with pytest.raises(ValueError, match="5 is more"):
        fails()


@pytest.mark.parametrize(
    ("error", "there"), [(KeyError, KeyError), (KeyboardInterrupt, trio.Cancelled)]
)
def test_the_block_s_exception_ends_it_there_as_well(home, error, there):
    seen = []
    with pytest.raises(error), block(home, seen):
        raise error
    assert [there, "left"] == seen


def test_an_exception_that_is_swallowed_there_is_swallowed_here(home):
    seen = []
    with block(home, seen, KeyError):
        raise KeyError
    assert [KeyError, "left"] == seen


def test_a_block_that_cannot_be_entered_says_why(home):
    with pytest.raises(TypeError), Block(home, partial(counter), Counting):
        pass


def test_a_call_of_an_object_has_a_timeout(home):
    with block(home, []) as counting, pytest.raises(TimeoutError):
        counting.total(wait=1e6, timeout=0.01)


def test_items_come_one_by_one_and_end(home):
    async def numbers():
        for n in range(3):
            await trio.lowlevel.checkpoint()
            yield n

    items = Items(home, numbers())
    assert [0, 1, 2] == list(items)
    with pytest.raises(StopIteration):
        next(items)
