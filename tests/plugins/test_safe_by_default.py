"""Nobody is called and nothing unfolds unless the envelope says so, in sends and in edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway_contrib.emulators.slack import pings
from gateway_core import Edit, Send

CALLS = "@everyone @here <!channel> <!here|here> <@U024BE7LH> <@1234567890> <!subteam^S012>"
PERSON = '<a href="tg://user?id=5">you</a>'
LINK = "https://x.example/page"
FORMATS = pytest.mark.parametrize("form", ["plain", "markdown", "native"])
OPERATIONS = pytest.mark.parametrize("operation", ["send", "edit"])


def calls_nobody(world, fields: Mapping[str, Any]) -> bool:
    """Telegram has no switch: an @name calls its owner, but only native links name people."""
    if world.name == "telegram":
        return not any("user" in entity for entity in fields.get("entities", []))
    if world.name == "slack":
        return pings(world.messages()[-1]) == () and not fields["link_names"]
    return fields["allowed_mentions"] == {"parse": []}


def unfolds(world, fields: Mapping[str, Any]) -> bool:
    if world.name == "slack":
        return fields["unfurl_links"] or fields["unfurl_media"]
    if world.name == "discord":
        return not fields["flags"] & 4
    return "link_preview_options" not in fields


async def written(world, operation: str, text: str, **fields: Any) -> Mapping[str, Any]:
    """What the platform was asked with, to make a message of the text or to edit one into it."""
    here = {"instance_id": "bot", "external_room_id": world.room, "text": text, **fields}
    async with world.opened() as gateway:
        if operation == "send":
            ticket = await gateway.submit(Send(**here))
        else:
            sent = await gateway.send("bot", world.room, "before")
            ticket = await gateway.submit(Edit(**here, target=sent.ref))
        assert (await ticket.receipt()).delivered
    return world.front.posted[-1][1]


@FORMATS
@OPERATIONS
async def test_nobody_is_called(world, form, operation, autojump_clock):
    calls = PERSON if (world.name, form) == ("telegram", "native") else CALLS
    fields = await written(world, operation, calls, format=form)
    assert calls_nobody(world, fields)


@pytest.mark.parametrize("world", ["slack", "discord"], indirect=True)
@FORMATS
@OPERATIONS
async def test_people_are_called_where_the_envelope_says_so(world, form, operation, autojump_clock):
    fields = await written(world, operation, CALLS, format=form, mentions=True)
    assert not calls_nobody(world, {"allowed_mentions": None, **fields})


@FORMATS
async def test_nothing_unfolds_unless_asked(world, form, autojump_clock):
    assert not unfolds(world, await written(world, "send", LINK, format=form))
    assert unfolds(world, await written(world, "send", LINK, format=form, link_previews=True))


@pytest.mark.parametrize("world", ["telegram", "discord"], indirect=True)
@FORMATS
async def test_nothing_unfolds_in_an_edit_unless_asked(world, form, autojump_clock):
    """Slack unfolds what is posted, never what is edited: chat.update has no such field."""
    assert not unfolds(world, await written(world, "edit", LINK, format=form))
    assert unfolds(world, await written(world, "edit", LINK, format=form, link_previews=True))


@FORMATS
@OPERATIONS
async def test_control_and_bidirectional_characters_are_neutral(
    world, form, operation, autojump_clock
):
    await written(world, operation, "a\x07b \u202ec\u2028de", format=form)
    assert ["a b cde"] == world.texts()


@pytest.mark.parametrize("world", ["slack"], indirect=True)
@OPERATIONS
async def test_a_plain_text_on_slack_is_read_as_markup_by_nobody(world, operation, autojump_clock):
    """chat.update cannot switch that off for `text`: blocks show it, and it stands there as is."""
    fields = await written(world, operation, "*a* _b_ ~c~ `d` > e", format="plain")
    [block] = fields["blocks"]
    [section] = block["elements"]
    assert [{"type": "text", "text": "*a* _b_ ~c~ `d` > e"}] == section["elements"]
