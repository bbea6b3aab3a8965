"""Policies that hold back: quiet hours, repeats, and rooms that take nothing."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import trio

from gateway_contrib.policies import DeadRoom, DeadRooms, NoRepeats, QuietHours
from gateway_core import DeliveryError, Disposition, ErrorClass, Invalid, Reason, Scope, Verdict
from gateway_core.authors import Delay, hookimpl
from gateway_core.testing import EPOCH, Failure, FakeChannel, MemoryOutbox, failing, virtual_wall

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
HOUR = 3600.0


def moment(text, zone=BERLIN):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


# -- quiet hours


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-03-10T21:59", None),
        ("2026-03-10T22:00", "2026-03-11T07:30"),
        ("2026-03-11T00:00", "2026-03-11T07:30"),
        ("2026-03-11T07:29:59", "2026-03-11T07:30"),
        ("2026-03-11T07:30", None),
        ("2026-03-28T23:00", "2026-03-29T07:30"),  # the night is an hour shorter
        ("2026-10-24T23:00", "2026-10-25T07:30"),  # or longer
        ("2026-12-31T23:00", "2027-01-01T07:30"),
    ],
)
def test_they_last_over_midnight_by_the_clock_of_the_place(sent, now, end):
    policy = QuietHours("22:00", "07:30", BERLIN, clock=lambda: moment(now))
    expected = None if end is None else Delay(moment(end))
    assert expected == policy.admit(sent(text="news"))


@pytest.mark.parametrize(("hour", "quiet"), [("12:59", False), ("13:00", True), ("15:00", False)])
def test_they_may_be_within_a_day(sent, hour, quiet):
    policy = QuietHours("13:00", "15:00", BERLIN, clock=lambda: moment(f"2026-03-10T{hour}"))
    assert quiet is (policy.admit(sent(text="news")) is not None)


def test_an_end_that_no_clock_shows_is_the_hour_after_it(sent):
    """In the night in which it goes from two to three."""
    policy = QuietHours("22:00", "02:30", BERLIN, clock=lambda: moment("2026-03-29T01:00"))
    assert Delay(moment("2026-03-29T03:30")) == policy.admit(sent(text="news"))


def test_each_room_has_its_zone(sent):
    now = moment("2026-03-10T08:00")
    policy = QuietHours("22:00", "07:30", BERLIN, zones={"ny": NEW_YORK}, clock=lambda: now)
    assert policy.admit(sent(text="news")) is None
    there = policy.admit(sent(text="news", external_room_id="ny"))
    assert Delay(moment("2026-03-10T07:30", NEW_YORK)) == there


def test_what_is_urgent_answers_or_makes_no_sound_is_sent(sent, edited, called):
    night = moment("2026-03-10T23:00")
    policy = QuietHours("22:00", "07:30", BERLIN, clock=lambda: night)
    passing = [sent(text="x", priority="urgent"), sent(text="x", reply_to="1")]
    for envelope in (*passing, edited(text="x"), called()):
        assert policy.admit(envelope) is None
    assert policy.admit(sent(text="x", priority="bulk")) is not None


def test_rooms_and_classes_may_be_named(sent):
    night = moment("2026-03-10T23:00")
    policy = QuietHours(
        "22:00", "07:30", BERLIN, rooms={"quiet"}, passing={"normal"}, clock=lambda: night
    )
    quiet = {"text": "x", "external_room_id": "quiet"}
    assert policy.admit(sent(text="x", priority="bulk")) is None
    assert policy.admit(sent(**quiet)) is None
    assert policy.admit(sent(**quiet, priority="bulk")) is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("25:00", "07:30", BERLIN), "must be a time of day such as '22:00', not '25:00'"),
        ((22, "07:30", BERLIN), "must be a time of day"),
        (("22:00", "22:00", BERLIN), "must be two times of day"),
        (("22:00", "07:00+01:00", BERLIN), "must be two times of day, without a zone"),
        (("22:00", "07:30", "Berlin"), "must be a time zone such as 'Europe/Berlin'"),
        (("22:00", "07:30", None), "must be a time zone"),
    ],
    ids=str,
)
def test_what_they_are_made_with_is_looked_at(arguments, words):
    with pytest.raises(ValueError, match=words):
        QuietHours(*arguments)


async def test_a_message_at_night_comes_in_the_morning(opened, autojump_clock):
    start = datetime.fromtimestamp(EPOCH, ZoneInfo("UTC"))
    policy = QuietHours(f"{start.hour:02}:00", f"{start.hour + 1:02}:00", "UTC", clock=virtual_wall)
    channel = FakeChannel()
    async with opened(channel, policy) as gateway:
        assert (await gateway.send("bot", "r", "news")).delivered
    (arrived,) = channel.times
    assert (start.minute * 60 + start.second) + arrived == pytest.approx(HOUR, abs=0.1)


# -- repeats


async def test_the_same_again_is_shed_for_a_while(opened, autojump_clock):
    """In that room and thread, whatever its key."""
    channel, policy = FakeChannel(), NoRepeats(60, clock=virtual_wall)
    async with opened(channel, policy) as gateway:
        await gateway.send("bot", "r", "disk full", key="1")
        for again in ({"key": "2"}, {}):
            with pytest.raises(DeliveryError) as caught:
                await gateway.send("bot", "r", "disk full", **again)
            assert Disposition.SHED == caught.value.receipt.disposition
        assert (await gateway.send("bot", "r", "disk full", key="1")).replayed
        await gateway.send("bot", "r", "disk full", thread="t")
        await gateway.send("bot", "other", "disk full")
        await gateway.send("bot", "r", "disk full", extra={"button": 1})
        await trio.sleep(61)
        await gateway.send("bot", "r", "disk full")
    assert ["disk full"] * 4 == channel.texts("r")


async def test_what_never_arrived_is_not_counted(opened, autojump_clock):
    gone = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.BAD_REQUEST)
    channel = FakeChannel(script=failing(gone))
    async with opened(channel, NoRepeats(60, clock=virtual_wall)) as gateway:
        assert not (await gateway.send("bot", "r", "hello", raises=False)).delivered
        assert (await gateway.send("bot", "r", "hello")).delivered


async def test_what_is_shed_as_a_repeat_leaves_the_first_one_counted(opened, autojump_clock):
    async with opened(FakeChannel(), NoRepeats(60, clock=virtual_wall)) as gateway:
        outcomes = [
            (await gateway.send("bot", "r", "hello", raises=False)).disposition for _ in range(3)
        ]
    assert ["delivered", "shed", "shed"] == outcomes


async def test_what_is_delayed_is_no_repeat_of_itself(opened, autojump_clock):
    class Once:
        @hookimpl
        def admit(self):
            return Delay(EPOCH + 30)

    channel = FakeChannel()
    async with opened(channel, Once(), NoRepeats(60, clock=virtual_wall)) as gateway:
        assert (await gateway.send("bot", "r", "hello")).delivered


class Until:
    """Delays all until a time."""

    def __init__(self, seconds):
        self.until = EPOCH + seconds

    @hookimpl
    def admit(self):
        return Delay(self.until)


@pytest.mark.parametrize("outbox", [MemoryOutbox, lambda: None], ids=["durable", "memory"])
async def test_the_time_counts_from_the_delivery(opened, autojump_clock, outbox):
    """What waits counts however old it is; the one that is delayed is no repeat of itself."""
    channel, policy = FakeChannel(), NoRepeats(600, clock=virtual_wall)
    async with opened(channel, Until(2800), policy, outbox=outbox()) as gateway:
        first = await gateway.enqueue("bot", "r", "alarm")
        await trio.sleep(700)
        outcomes = [await gateway.enqueue("bot", "r", "alarm")]
        await first.receipt()
        for wait in (100, 490, 20):
            await trio.sleep(wait)
            outcomes.append(await gateway.enqueue("bot", "r", "alarm"))
        ended = [(await ticket.receipt()).disposition for ticket in outcomes]
    assert ["shed", "shed", "shed", "delivered"] == ended
    assert [pytest.approx(2800, abs=0.1), pytest.approx(3410, abs=0.1)] == channel.times


@pytest.mark.parametrize("outbox", [MemoryOutbox, lambda: None], ids=["durable", "memory"])
async def test_what_expires_during_its_delay_is_not_counted(opened, autojump_clock, outbox):
    channel, policy = FakeChannel(), NoRepeats(600, clock=virtual_wall)
    async with opened(channel, Until(2800), policy, outbox=outbox()) as gateway:
        first = await gateway.enqueue("bot", "r", "alarm", ttl=60)
        again = await gateway.enqueue("bot", "r", "alarm")
        assert ["expired", "shed"] == [(await t.receipt()).disposition for t in (first, again)]
        await gateway.send("bot", "r", "alarm")
    assert ["alarm"] == channel.texts("r")


async def test_a_wait_that_never_ends_counts_for_as_long_as_a_delay_may_last(sent):
    now = EPOCH
    policy = NoRepeats(60, clock=lambda: now)
    assert policy.admit(sent(text="x")) is None
    now += 29 * 24 * HOUR
    assert "shed" == policy.admit(sent(text="x"))
    now += 24 * HOUR
    assert policy.admit(sent(text="x")) is None


async def test_only_so_many_are_remembered(opened, autojump_clock):
    policy = NoRepeats(60, most=2, clock=virtual_wall)
    async with opened(FakeChannel(), policy) as gateway:
        for text in ("a", "b", "c", "a"):
            assert (await gateway.send("bot", "r", text)).delivered


@pytest.mark.parametrize("arguments", [{"within": 0}, {"within": 1, "most": 0}], ids=str)
def test_bounds_of_nothing_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        NoRepeats(**arguments)


# -- dead rooms

BLOCKED = Verdict(
    error_class=ErrorClass.NON_RETRYABLE,
    reason=Reason.FORBIDDEN,
    scope=Scope.ROOM,
    dispatched="no",
    raw="bot was blocked by the user",
)


async def test_nothing_more_goes_to_a_room_that_died(opened, autojump_clock):
    told = []
    policy = DeadRooms(clock=virtual_wall, changed=lambda *change: told.append(change))
    channel = FakeChannel(script=failing(BLOCKED))
    async with opened(channel, policy) as gateway:
        first = await gateway.send("bot", "r", "one", raises=False)
        second = await gateway.send("bot", "r", "two", raises=False)
        assert ["rejected", "shed"] == [first.disposition, second.disposition]
        assert (await gateway.send("bot", "other", "x")).delivered
        dead = DeadRoom(
            instance_id="bot", room="r", since=EPOCH, reason="forbidden", raw=BLOCKED.raw
        )
        assert ((dead,), [(dead, True)]) == (policy.rooms, told)
        assert policy.revive("bot", "r")
        assert not policy.revive("bot", "r")
        assert (await gateway.send("bot", "r", "three")).delivered
        assert [(dead, True), (dead, False)] == told


async def test_now_and_then_one_is_let_through(opened, autojump_clock):
    policy = DeadRooms(again=HOUR, clock=virtual_wall)
    channel = FakeChannel(script=failing(BLOCKED, times=2))
    async with opened(channel, policy) as gateway:
        outcomes = []
        for wait in (0, HOUR / 2, HOUR, 60, HOUR, 0):
            await trio.sleep(wait)
            receipt = await gateway.send("bot", "r", str(wait), raises=False)
            outcomes.append(str(receipt.disposition))
    assert ["rejected", "shed", "rejected", "shed", "delivered", "delivered"] == outcomes
    assert () == policy.rooms


async def test_it_may_refuse_instead_and_looking_ahead_changes_nothing(
    opened, sent, autojump_clock
):
    known = DeadRoom(instance_id="bot", room="r", since=EPOCH, reason="room_gone")
    policy = DeadRooms([known], refuse=True, again=HOUR, clock=virtual_wall)
    async with opened(FakeChannel(), policy) as gateway:
        with pytest.raises(Invalid, match=r"takes no more messages \(room_gone\)"):
            await gateway.send("bot", "r", "one")
        await trio.sleep(HOUR)
        for _ in range(3):
            assert () == gateway.preview(sent(text="x")).problems
        assert (await gateway.send("bot", "r", "two")).delivered


async def test_a_broadcast_leaves_dead_rooms_out(opened, autojump_clock):
    known = DeadRoom(instance_id="bot", room="b", since=EPOCH, reason="room_gone")
    channel = FakeChannel()
    async with opened(channel, DeadRooms([known], clock=virtual_wall)) as gateway:
        job = await gateway.broadcast("bot", list("abc"), "news")
        assert {"delivered": 2, "shed": 1} == dict((await job.wait()).counts)


async def test_another_failure_kills_no_room(opened, autojump_clock):
    policy = DeadRooms(clock=virtual_wall)
    for error in (
        Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.TOO_LONG, scope=Scope.ROOM),
        Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.FORBIDDEN),
    ):

        async def script(_attempt, error=error):
            raise Failure(error)

        async with opened(FakeChannel(script=script), policy) as gateway:
            assert not (await gateway.send("bot", "r", "x", raises=False)).delivered
    assert () == policy.rooms
