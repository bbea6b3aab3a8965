"""A context manager of the gateway's thread: who hears what, whichever side ends it."""

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from gateway_core import GatewayClosed
from gateway_core.bridge.calls import Answer
from gateway_core.bridge.held import Held


class Manager:
    """Remembers the task and the exceptions that it saw."""

    def __init__(self, entering=None, leaving=None, swallows=False):
        self.entering, self.leaving, self.swallows = entering, leaving, swallows
        self.tasks = []
        self.seen = None

    async def __aenter__(self):
        self.tasks.append(trio.lowlevel.current_task())
        await trio.lowlevel.checkpoint()
        if self.entering:
            raise self.entering
        return "inside"

    async def __aexit__(self, kind, error, trace):
        self.tasks.append(trio.lowlevel.current_task())
        self.seen = kind
        if self.leaving:
            raise self.leaving
        return self.swallows


def ignore(_answer):
    """Nobody waits."""


async def held(nursery, manager):
    found = Held(lambda: manager, Answer(ignore), Answer(ignore))
    nursery.start_soon(found.run)
    await trio.testing.wait_all_tasks_blocked()
    return found


async def test_it_is_left_by_the_task_that_entered_it(nursery):
    manager = Manager()
    one = await held(nursery, manager)
    assert ("inside", False) == (one.entered.result(), one.ended.given)
    one.leave()
    await trio.testing.wait_all_tasks_blocked()
    assert not one.ended.result()
    assert manager.tasks[0] is manager.tasks[1]
    assert manager.seen is None


@pytest.mark.parametrize("swallows", [True, False])
async def test_the_block_s_exception_goes_through_it(nursery, swallows):
    manager = Manager(swallows=swallows)
    one = await held(nursery, manager)
    one.leave(KeyError("block"))
    await trio.testing.wait_all_tasks_blocked()
    assert swallows == one.ended.result()
    assert KeyError is manager.seen


async def test_a_cancelled_block_is_cancelled_in_it(nursery):
    manager = Manager()
    one = await held(nursery, manager)
    one.leave(KeyboardInterrupt())
    await trio.testing.wait_all_tasks_blocked()
    assert not one.ended.result()
    assert trio.Cancelled is manager.seen


@pytest.mark.parametrize("error", [None, KeyError("block")])
async def test_its_own_exception_at_the_end_is_the_block_s(nursery, error):
    one = await held(nursery, Manager(leaving=ValueError("own")))
    one.leave(error)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(ValueError, match="own"):
        one.ended.result()


async def test_one_that_cannot_be_entered_says_why(nursery):
    one = await held(nursery, Manager(entering=ValueError("shut")))
    with pytest.raises(ValueError, match="shut"):
        one.entered.result()
    assert one.ended.given


async def test_one_that_nobody_waits_for_any_more_is_not_entered(nursery):
    @asynccontextmanager
    async def never():
        await trio.sleep_forever()
        yield

    one = Held(never, Answer(ignore), Answer(ignore))
    nursery.start_soon(one.run)
    await trio.testing.wait_all_tasks_blocked()
    one.cancel()
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(GatewayClosed):
        one.entered.result()


async def test_one_that_fails_by_itself_has_ended_before_it_is_left(nursery):
    @asynccontextmanager
    async def fails():
        async with trio.open_nursery() as inner:
            inner.start_soon(trio.sleep, 0)
            inner.cancel_scope.cancel()
            yield
            raise ValueError("of itself")
        raise ValueError("of itself")

    one = await held(nursery, fails())
    assert one.ended.given
    with pytest.raises(ValueError, match="of itself"):
        one.ended.result()


async def test_one_that_is_open_as_the_gateway_ends_has_closed():
    manager = Manager()
    async with trio.open_nursery() as nursery:
        one = await held(nursery, manager)
        nursery.cancel_scope.cancel()
    with pytest.raises(GatewayClosed):
        one.ended.result()
    assert trio.Cancelled is manager.seen
