"""Reactions by Slack's names for emoji, and pins."""

from __future__ import annotations

import attrs
import pytest

from gateway_core import GatewayConfig, Invalid, Problem, open_gateway
from gateway_core.authors import Mark, Sign
from gateway_core.testing import virtual_wall
from gateway_plugin_slack import hooks
from gateway_plugin_slack.marks.names import name_of

PERSON, CONVERSATION, TS = "U024BE7LH", "D024BE7LH", "1700000000.000100"


@pytest.mark.parametrize(
    ("emoji", "name"),
    [
        ("👍", "+1"),
        ("👍🏽", "+1::skin-tone-4"),
        ("❤️", "heart"),
        ("❤", "heart"),
        ("👀", "eyes"),
        ("1️⃣", "one"),
        ("#️⃣", "hash"),
        ("🤷🏿‍♀️", "woman-shrugging::skin-tone-6"),
        ("🇩🇪", "de"),
        (":party-parrot:", "party-parrot"),
        ("+1::skin-tone-2", "+1::skin-tone-2"),
        ("👩🏻‍❤️‍👨🏿", None),
        ("\ue000", None),
        (":no name:", None),
    ],
)
def test_an_emoji_has_the_name_that_slack_gives_it(emoji, name):
    assert name == name_of(emoji)


def test_the_call_names_it():
    sign = hooks.mark(Mark(what="react", emoji="👍"))
    assert Sign(method="reactions.add", arguments={"name": "+1"}) == sign
    text = "Slack has no name for '\\ue000'; write a custom emoji as :name:"
    assert Problem("emoji", text) == hooks.mark(Mark(what="unreact", emoji="\ue000"))


@pytest.fixture
def opened(instance):
    return lambda: open_gateway(GatewayConfig(instances=[instance]), wall_clock=virtual_wall)


async def test_a_message_to_a_person_is_marked_in_their_conversation(slack, opened, autojump_clock):
    slack.will_say({"ok": True, "channel": {"id": CONVERSATION}})
    slack.will_say({"ok": True, "channel": CONVERSATION, "ts": TS})
    async with opened() as gateway:
        sent = await gateway.send("support", PERSON, "hello")
    slack.will_say({"ok": True, "channel": {"id": CONVERSATION}})
    async with opened() as gateway:  # which does not know where the room went
        await gateway.react(sent.ref, "👀")
        await gateway.pin(sent.ref)
    marked = [(r.method, r.fields) for r in slack.requests[-2:]]
    place = {"channel": CONVERSATION, "timestamp": TS}
    assert [("reactions.add", {**place, "name": "eyes"}), ("pins.add", place)] == marked


@pytest.mark.parametrize("word", ["already_reacted", "no_reaction", "already_pinned", "no_pin"])
async def test_what_is_so_already_is_success(slack, opened, autojump_clock, word):
    async with opened() as gateway:
        sent = await gateway.send("support", "C024BE91L", "hello")
        slack.will_say({"ok": False, "error": word})
        receipt = await gateway.react(sent.ref, "👍")
    assert (True, ["unchanged"]) == (receipt.delivered, [part.outcome for part in receipt.parts])


async def test_a_message_in_a_named_channel_needs_its_conversation(slack, opened, autojump_clock):
    """What was sent to a name has it in its id."""
    async with opened() as gateway:
        sent = await gateway.send("support", "#general", "hello")
        await gateway.react(sent.ref, "👍")
        assert "C024BE91L" == slack.requests[-1].fields["channel"]
        (part,) = sent.ref.parts
        bare = part.message_id.rpartition(":")[2]
        with pytest.raises(Invalid, match="the conversation's id here, not its name"):
            await gateway.react(_named(sent.ref, bare), "👍")


def _named(ref, name):
    return attrs.evolve(ref, envelope_id="", parts=(attrs.evolve(ref.parts[0], message_id=name),))
