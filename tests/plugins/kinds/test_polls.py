"""A poll on each channel: what stands there, what is refused, what becomes of it later."""

from __future__ import annotations

import attrs
import pytest

from gateway_contrib.policies import Masking, NoRepeats
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import (
    Disposition,
    IdempotencyConflict,
    Invalid,
    KeyRef,
    MessageRef,
    Poll,
    Reason,
    Send,
    from_json,
    to_json,
)
from gateway_core.authors import hookimpl
from gateway_core.testing import virtual_wall

LUNCH = Poll("Lunch?", ["Pizza", "Sushi"])
OTHER = Poll("Lunch?", ["Pizza", "Soup"])
EVENTS = {
    "telegram": lambda room, message: {
        "update_id": 7,
        "message": {"message_id": int(message), "date": 0, "chat": {"id": int(room)}},
    },
    "discord": lambda room, message: {
        "t": "MESSAGE_CREATE",
        "d": {"id": message, "channel_id": room, "author": {}},
    },
}
NO_POLLS = "channel 'slack' has no polls"


def outbox(path):
    return SqliteOutbox(path / "o.db", SqliteSettings(in_thread=False), wall_clock=virtual_wall)


with_polls = pytest.mark.parametrize("world", ["telegram", "discord"], indirect=True)


def polls(world):
    """Question and options of each poll that stands in the room."""
    found = []
    for message in world.messages():
        fields = message.fields
        if world.name == "telegram" and "question" in fields:
            found.append([fields["question"], *(each["text"] for each in fields["options"])])
        elif fields.get("poll"):
            poll = fields["poll"]
            answers = [each["poll_media"]["text"] for each in poll["answers"]]
            found.append([poll["question"]["text"], *answers])
    return found


@with_polls
async def test_it_goes_alone_or_with_a_text(world, autojump_clock):
    """On Telegram the text is a message before it, on Discord both are one."""
    async with world.opened() as gateway:
        alone = await gateway.send("bot", world.room, "", poll=LUNCH)
        assert [["Lunch?", "Pizza", "Sushi"]] == polls(world)
        await gateway.delete(alone.ref)
        both = await gateway.send("bot", world.room, "We are **hungry**", poll=LUNCH)
        assert [["Lunch?", "Pizza", "Sushi"]] == polls(world)
        count = 2 if world.name == "telegram" else 1
        assert count == len(world.messages()) == len(both.ref.parts)
        assert "hungry" in world.messages()[0].text
        assert [False] * (count - 1) + [True] == [part.fixed for part in both.ref.parts]
        await gateway.delete(both.ref)
    assert [] == world.messages()


@pytest.mark.parametrize("world", ["slack"], indirect=True)
async def test_a_channel_without_polls_says_so(world, autojump_clock):
    async with world.opened() as gateway:
        with pytest.raises(Invalid, match=NO_POLLS):
            await gateway.send("bot", world.room, "hungry", poll=LUNCH)
        asked = Send(instance_id="bot", external_room_id=world.room, text="", poll=LUNCH)
        assert ["poll"] == [each.place for each in gateway.preview(asked).problems]
        with pytest.raises(Invalid, match=NO_POLLS):
            await gateway.broadcast("bot", [world.room], "", poll=LUNCH)
    assert (0, 0, 0) == world.counts()


@with_polls
async def test_no_edit_changes_a_message_that_has_one(world, tmp_path, autojump_clock):
    """A ref tells it before anything is accepted; of a key it is known once its turn comes."""
    async with world.opened(outbox(tmp_path)) as gateway:
        sent = await gateway.send("bot", world.room, "hungry", poll=LUNCH, key="k")
        stored = to_json(sent.ref)
    named = KeyRef(instance_id="bot", external_room_id=world.room, key="k")
    async with world.opened(outbox(tmp_path)) as gateway:
        for ref in (sent.ref, from_json(MessageRef, stored)):
            with pytest.raises(Invalid, match="target: a message with a poll"):
                await gateway.edit(ref, "thirsty")
        late = await gateway.edit(named, "thirsty", raises=False)
        assert Disposition.REJECTED == late.disposition
        assert (Reason.UNSUPPORTED, 0) == (late.verdict.reason, late.attempts)
        assert ["hungry"] == world.texts()[:1]
        assert 1 == len(polls(world))
        await gateway.delete(named)
    assert [] == world.messages()
    assert 0 == world.counts()[1]


@with_polls
async def test_a_key_stands_for_its_poll(world, autojump_clock):
    async with world.opened() as gateway:
        await gateway.send("bot", world.room, "", poll=LUNCH, key="k")
        again = await gateway.send(
            "bot", world.room, "", poll=Poll("Lunch?", ("Pizza", "Sushi")), key="k"
        )
        assert again.replayed
        with pytest.raises(IdempotencyConflict):
            await gateway.send("bot", world.room, "", poll=OTHER, key="k")
    assert 1 == len(polls(world))


@with_polls
async def test_every_verb_takes_one(world, tmp_path, autojump_clock):
    async with world.opened(outbox(tmp_path)) as gateway:
        ticket = await gateway.enqueue("bot", world.room, "", poll=LUNCH)
        await ticket.receipt()
        job = await gateway.broadcast("bot", [world.room], "hungry", poll=LUNCH)
        await job.wait()
        asked = (await gateway.send("bot", world.room, "and?")).ref.parts[0].message_id
        await gateway.reply(EVENTS[world.name](world.room, asked), "", poll=LUNCH)
    assert [["Lunch?", "Pizza", "Sushi"]] * 3 == polls(world)


class Renaming:
    """A policy that puts another question."""

    @hookimpl
    def rewrite(self, envelope):
        if getattr(envelope, "poll", None) is None:
            return None
        return attrs.evolve(envelope, poll=attrs.evolve(envelope.poll, question="Dinner?"))


@with_polls
@pytest.mark.parametrize(
    ("policy", "question"), [(Renaming(), "Dinner?"), (Masking(words=["Lunch"]), "[hidden]?")]
)
async def test_policies_change_it(world, policy, question, autojump_clock):
    async with world.opened(policies=[policy]) as gateway:
        await gateway.send("bot", world.room, "", poll=LUNCH)
    assert [[question, "Pizza", "Sushi"]] == polls(world)


@with_polls
async def test_another_poll_is_no_repeat(world, autojump_clock):
    async with world.opened(policies=[NoRepeats(60, clock=virtual_wall)]) as gateway:
        for poll in (LUNCH, Poll("Tea?", ["Yes", "No"]), LUNCH):
            await gateway.send("bot", world.room, "", poll=poll, raises=False)
    assert ["Lunch?", "Tea?"] == [question for question, *_ in polls(world)]


@pytest.mark.parametrize("world", ["telegram"], indirect=True)
async def test_a_text_that_is_planned_anew_brings_no_second_poll(world, autojump_clock):
    """Telegram refuses the formatting of the text, which goes as it was written."""

    def refused(method, fields):
        if method.endswith("/sendMessage") and fields.get("entities"):
            return 400, {"ok": False, "error_code": 400, "description": "can't parse entities"}
        return None

    world.front.answers = refused
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, "**hungry**", poll=LUNCH)
    assert ["**hungry**", "Lunch?\n○ Pizza\n○ Sushi"] == world.texts()
    assert 2 == len(sent.ref.parts)


MANY = [str(number) for number in range(13)]
WRONG = {
    "poll.question": {"question": "q" * 301},
    "poll.options": {"options": MANY},
    "poll.options.1": {"options": ["a", "b" * 101]},
    "poll.duration": {"duration": 3e6},
}


@with_polls
@pytest.mark.parametrize("place", WRONG)
async def test_what_the_platform_would_refuse_is_refused_before(world, place, autojump_clock):
    poll = attrs.evolve(LUNCH, **WRONG[place])
    async with world.opened() as gateway:
        with pytest.raises(Invalid) as caught:
            await gateway.send("bot", world.room, "", poll=poll)
    assert [place] == [each.place for each in caught.value.problems]


@with_polls
async def test_what_only_one_platform_has_is_refused_on_the_other(world, autojump_clock):
    """Discord shows who voted, and closes after whole hours; Telegram wants two options."""
    refused = {
        "telegram": {"options": ["one"]},
        "discord": {"anonymous": True, "duration": 90.0},
    }
    async with world.opened() as gateway:
        for channel, fields in refused.items():
            for field, value in fields.items():
                asked = Send(
                    instance_id="bot",
                    external_room_id=world.room,
                    text="",
                    poll=attrs.evolve(LUNCH, **{field: value}),
                )
                found = [each.place for each in gateway.preview(asked).problems]
                assert ([f"poll.{field}"] if channel == world.name else []) == found


@with_polls
async def test_multiple_answers_and_the_end_reach_the_platform(world, autojump_clock):
    poll = attrs.evolve(LUNCH, multiple=True, anonymous=False, duration=7200)
    async with world.opened() as gateway:
        await gateway.send("bot", world.room, "", poll=poll)
    [message] = world.messages()
    told = message.fields if world.name == "telegram" else message.fields["poll"]
    expected = {
        "telegram": {
            "allows_multiple_answers": True, "is_anonymous": False, "open_period": 7200,
        },
        "discord": {"allow_multiselect": True, "duration": 2},
    }[world.name]  # fmt: skip
    assert expected == {name: told[name] for name in expected}


def test_an_outbox_stores_it_without_loss():
    sent = Send(
        instance_id="bot",
        external_room_id="r",
        text="",
        poll=Poll("Lunch?", ["Pizza"], multiple=True, anonymous=False, duration=60.5),
    )
    assert sent == from_json(Send, to_json(sent))
    assert sent.poll.options == from_json(Send, to_json(sent)).poll.options
