"""What platforms and hooks answer, whatever it is, strands nobody: in memory and on disk alike."""

from __future__ import annotations

import re
from collections import UserDict
from contextlib import asynccontextmanager

import pytest
import trio
from structlog.testing import capture_logs

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import Disposition, ErrorClass, Part, Reason, Scope, Verdict
from gateway_core.authors import Answer, BucketReport, hookimpl
from gateway_core.testing import (
    Failure,
    FakeChannel,
    MemoryOutbox,
    open_test_gateway,
    virtual_wall,
)

HUGE = 10**6000


@pytest.fixture(params=["in memory", "memory outbox", "sqlite"])
def opened(request, tmp_path):
    """Opens gateways, one after the other, on what the first one stored."""
    kept = MemoryOutbox()

    def outbox():
        if request.param == "sqlite":
            settings = SqliteSettings(in_thread=False)
            return SqliteOutbox(tmp_path / "outbox.db", settings, wall_clock=virtual_wall)
        return kept if request.param == "memory outbox" else None

    @asynccontextmanager
    async def open_one(channel, **settings):
        with capture_logs() as lines:
            async with open_test_gateway(channel, outbox=outbox(), **settings) as gateway:
                with trio.fail_after(3600):
                    yield gateway
                assert 0 == gateway.statistics().unfinished
                assert [0] == [p.restarts for p in gateway.statistics().partitions]
        broken = ("gateway.envelope_crashed", "gateway.outbox_broke", "gateway.outbox_failed")
        assert [] == [line for line in lines if line["event"] in broken]

    return open_one


async def made_again(opened, channel) -> bool:
    """Whether the next life makes anything again."""
    before = len(channel.made)
    async with opened(channel, seed="next", partition_count=1):
        await trio.sleep(600)
    return len(channel.made) > before


def _cycle():
    cycle = []
    cycle += [cycle, cycle]
    return cycle


def _nested():
    value = "x"
    for _ in range(450):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "result",
    [{None: 1}, object(), _cycle(), _nested(), HUGE, "\ud800", UserDict({1: 2})],
    ids=["key", "object", "cycle", "deep", "huge", "surrogate", "table"],
)
async def test_a_result_that_cannot_be_stored_strands_no_caller(opened, result, autojump_clock):
    async def answering(_):
        return Answer(result=result)

    channel = FakeChannel(script=answering)
    async with opened(channel, partition_count=1) as gateway:
        receipt = await gateway.call("bot", "r", "anything", {}, raises=False)
        assert (Disposition.DELIVERED, None) == (receipt.disposition, receipt.result)
    assert not await made_again(opened, channel)


@pytest.mark.parametrize("message_id", ["a\x00b", "\ud800", "7" * 500_000], ids=["n", "s", "l"])
async def test_an_id_that_a_platform_garbled_was_delivered(opened, message_id, autojump_clock):
    async def answering(_):
        return Answer(message_id=message_id)

    channel = FakeChannel(script=answering)
    async with opened(channel, partition_count=1) as gateway:
        receipt = await gateway.send("bot", "r", "hello")
        assert (True, None) == (receipt.delivered, receipt.parts[0].message_id)
        (errors,) = gateway.statistics().hook_errors.values()
        assert 1 == errors
    assert not await made_again(opened, channel)


def _verdict(**fields):
    fields = {"error_class": ErrorClass.NON_RETRYABLE, "reason": Reason.BAD_REQUEST} | fields
    return Verdict(**fields)


@pytest.mark.parametrize(
    "verdict",
    [
        _verdict(raw="\ud800 \x00"),
        _verdict(retry_after=HUGE),
        _verdict(retry_after=float("nan")),
        _verdict(buckets=(BucketReport(bucket="b", limit=HUGE),)),
        _verdict(buckets=(BucketReport(bucket="\ud800"),)),
        _verdict(buckets=(BucketReport(bucket=None, remaining=object()),)),
        _verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.ROOM_MOVED, moved_to="\ud800"),
        _verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.ROOM_MOVED, moved_to="a\x00"),
        _verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.ROOM_MOVED, moved_to=""),
    ],
    ids=["raw", "wait", "nan", "limit", "bucket", "remaining", "moved", "moved nul", "moved empty"],
)
async def test_an_odd_verdict_ends_what_it_is_about_and_nothing_else(
    opened, verdict, autojump_clock
):
    left = [verdict]

    async def answering(_):
        if left:
            raise Failure(left.pop())

    channel = FakeChannel(script=answering)
    async with opened(channel, partition_count=1) as gateway:
        receipt = await gateway.send("bot", "r", "hello", raises=False)
        assert Disposition.REJECTED is receipt.disposition
        assert (await gateway.send("bot", "r", "again")).delivered
    assert not await made_again(opened, channel)


async def test_a_wait_of_an_account_beyond_all_numbers_is_believed_as_long_as_any(
    opened, autojump_clock
):
    left = [
        _verdict(
            error_class=ErrorClass.RETRYABLE,
            reason=Reason.RATE_LIMITED,
            scope=Scope.INSTANCE,
            retry_after=HUGE,
        )
    ]

    async def answering(_):
        if left:
            raise Failure(left.pop())

    async with opened(FakeChannel(script=answering), partition_count=1) as gateway:
        receipt = await gateway.send("bot", "r", "hello", ttl=600, raises=False)
        assert Disposition.EXPIRED is receipt.disposition


class Planned(FakeChannel):
    """Its plan of a text is as it was told."""

    part = Part(payload={"text": "x"})

    @hookimpl
    def chunk(self, mode):
        return [self.part if mode == "plain" else Part(payload={"text": "x"})]


@pytest.mark.parametrize(
    "part",
    [
        Part(payload={None: 1}, digest="d"),
        Part(payload={"a": object()}, digest="d"),
        Part(payload=_cycle(), digest="d"),
        Part(payload={"a": HUGE}, digest="d"),
        Part(payload={"a": "\ud800"}, digest="d"),
        Part(payload={}, span=(0, HUGE), digest="d"),
    ],
    ids=["key", "object", "cycle", "huge", "surrogate", "span"],
)
async def test_a_later_plan_that_cannot_be_stored_strands_no_caller(opened, part, autojump_clock):
    async def refusing(_):
        raise Failure(_verdict(transform="plain"))

    channel = Planned(script=refusing)
    channel.part = part
    async with opened(channel, partition_count=1) as gateway:
        receipt = await gateway.send("bot", "r", "hello", raises=False)
        assert Disposition.CRASHED is receipt.disposition
        assert "hook chunk: answered with Part, expected Part whose" in receipt.verdict.raw
    assert not await made_again(opened, channel)


# -- an engine that raises where none may

PLAIN = (
    "withdraw", "entered", "replanned", "attempt_ended", "acknowledged", "finished",
    "moved", "closed", "answered", "release",
)  # fmt: skip


class Mistaken(MemoryOutbox):
    """Every method of it that must not raise does, once it has done its work."""

    called: set[str]


def _mistaken(name):
    def method(self, *arguments):
        getattr(MemoryOutbox, name)(self, *arguments)
        self.called.add(name)
        raise KeyError(name)

    method.__name__ = name
    return method


for _name in PLAIN:
    setattr(Mistaken, _name, _mistaken(_name))


class Three(FakeChannel):
    @hookimpl
    def chunk(self, envelope):
        words = re.finditer(r"\S+", envelope.text)
        return [Part(payload={"text": word[0]}, span=word.span()) for word in words]


async def test_an_outbox_that_raises_where_none_may_strands_nobody(autojump_clock):
    """All that is reported plainly is: ends, failed tries, plans, moves, closures, withdrawals."""
    rooms = {
        "moved": _verdict(
            error_class=ErrorClass.RETRYABLE, reason=Reason.ROOM_MOVED, moved_to="other"
        ),
        "plain": _verdict(transform="plain"),
        "limited": _verdict(
            error_class=ErrorClass.RETRYABLE,
            reason=Reason.RATE_LIMITED,
            scope=Scope.INSTANCE,
            retry_after=5.0,
        ),
    }

    async def answering(attempt):
        if attempt.room in rooms:
            raise Failure(rooms.pop(attempt.room))

    outbox = Mistaken()
    outbox.called = set()
    channel = Three(script=answering, latency=0.1)
    with capture_logs() as lines, trio.fail_after(3600):
        async with open_test_gateway(channel, outbox=outbox, partition_count=1) as gateway:
            for room in ("moved", "plain", "limited", "quiet"):
                assert (await gateway.send("bot", room, "one two")).delivered
            later = await gateway.enqueue("bot", "r", "x", not_before=virtual_wall() + 5)
            edit = trio.Event()

            async def changed():
                await gateway.edit(later, "y z")
                edit.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(changed)
            assert edit.is_set()
            assert 0 == gateway.statistics().unfinished
            assert [0] == [p.restarts for p in gateway.statistics().partitions]
    told = {line["method"] for line in lines if line["event"] == "gateway.outbox_broke"}
    assert told == outbox.called
    assert {"replanned", "attempt_ended", "acknowledged", "finished", "moved", "closed"} < told
    assert "gateway.envelope_crashed" not in [line["event"] for line in lines]
    assert 0 == len(outbox)
