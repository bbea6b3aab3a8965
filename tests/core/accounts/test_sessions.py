"""A session outlives those who asked for it, and none of them is counted for ever."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio
from structlog.testing import capture_logs

from gateway_core.accounts.sessions import Sessions
from gateway_core.authors import TransportError
from gateway_core.contract.instances import Instance


class Hooks:
    """Opens a session within five seconds, unless it `fails` then."""

    adapter = "fake (of the tests)"

    def __init__(self) -> None:
        self.fails = False
        self.log: list[tuple[str, float]] = []

    def open_session(self, instance):
        return self._session()

    @asynccontextmanager
    async def _session(self):
        await trio.sleep(5)
        if self.fails:
            raise TransportError("unreachable", dispatched="no")
        self.log.append(("open", trio.current_time()))
        yield "session"
        self.log.append(("closed", trio.current_time()))


@pytest.fixture
def hooks():
    return Hooks()


@pytest.fixture
async def sessions(hooks, nursery):
    instance = Instance(id="bot", channel="fake", settings=None)
    return Sessions(hooks, instance, nursery.start_soon, idle=10.0, opening=60.0)


async def test_who_is_cancelled_as_it_opens_uses_it_no_longer(autojump_clock, hooks, sessions):
    with trio.move_on_after(2):
        await sessions.acquire()
    await trio.sleep(30)
    assert [("open", 5), ("closed", 15)] == hooks.log


async def test_who_is_cancelled_as_it_opens_takes_it_from_nobody(autojump_clock, hooks, sessions):
    async def use_for_a_minute():
        async with sessions.use():
            await trio.sleep(60)

    async with trio.open_nursery() as users:
        users.start_soon(use_for_a_minute)
        with trio.move_on_after(2):
            await sessions.acquire()
    await trio.sleep(30)
    assert [("open", 5), ("closed", 75)] == hooks.log


async def test_an_error_in_the_session_s_nursery_is_told_without_the_nursery(
    autojump_clock, hooks, sessions
):
    @asynccontextmanager
    async def in_a_nursery():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await trio.sleep_forever()
            yield

    async def fail():
        raise OSError("no such host")

    hooks._session = in_a_nursery
    with capture_logs() as lines, pytest.raises(OSError, match=r"^no such host$"):
        await sessions.acquire()
    assert ["OSError: no such host"] == [line["error"] for line in lines]


async def test_whose_session_does_not_open_uses_none(autojump_clock, hooks, sessions):
    hooks.fails = True
    for _ in range(2):
        with pytest.raises(TransportError, match="unreachable"):
            await sessions.acquire()
    hooks.fails = False
    async with sessions.use():
        await trio.sleep(1)
    await trio.sleep(30)
    assert [("open", 15), ("closed", 26)] == hooks.log


@pytest.mark.parametrize("seconds", [1, 100], ids=["cancelled", "idle"])
async def test_an_error_on_leaving_is_logged(autojump_clock, hooks, seconds):
    """Also at the gateway's end, which cancels the session's task."""

    @asynccontextmanager
    async def torn():
        try:
            yield
        finally:
            raise OSError("torn")

    hooks._session = torn
    instance = Instance(id="bot", channel="fake", settings=None)
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            sessions = Sessions(hooks, instance, nursery.start_soon, idle=10.0, opening=60.0)
            async with sessions.use():
                pass
            await trio.sleep(seconds)
            nursery.cancel_scope.cancel()
    (line,) = lines
    assert ("OSError: torn", hooks.adapter) == (line["error"], line["plugin"])
    assert line["where"].startswith("test_sessions.py:")
