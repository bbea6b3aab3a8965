"""Where an envelope stands: its state, what it waits for, its tries, and when its turn comes."""

from __future__ import annotations

import pytest
import trio

from gateway_core import Edit, Limit, Part
from gateway_core.authors import hookimpl
from gateway_core.testing import EPOCH, FakeChannel


def by_room(count: int, per: float):
    return lambda room, _operation: [Limit(f"room {room}", count, per)]


def account(count: int, per: float, pace: str = "even"):
    return lambda *_: [Limit("account", count, per, pace)]


class Words(FakeChannel):
    """A message a word."""

    @hookimpl
    def chunk(self, envelope):
        return [Part(payload={"text": word}) for word in envelope.text.split()]


@pytest.mark.parametrize(
    ("limits", "rooms"),
    [
        (account(1, 10.0), "abcd"),  # one after the other, whoever's
        (account(2, 10.0), "abcd"),  # a tick every 5 s
        (by_room(1, 5.0), "aaaa"),  # one after the other in one room
        (by_room(1, 5.0), "abab"),
        (account(1, 10.0), "abcabcabc"),  # each room's second goes after every room's first
    ],
)
async def test_an_estimate_comes_true(engine, say, limits, rooms, autojump_clock):
    channel = FakeChannel(limits=limits)
    async with engine(channel) as gateway:
        tickets = []
        for n, room in enumerate(rooms):
            tickets.append(await gateway.submit(say.message(room, f"{n}")))
            await trio.sleep(0.25)
        at = trio.current_time()
        estimates = [(await gateway.status(ticket)).estimate for ticket in tickets]
        for ticket in tickets:
            await ticket.receipt()
    made = {m.attempt.part.payload["text"]: m.at for m in channel.made}
    waits = [made[f"{n}"] - at if made[f"{n}"] >= at else None for n in range(len(rooms))]
    assert waits == [None if e is None else pytest.approx(e, abs=1e-3) for e in estimates]


async def test_a_window_lets_several_in_and_the_estimate_is_their_mean(engine, say, autojump_clock):
    channel = FakeChannel(limits=account(2, 10.0, "window"))
    async with engine(channel) as gateway:
        tickets = []
        for n in range(6):
            tickets.append(await gateway.submit(say.message(f"{n}")))
            await trio.sleep(0.25)
        estimates = [(await gateway.status(ticket)).estimate for ticket in tickets[2:]]
        assert [8.5, 13.5, 18.5, 23.5] == [pytest.approx(e, abs=1e-3) for e in estimates]


async def test_parts_before_it_count_each(engine, say, autojump_clock):
    channel = Words(limits=by_room(1, 5.0))
    async with engine(channel) as gateway:
        await gateway.submit(say.message("r", "one two three"))
        behind = await gateway.submit(say.message("r", "behind"))
        await trio.sleep(1)
        assert pytest.approx(14, abs=1e-3) == (await gateway.status(behind)).estimate
        await behind.receipt()
        assert 15 == pytest.approx(trio.current_time())


async def test_a_class_before_it_counts_and_one_after_it_does_not(engine, say, autojump_clock):
    channel = FakeChannel(limits=account(1, 10.0))
    async with engine(channel) as gateway:
        await gateway.submit(say.message("first"))
        await trio.sleep(1)
        tickets = {
            priority: await gateway.submit(say.message(priority, priority=priority))
            for priority in ("bulk", "normal", "urgent")
        }
        found = {name: (await gateway.status(t)).estimate for name, t in tickets.items()}
        expected = {"urgent": 9, "normal": 19, "bulk": 29}
        assert expected == {name: pytest.approx(e, abs=1e-3) for name, e in found.items()}


async def test_a_schedule_says_when(engine, say, autojump_clock):
    async with engine() as gateway:
        ticket = await gateway.submit(say.message(not_before=EPOCH + 30))
        await trio.sleep(10)
        status = await gateway.status(ticket)
        assert ("schedule", 20) == (status.cause, pytest.approx(status.estimate))


async def test_a_wait_that_the_platform_asked_for_says_when(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.busy(retry_after=8)))
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message())
        await trio.sleep(1)
        status = await gateway.status(ticket)
        assert ("retry", 1, 7) == (status.cause, status.attempts, pytest.approx(status.estimate))


async def test_what_is_under_way_waits_for_nothing(engine, say, autojump_clock):
    async with engine(FakeChannel(latency=5)) as gateway:
        ticket = await gateway.submit(say.message())
        await trio.sleep(1)
        assert 0 == (await gateway.status(ticket)).estimate


async def test_a_token_in_flight_comes_back_after_its_pace(engine, say, autojump_clock):
    """Nobody knows when the answer comes: what is known is the wait from then on."""
    async with engine(FakeChannel(latency=5, limits=account(1, 10.0))) as gateway:
        await gateway.submit(say.message("a"))
        ticket = await gateway.submit(say.message("b"))
        await trio.sleep(1)
        assert 10 == pytest.approx((await gateway.status(ticket)).estimate)


async def test_nobody_foresees_a_resume_nor_when_it_works_again(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.unknown()))
    channel.probe_error = say.refused()
    async with engine(channel) as gateway:
        doubtful = await gateway.submit(say.message("a"))
        await trio.sleep(5)
        assert ("outcome unknown", None) == await _waits(gateway, doubtful)
        gateway.suspend("bot")
        suspended = await gateway.submit(say.message("b"))
        assert (await gateway.status(suspended)).estimate is None


async def _waits(gateway, ticket) -> tuple[str, float | None]:
    status = await gateway.status(ticket)
    return status.cause, status.estimate


def _edit(target, text: str) -> Edit:
    return Edit(instance_id="bot", external_room_id="r", target=target, text=text)


async def test_what_waits_for_another_envelope_has_no_estimate(engine, say, autojump_clock):
    async with engine() as gateway:
        late = await gateway.submit(say.message("r", "x", not_before=EPOCH + 30))
        edit = await gateway.submit(_edit(late.ref, "y"))
        assert ("target", None) == await _waits(gateway, edit)


async def test_an_estimate_ends_at_the_deadline(engine, say, autojump_clock):
    async with engine(FakeChannel(limits=account(1, 600.0))) as gateway:
        await gateway.send("bot", "a", "x")
        ticket = await gateway.submit(say.message("b", ttl=60))
        assert 60 == pytest.approx((await gateway.status(ticket)).estimate)
        await ticket.receipt()
        status = await gateway.status(ticket.id)
        assert ("ended", None, "expired") == (
            status.state,
            status.estimate,
            status.receipt.disposition,
        )


async def test_nor_a_resume_where_it_waits_for_its_room_as_well(engine, say, autojump_clock):
    async with engine(
        FakeChannel(limits=lambda room, _: [Limit(room, 1, 60.0, of="room")])
    ) as gateway:
        await gateway.send("bot", "r", "one")
        second = await gateway.submit(say.message("r"))
        assert ("room limit", 60) == await _waits(gateway, second)
        gateway.suspend("bot")
        assert ("room limit", None) == await _waits(gateway, second)
        await trio.sleep(100)
        assert ("suspension", None) == await _waits(gateway, second)
        gateway.resume("bot")
        assert (await second.receipt()).delivered
