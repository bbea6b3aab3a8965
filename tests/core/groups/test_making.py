"""What a group is made of is looked at before any of it is accepted."""

from __future__ import annotations

import re

import pytest
import trio
from broadcasting import got, paced, rooms

from gateway_core import (
    Call,
    Delete,
    Disposition,
    Edit,
    IdempotencyConflict,
    Invalid,
    Part,
    Problem,
    Send,
)
from gateway_core.authors import Limit, hookimpl
from gateway_core.testing import EPOCH, FakeChannel, open_test_gateway


class Picky(FakeChannel):
    """Knows what a room is called, and which one is rude to write to."""

    rude = None

    @hookimpl
    def validate(self, envelope):
        room = envelope.external_room_id
        faults = [Problem("external_room_id", "is no room")] if room.startswith("x") else []
        if room.startswith("y"):  # as Slack and Discord say it
            faults.append(Problem("external_room_id", f"{room!r} is neither an id nor a name"))
        if room == self.rude:
            faults.append(Problem("text", "is rude now"))
        return [*faults, *([Problem("text", "is rude")] if "!" in envelope.text else [])]


def send(room, text="hello", **fields):
    return Send(instance_id="bot", external_room_id=room, text=text, **fields)


async def test_wrong_rooms_are_named_and_nothing_is_accepted(opened, autojump_clock):
    channel = Picky()
    async with opened(channel) as gateway:
        names = ["a", "x1", "", "b", 7, "x2", "c\nd", "y1"]
        with pytest.raises(Invalid) as refused:
            await gateway.broadcast("bot", names, "news")
        assert [
            ("rooms.1", "'x1' is no room"), ("rooms.2", "is empty"),
            ("rooms.4", "must be a text, not int"), ("rooms.5", "'x2' is no room"),
            ("rooms.6", "has a control character"), ("rooms.7", "'y1' is neither an id nor a name"),
        ] == [(problem.place, problem.text) for problem in refused.value.problems]  # fmt: skip
        assert [] == await gateway.groups("bot")
    assert [] == channel.made


async def test_of_many_wrong_rooms_the_first_are_named(autojump_clock):
    async with open_test_gateway(Picky()) as gateway:
        with pytest.raises(Invalid) as refused:
            await gateway.broadcast("bot", (f"x{n}" for n in range(1_000)), "news")
    problems = refused.value.problems
    assert (21, "rooms.19") == (len(problems), problems[19].place)
    assert "and 980 more are wrong" == problems[20].text


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"rooms": []}, "rooms"),
        ({"rooms": "room"}, "rooms"),
        ({"rooms": 7}, "rooms"),
        ({"text": ""}, "text"),
        ({"text": "buy now!"}, "text"),
        ({"ttl": "long"}, "ttl"),
        ({"ttl": 5, "deadline": EPOCH + 5}, "deadline"),
        ({"priority": "first"}, "priority"),
        ({"key": ""}, "key"),
    ],
)
async def test_what_is_wrong_in_itself_is_told_once(fields, place, autojump_clock):
    asked = {"rooms": ["a", "b"], "text": "news"} | fields
    async with open_test_gateway(Picky()) as gateway:
        with pytest.raises(Invalid) as refused:
            await gateway.broadcast("bot", asked.pop("rooms"), asked.pop("text"), **asked)
    assert [place] == [problem.place for problem in refused.value.problems]


async def test_others_have_their_turn_while_rooms_are_looked_at(opened, autojump_clock):
    turns = []
    async with opened(paced(10_000)) as gateway, trio.open_nursery() as nursery:

        async def count():
            while True:
                turns.append(trio.current_time())
                await trio.lowlevel.checkpoint()

        nursery.start_soon(count)
        await gateway.broadcast("bot", rooms(5_000), "news")
        nursery.cancel_scope.cancel()
    assert len(turns) > 40


async def test_a_cancelled_caller_leaves_nothing(opened, autojump_clock):
    async with opened() as gateway:
        with trio.CancelScope() as scope:

            def some():
                yield from rooms(150)
                scope.cancel()
                yield from rooms(150, 150)

            await gateway.broadcast("bot", some(), "news")
        assert scope.cancelled_caught
        assert [] == await gateway.groups("bot")


async def test_a_generator_that_breaks_leaves_nothing(opened, autojump_clock):
    def some():
        yield "a"
        raise LookupError("no more")

    async with opened() as gateway:
        with pytest.raises(LookupError):
            await gateway.broadcast("bot", some(), "news")
        assert [] == await gateway.groups("bot")


async def test_what_it_costs_can_be_seen_before(opened, autojump_clock):
    channel = FakeChannel(limits=lambda _r, _o: [Limit("account", count=2)])
    async with opened(channel) as gateway:
        told = await gateway.foresee_broadcast(send("-", priority="bulk"), [*rooms(100), "room7"])
        assert (100, 100, ("hello",)) == (told.members, told.attempts, told.parts)
        assert ("account", 2.0, 49.5, 86_400.0) == (told.bucket, told.rate, told.seconds, told.ttl)
        assert not told.too_long
        assert (await gateway.foresee_broadcast(send("-", ttl=49), rooms(100))).too_long
        with pytest.raises(Invalid):
            await gateway.foresee_broadcast(send("-"), ["a", ""])
        assert [] == await gateway.groups("bot")
    assert [] == channel.made


async def test_a_text_of_several_parts_counts_each(autojump_clock):
    class Short(FakeChannel):
        @hookimpl
        def chunk(self, envelope):
            words = re.finditer(r"\S+", envelope.text)
            return [Part(payload={"text": word[0]}, span=word.span()) for word in words]

    channel = Short(limits=lambda _r, _o: [Limit("account", count=10)])
    async with open_test_gateway(channel) as gateway:
        told = await gateway.foresee_broadcast(send("-", "one two three"), rooms(100))
        assert (300, 29.9) == (told.attempts, pytest.approx(told.seconds))
        began = trio.current_time()
        await (await gateway.broadcast("bot", rooms(100), "one two three")).wait()
        assert 30 == pytest.approx(trio.current_time() - began, rel=0.01)
    assert dict.fromkeys(rooms(100), 3) == got(channel)


async def test_many_envelopes_are_sent_in_their_order(opened, autojump_clock):
    """Each with its own text, and one that is there twice is sent twice."""
    channel = paced(10)
    async with opened(channel) as gateway:
        job = await gateway.submit_many(
            [send(f"room{n % 5}", f"text {n}") for n in range(50)] + [send("room0", "text 45")],
            group="june",
        )
        assert {Disposition.DELIVERED: 51} == dict((await job.wait()).counts)
        again = await gateway.group(instance="bot", key="june")
        assert job.id == again.id
    for room in range(5):
        expected = [f"text {n}" for n in range(room, 50, 5)] + ["text 45"] * (room == 0)
        assert expected == channel.texts(f"room{room}")


async def test_many_envelopes_may_be_of_any_kind(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel) as gateway:
        first = await gateway.send("bot", "a", "one")
        second = await gateway.send("bot", "b", "two")
        fields = {"instance_id": "bot"}
        job = await gateway.submit_many(
            [
                Edit(**fields, external_room_id="a", target=first.ref, text="one, edited"),
                Delete(**fields, external_room_id="b", target=second.ref),
                Call(**fields, external_room_id="c", method="wave"),
                send("d"),
            ]
        )
        assert {Disposition.DELIVERED: 4} == dict((await job.wait()).counts)
    assert (["one, edited"], [], ["hello"]) == tuple(map(channel.texts, "abd"))


async def test_the_key_of_other_envelopes_is_refused(opened, autojump_clock):
    async with opened() as gateway:
        job = await gateway.submit_many([send("a"), send("b", "b")], group="june")
        same = await gateway.submit_many([send("b", "b"), send("a")], group="june")
        assert job.id == same.id
        with pytest.raises(IdempotencyConflict):
            await gateway.submit_many([send("a"), send("b", "c")], group="june")


@pytest.mark.parametrize(
    ("envelopes", "place"),
    [
        ([], "envelopes"),
        (7, "envelopes"),
        (["text"], "envelopes.0"),
        ([send("a"), "text"], "envelopes.1"),
        ([send("a"), send("b", key="k")], "envelopes.1"),
        ([send("a", not_before=EPOCH + 5)], "envelopes.0"),
        ([send("a"), Send(instance_id="other", external_room_id="b", text="t")], "envelopes.1"),
        ([send("a"), send("x")], "envelopes.1"),
        ([send("a", "")], "envelopes.0"),
    ],
)
async def test_envelopes_that_cannot_be_members_are_named(envelopes, place, autojump_clock):
    async with open_test_gateway(Picky(), instances=("bot", "other")) as gateway:
        with pytest.raises(Invalid) as refused:
            await gateway.submit_many(envelopes)
        assert [place] == [problem.place for problem in refused.value.problems]
        assert [] == await gateway.groups("bot")


async def test_an_envelope_of_a_group_has_its_own_time(opened, autojump_clock):
    channel = paced(1)
    async with opened(channel) as gateway:
        some = [send(f"room{n}", ttl=5.0 if n % 2 else None) for n in range(20)]
        progress = await (await gateway.submit_many(some)).wait()
    assert Disposition.EXPIRED in progress.counts
    assert 10 <= progress.counts[Disposition.DELIVERED] < 15
    late = [made.attempt.room for made in channel.made if made.at > 6]
    assert all(int(room[4:]) % 2 == 0 for room in late)


async def test_a_member_that_has_become_wrong_is_rejected(opened, autojump_clock):
    """Settings may change between the acceptance of a group and a member's turn."""
    channel = Picky()
    async with opened(channel) as gateway:
        job = await gateway.submit_many([send("a"), send("b")], not_before=EPOCH + 60)
        channel.rude = "b"
        progress = await job.wait()
        assert {Disposition.DELIVERED: 1, Disposition.REJECTED: 1} == dict(progress.counts)
        (failed,) = [each async for each in job.failed()]
        assert "text: is rude now" == failed.verdict.raw
    assert {"a": 1} == got(channel)
