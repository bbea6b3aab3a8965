"""How a gateway opens and ends in an asyncio program, whoever ends first."""

import asyncio  # noqa: TID251 - what is tested
import threading
import time

import pytest
import structlog.testing
from bridged import SOON, Held, config, on_thread

from gateway_core import (
    ConfigError,
    Disposition,
    GatewayClosed,
    GatewayConfig,
    PartitionFailed,
)
from gateway_core.aio import open_gateway
from gateway_core.bridge.thread import gateway_thread
from gateway_core.testing import FakeChannel


def opened(channel=None, **settings):
    channel = FakeChannel() if channel is None else channel
    return open_gateway(config(**settings), plugins=[("fake", channel)])


def run(main):
    return asyncio.run(asyncio.wait_for(main, 100))


def eventually(is_so):
    deadline = time.monotonic() + SOON
    while not is_so():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


@pytest.fixture
def logs():
    with structlog.testing.capture_logs() as told:
        yield told


def told(logs, event):
    return [log for log in logs if log["event"] == f"gateway.{event}"]


# -- opening


def test_what_keeps_it_from_opening_is_raised_by_the_block(tmp_path):
    async def main():
        file = tmp_path / "gateway.toml"
        file.write_text("colour = 1\n")
        with pytest.raises(ConfigError, match="colour"):
            async with open_gateway(file):
                pass
        with pytest.raises(TypeError, match="GatewayConfig"):
            async with open_gateway(7):
                pass
        async with opened():
            pass

    run(main())


def test_an_opening_that_is_cancelled_leaves_nothing_open():
    async def main():
        opening = asyncio.ensure_future(opened().__aenter__())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    run(main())
    from gateway_core.bridge import exits  # noqa: PLC0415 - private, of this test

    assert set() == exits._open


# -- leaving


def test_leaving_drains_and_whoever_waits_gets_the_receipt():
    channel = Held()

    async def main():
        async with opened(channel) as gateway:
            waiting = asyncio.ensure_future(gateway.send("bot", "room", "one"))
            await asyncio.sleep(0)
            ticket = await gateway.enqueue("bot", "room", "two")
            threading.Timer(0.1, channel.let_go).start()
        assert (await waiting).delivered
        return await ticket.receipt()

    assert run(main()).delivered
    assert ["one", "two"] == channel.texts("room")


def test_an_exception_of_the_block_leaves_it_after_the_drain():
    channel = FakeChannel(latency=0.1)

    async def main():
        async with opened(channel) as gateway:
            await gateway.enqueue("bot", "room", "accepted")
            raise LookupError("own")

    with pytest.raises(LookupError, match="own") as caught:
        run(main())
    assert ["accepted"] == channel.texts("room")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("times", [1, 2])
def test_a_cancelled_block_drains_and_a_second_cancellation_does_not_cut_it(times):
    channel = Held()

    async def program():
        async with opened(channel) as gateway:
            await gateway.enqueue("bot", "room", "accepted")
            await asyncio.sleep(1e6)

    async def main():
        task = asyncio.ensure_future(program())
        await asyncio.to_thread(channel.begun.wait, SOON)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.1)
        assert not task.done()
        channel.let_go()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert ["accepted"] == channel.texts("room")


def test_a_framework_that_repeats_its_cancellation_in_each_turn_cuts_nothing():
    channel = Held()

    async def program():
        async with opened(channel) as gateway:
            await gateway.enqueue("bot", "room", "accepted")
            await asyncio.sleep(1e6)

    async def main():
        task = asyncio.ensure_future(program())
        await asyncio.to_thread(channel.begun.wait, SOON)
        for n in range(3000):
            task.cancel()
            if n % 1000 == 0:
                time.sleep(0.1)  # noqa: ASYNC251, TID251 - the machine stands still
            await asyncio.sleep(0)
        assert not task.done()
        channel.let_go()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert ["accepted"] == channel.texts("room")


def test_a_third_cancellation_cuts_the_drain_and_lists_what_is_left(logs):
    channel = Held()
    ids = []

    async def program():
        async with opened(channel) as gateway:
            for n in range(3):
                ids.append((await gateway.enqueue("bot", "room", str(n))).id)  # noqa: PERF401 - looked at below meanwhile
            await asyncio.sleep(1e6)

    async def main():
        task = asyncio.ensure_future(program())
        while len(ids) < 3:  # noqa: ASYNC110 - of another task
            await asyncio.sleep(0.01)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.1)
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert ids == [log["envelope"] for log in told(logs, "left_at_close")]
    assert [] == channel.texts("room")


def test_drain_timeout_bounds_the_drain():
    channel = Held()

    async def main():
        async with opened(channel, drain_timeout=0.1) as gateway:
            ticket = await gateway.enqueue("bot", "room", "never")
            waiting = asyncio.ensure_future(ticket.receipt())
            await asyncio.to_thread(channel.begun.wait, SOON)
        return await waiting

    assert Disposition.UNKNOWN == run(main()).disposition


# -- giving up


@pytest.fixture
def breaks(monkeypatch):
    """Lets a gateway of one partition give up."""

    async def dies():
        raise RuntimeError("at once")

    def break_it(gateway):
        def break_there():
            partition = gateway._core._partitions[0]
            partition._keep_time = dies
            if partition.workers.nursery is None:  # it has not begun yet
                gateway_thread().post(break_there)
            else:
                partition.workers.nursery.cancel_scope.cancel()

        gateway_thread().post(break_there)

    monkeypatch.setattr("gateway_core.engine.supervisor.MOST_RESTARTS", 1)
    return break_it


def breakable(monkeypatch=None):
    return opened(Held(), partition_count=1, drain_timeout=0)


def test_a_gateway_that_gives_up_ends_the_block_with_its_error(breaks):
    async def program():
        async with breakable() as gateway:
            breaks(gateway)
            await asyncio.sleep(1e6)

    async def main():
        with pytest.raises(PartitionFailed, match="RuntimeError") as caught:
            await program()
        assert 0 == asyncio.current_task().cancelling()
        await asyncio.sleep(0)
        return caught.value

    assert isinstance(run(main()).__cause__, RuntimeError)


def test_those_who_wait_as_it_gives_up_hear_of_it(breaks):
    found = []

    async def caller(gateway):
        try:
            await gateway.send("bot", "room", "hello", not_before=4e9, deadline=5e9)
        except Exception as error:  # noqa: BLE001 - looked at below
            found.append(type(error))

    async def program():
        async with breakable() as gateway:
            found.append(asyncio.ensure_future(caller(gateway)))
            while not gateway.statistics().unfinished:  # noqa: ASYNC110 - of another task
                await asyncio.sleep(0.001)
            breaks(gateway)
            await asyncio.sleep(1e6)

    async def main():
        with pytest.raises(PartitionFailed):
            await program()
        await found[0]

    run(main())
    assert "DeliveryError" == found[1].__name__


def test_an_error_of_the_block_s_own_leaves_together_with_it(breaks):
    async def program():
        async with breakable() as gateway:
            breaks(gateway)
            try:
                await asyncio.sleep(1e6)
            except asyncio.CancelledError:
                raise LookupError("own") from None

    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            await program()
        return [type(error) for error in caught.value.exceptions]

    assert [LookupError, PartitionFailed] == run(main())


def test_one_that_was_opened_by_a_task_that_has_ended_tells_callers_and_its_end(breaks):
    """As where a framework opens in one hook and closes in another."""

    async def main():
        opening = breakable()
        gateway = await asyncio.ensure_future(opening.__aenter__())
        breaks(gateway)

        async def ask():
            while True:
                await gateway.status("unknown")

        with pytest.raises(GatewayClosed) as caught:
            await ask()
        assert isinstance(caught.value.__cause__, PartitionFailed)
        with pytest.raises(PartitionFailed):
            await opening.__aexit__(None, None, None)

    run(main())


# -- a loop that ends first


def test_a_loop_that_ends_with_the_gateway_open_drains_and_says_so(logs):
    channel = FakeChannel(latency=0.1)

    async def main():
        gateway = await opened(channel).__aenter__()
        await gateway.enqueue("bot", "room", "accepted")

    asyncio.run(main())
    assert ["accepted"] == channel.texts("room")
    assert [1] == [log["unfinished"] for log in told(logs, "loop_ended")]


def test_a_loop_that_is_closed_without_ado_drains_as_the_next_answer_comes(logs):
    channel = Held()

    async def main():
        gateway = await opened(channel).__aenter__()
        asyncio.get_running_loop().kept = asyncio.ensure_future(
            gateway.send("bot", "r", "accepted")
        )
        while not channel.begun.is_set():  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.001)

    class Loop(asyncio.SelectorEventLoop):
        """With room for a task."""

    loop = Loop()
    loop.run_until_complete(main())
    loop.close()
    loop.kept._log_destroy_pending = False
    channel.let_go()
    eventually(lambda: channel.texts("r") == ["accepted"])
    from gateway_core.bridge import exits  # noqa: PLC0415 - private, of this test

    eventually(lambda: exits._open == set())
    on_thread(int)
    assert 1 == len(told(logs, "loop_ended"))


def test_a_gateway_is_of_no_use_without_a_loop():
    with pytest.raises(RuntimeError, match=r"no running event loop: .* gateway_core with trio"):
        opened().__aenter__().send(None)
    assert isinstance(config(), GatewayConfig)


async def test_one_that_is_not_entered_says_how_it_is():
    opening = opened()
    with pytest.raises(AttributeError, match=r"write `async with open_gateway\(…\) as gateway:`"):
        opening.send  # noqa: B018 - what a newcomer asks for
    with pytest.raises(TypeError, match="asynchronously: write `async with"), opening:
        pass
    with pytest.raises(TypeError, match="end of a block: write `async with"):
        await opening
