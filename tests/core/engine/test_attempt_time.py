"""An attempt that takes too long is broken off at its time, and no other with it."""

from __future__ import annotations

import math
import os
from collections import Counter

import pytest
import trio
from amounts import amount

from gateway_core import Disposition
from gateway_core.testing import FakeChannel, seeded_schedule

GIVE_UP = {"on_unknown": "give_up", "raises": False}


async def test_each_attempt_has_the_whole_of_its_time(engine, autojump_clock):
    """They begin at 0, 1.5, 3, … s in rooms of one partition, and others are answered between."""
    ended: dict[str, float] = {}

    async def script(attempt) -> None:
        await trio.sleep(math.inf if attempt.room.startswith("stuck") else 0.5)

    async with (
        engine(FakeChannel(script=script), partition_count=1, attempt_timeout=5) as gateway,
        trio.open_nursery() as nursery,
    ):

        async def send(room: str) -> None:
            receipt = await gateway.send("bot", room, "x", **GIVE_UP)
            assert room.startswith("stuck") != receipt.delivered
            ended[room] = trio.current_time()

        for n in range(8):
            nursery.start_soon(send, f"stuck {n}")
            nursery.start_soon(send, f"well {n}")
            await trio.sleep(1.5)
    assert {f"stuck {n}": n * 1.5 + 5 for n in range(8)} == pytest.approx(
        {room: at for room, at in ended.items() if room.startswith("stuck")}
    )
    assert {f"well {n}": n * 1.5 + 0.5 for n in range(8)} == pytest.approx(
        {room: at for room, at in ended.items() if room.startswith("well")}
    )


async def test_an_attempt_after_an_idle_time_has_all_of_its_time_again(engine, autojump_clock):
    hanging = [False]

    async def script(_) -> None:
        await trio.sleep(math.inf if hanging[0] else 1)

    channel = FakeChannel(script=script)
    async with engine(channel, partition_count=1, attempt_timeout=5) as gateway:
        for idle in (0, 3, 4.5, 100, 7.25):
            await trio.sleep(idle)
            hanging[0] = not hanging[0]
            start = trio.current_time()
            receipt = await gateway.send("bot", "r", "x", **GIVE_UP)
            assert hanging[0] != receipt.delivered
            assert (5 if hanging[0] else 1) == pytest.approx(trio.current_time() - start)


async def test_attempts_may_take_as_long_as_they_like(engine, autojump_clock):
    async def script(_) -> None:
        await trio.sleep_until(10_000)

    channel = FakeChannel(script=script)
    async with engine(channel, attempt_timeout=math.inf) as gateway:
        assert (await gateway.send("bot", "r", "x", ttl=1e6)).delivered


@pytest.mark.parametrize("seed", range(amount("answers as the time is over")))
def test_an_answer_that_comes_as_the_time_is_over_counts_once(new_engine, seed):
    """On a grid of time answers and deadlines fall together: each is one of the two, none both."""

    async def world() -> Counter[Disposition]:
        ends: Counter[Disposition] = Counter()
        made: Counter[str] = Counter()

        async def script(attempt) -> None:
            made[attempt.envelope_id] += 1
            await trio.sleep(int(attempt.room) % 4 * 0.5 + 0.5)

        channel = FakeChannel(script=script)
        async with (
            new_engine()(channel, partition_count=1, attempt_timeout=1.5) as gateway,
            trio.open_nursery() as nursery,
        ):

            async def send(room: int) -> None:
                for _ in range(4):
                    receipt = await gateway.send("bot", str(room), "x", **GIVE_UP)
                    ends[receipt.disposition] += 1
                    assert receipt.delivered or room % 4 >= 2

            for room in range(12):
                nursery.start_soon(send, room)
                if room % 3 == 0:
                    await trio.sleep(0.5)
        assert {1} == set(made.values())
        assert all(p.restarts == 0 for p in gateway.statistics().partitions)
        return ends

    with seeded_schedule(f"{os.environ.get('SCHEDULE_SEED', '0')} {seed}"):
        ends = trio.run(world, clock=trio.testing.MockClock(autojump_threshold=0))
    assert 48 == ends.total() == ends[Disposition.DELIVERED] + ends[Disposition.UNKNOWN]
    assert ends[Disposition.UNKNOWN] >= 12


def _fall_again() -> None:
    try:
        os.close(-1)
    except OSError as error:
        raise RuntimeError("no connection") from error


@pytest.mark.parametrize("room", ["late", "late within", "late and silent"])
async def test_what_a_hook_makes_of_its_break_off_is_a_break_off(engine, autojump_clock, room):
    """The outcome is unknown, whatever error it raises instead; and the worker goes on."""

    async def script(attempt) -> str | None:
        try:
            await trio.sleep(math.inf if attempt.room == room else 0)
        except trio.Cancelled:
            if attempt.room != "late and silent":
                raise
            return "no answer"
        finally:
            if attempt.room == "late":
                raise RuntimeError("no connection")
            if attempt.room == "late within":
                _fall_again()
        return None

    async with engine(FakeChannel(script=script), partition_count=1, attempt_timeout=5) as gateway:
        receipt = await gateway.send("bot", room, "x", **GIVE_UP)
        assert (Disposition.UNKNOWN, "unknown") == (
            receipt.disposition,
            receipt.verdict.dispatched,
        )
        assert 5 == pytest.approx(trio.current_time(), abs=3)
        assert (await gateway.send("bot", "other", "x", raises=False)).delivered
