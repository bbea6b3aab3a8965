"""The thread of the process: what is posted, what breaks, and who comes after it."""

import asyncio  # noqa: TID251 - one of the faces that are told
import threading

import pytest
import trio
from bridged import SOON, config, on_thread

from gateway_core import GatewayClosed
from gateway_core.aio import open_gateway
from gateway_core.blocking import open_gateway as open_blocking
from gateway_core.bridge import thread
from gateway_core.bridge.thread import TrioThread, gateway_thread, stop_thread
from gateway_core.testing import FakeChannel


def test_what_is_posted_is_done_in_order_with_few_wakes():
    here, done, all_done = gateway_thread(), [], threading.Event()
    stopped, go_on = threading.Event(), threading.Event()
    here.post(lambda: (stopped.set(), go_on.wait(SOON)))
    assert stopped.wait(SOON)
    wakes = []
    real, here._token = here._token, None
    here._token = type(
        "Token", (), {"run_sync_soon": lambda _, f: (wakes.append(1), real.run_sync_soon(f))}
    )()
    try:
        for n in range(1000):
            here.post(lambda n=n: done.append(n))
        here.post(all_done.set)
        go_on.set()
        assert all_done.wait(SOON)
    finally:
        here._token = real
    assert list(range(1000)) == done
    assert 1 == len(wakes)


def test_a_thread_that_was_stopped_says_so_and_another_one_is_started():
    before = gateway_thread()
    stop_thread()
    for _ in range(2):
        with pytest.raises(GatewayClosed, match="process exits"):
            before.post(int)
    assert before is not gateway_thread()
    assert "gateway" == on_thread(lambda: threading.current_thread().name)
    stop_thread()
    stop_thread()
    assert thread._process.thread is None


def test_if_trio_itself_breaks_everybody_who_waits_is_told():
    found = []

    def breaks():
        raise ZeroDivisionError("inside")

    async def main():
        async with open_gateway(config(), plugins=[("fake", FakeChannel())]) as gateway:
            for waits in (
                gateway.send("bot", "room", "x", not_before=4e9, deadline=5e9),
                forever(gateway),
            ):
                task = asyncio.ensure_future(waits)
                task.add_done_callback(lambda task: found.append(type(task.exception())))
            await asyncio.sleep(0.05)
            gateway_thread().post(breaks)
            await asyncio.sleep(SOON)

    async def forever(gateway):
        await gateway._home.call(trio.sleep_forever)

    with pytest.raises(trio.TrioInternalError):
        asyncio.run(main())
    assert [GatewayClosed] * 2 == found
    with open_blocking(config(), plugins=[("fake", FakeChannel())]) as gateway:
        assert gateway.send("bot", "room", "on another thread").delivered


class Interrupted:
    """A trio token in whose first use a signal's handler raises."""

    def __init__(self, token):
        self._token, self._raised = token, False

    def run_sync_soon(self, work):
        if not self._raised:
            self._raised = True
            raise KeyboardInterrupt
        self._token.run_sync_soon(work)


def test_a_ctrl_c_in_the_middle_of_a_post_stops_no_later_one():
    one, done = TrioThread(), threading.Event()
    one._token = Interrupted(one._token)
    with pytest.raises(KeyboardInterrupt):
        one.post(lambda: None)
    one.post(done.set)
    assert done.wait(SOON)
    one.stop()
