"""What of an envelope is refused before acceptance, by its field."""

from __future__ import annotations

import pytest

from gateway_core import Call, Delete, Edit, Instance, KeyRef, MessageRef, PartRef, Secret, Send
from gateway_plugin_discord import hooks
from gateway_plugin_discord.settings import DiscordSettings

ROOM = "1100000000000000001"
TYPING = "POST /channels/{channel}/typing"
CALLBACK = "POST /interactions/{interaction}/{token}/callback"
BOT = Instance("support", "discord", DiscordSettings(token=Secret("t0p.s.ecret")))
HERE = {"instance_id": "support", "external_room_id": ROOM}


def ref(**fields):
    return MessageRef(envelope_id="e1", **{**HERE, **fields})


V2 = {"flags": 1 << 15, "components": [{"type": 10}]}

GOOD = [
    Edit(**HERE, target=ref(extra=V2), text="", extra=V2),
    Edit(**HERE, target=ref(extra={"flags": 4}), text="ho"),
    Send(**HERE, text="hi"),
    Send(**HERE, text="hi", thread_id="2", reply_to="3"),
    Send(**HERE, text="", extra={"embeds": [{"title": "hi"}]}),
    Send(**HERE, text="hi", extra={"components": [], "flags": 4, "allowed_mentions": {}}),
    Edit(**HERE, target=ref(parts=(PartRef(message_id="5"),)), text="ho"),
    Send(**HERE, text="", extra={"flags": 1 << 15, "components": [{"type": 10}]}),
    Edit(**HERE, target=KeyRef(**HERE, key="k"), text="ho", extra={"attachments": []}),
    Delete(**HERE, target=ref()),
    Call(**HERE, method=TYPING),
    Call(**HERE, method=CALLBACK, arguments={"interaction": 7, "token": "t", "type": 5}),
]


@pytest.mark.parametrize("envelope", GOOD)
def test_good_envelopes_pass(envelope):
    assert () == hooks.validate(instance=BOT, envelope=envelope)


BAD = [
    (Send(**{**HERE, "external_room_id": "#general"}, text="hi"), ["external_room_id"]),
    (Send(**{**HERE, "external_room_id": "18446744073709551616"}, text="hi"), ["external_room_id"]),
    (Send(**{**HERE, "external_room_id": "٣"}, text="hi"), ["external_room_id"]),
    (Send(**HERE, text="hi", thread_id="0", reply_to="x"), ["thread_id", "reply_to"]),
    (Send(**HERE, text=" \n"), ["text"]),
    (Send(**HERE, text="hi", extra={"nonce": "1", "embed": {}}), ["extra.embed", "extra.nonce"]),
    (Send(**HERE, text="hi", extra={"attachments": []}), ["extra.attachments"]),
    (Send(**HERE, text="hi", extra={"flags": "4"}), ["extra.flags"]),
    (Send(**HERE, text="hi", extra={"flags": 1 << 15, "embeds": []}), ["text", "extra.embeds"]),
    (Edit(**HERE, target=ref(), text=""), ["text"]),
    (Edit(**HERE, target=ref(extra=V2), text="ho"), ["text"]),
    (Edit(**HERE, target=ref(extra=V2), text="ho", extra=V2), ["text"]),
    (Edit(**HERE, target=ref(extra=V2), text="ho", extra={}), ["text"]),
    (Edit(**HERE, target=ref(), text="hi", extra={"tts": True}), ["extra.tts"]),
    (
        Delete(**HERE, target=ref(thread_id="t", parts=(PartRef(message_id="m"),))),
        ["target.thread_id", "target.parts[0].message_id"],
    ),
    (Call(**HERE, method="sendMessage"), ["method"]),
    (Call(**HERE, method="GET /users/../@me"), ["method"]),
    (Call(**HERE, method="GET https://evil.example/"), ["method"]),
    (Call(**HERE, method=TYPING, arguments={"channel": "5"}), ["arguments.channel"]),
    (
        Call(**HERE, method=CALLBACK, arguments={"interaction": True, "token": ".."}),
        ["arguments.interaction", "arguments.token"],
    ),
]


@pytest.mark.parametrize(("envelope", "places"), BAD)
def test_bad_envelopes_name_each_field(envelope, places):
    assert places == [problem.place for problem in hooks.validate(instance=BOT, envelope=envelope)]
