"""Every kind of message that the platforms' own descriptions know goes out and is taken back.

The names are those of core.telegram.org/bots/api (each `send…` that answers with a message), of
discord.com/developers/docs (the fields of a new message, and its components), and of docs.slack.dev
(what chat.postMessage shows, and the types of blocks). A kind that no field of an envelope has goes
through `extra`, and what that cannot say by a call.
"""

from __future__ import annotations

import pytest
from pictures import png

from gateway_core import Call, DeliveryError, File, Poll

PICTURE = File(png(), name="a.png")
V2 = 1 << 15
ID = "AAMCBAADGQEAAiJ"
"""A file's id, such as Telegram gives."""


def plain(words):
    return {"type": "plain_text", "text": words}


def components(*parts):
    return {"extra": {"components": list(parts), "flags": V2}}


def block(kind, **fields):
    return {"extra": {"blocks": [{"type": kind, **fields}]}}


def call(method, **arguments):
    return Call(instance_id="bot", external_room_id="", method=method, arguments=arguments)


def extra(**fields):
    return {"extra": fields}


RICH = [{"type": "rich_text_section", "elements": [{"type": "text", "text": "hello"}]}]
SAID = {"type": 10, "content": "hello"}
LINK = {"type": 2, "style": 5, "label": "Docs", "url": "https://example.com"}
PICTURES = [{"media": {"url": "https://example.com/a.png"}}]
PLACE = {"latitude": 52.5, "longitude": 13.4}
CARD = {"type": "card", "title": plain("hello")}

SENT = {
    "telegram": {
        "sendMessage": {"text": "hello"},
        "sendPhoto": {"files": [PICTURE]},
        "sendVideo": {"files": [File(b"v", name="a.mp4")]},
        "sendAnimation": {"files": [File(b"g", name="a.gif")]},
        "sendAudio": {"files": [File(b"a", name="a.mp3")]},
        "sendVoice": {"files": [File(b"o", name="a.ogg")]},
        "sendDocument": {"files": [File(b"d", name="a.csv")]},
        "sendMediaGroup": {"files": [PICTURE, PICTURE]},
        "sendPoll": {"poll": Poll("Lunch?", ["Pizza", "Sushi"])},
        "sendLocation": extra(location=PLACE),
        "sendVenue": extra(venue={**PLACE, "title": "Here", "address": "There 1"}),
        "sendContact": extra(contact={"phone_number": "+49", "first_name": "Ada"}),
        "sendDice": extra(dice={"emoji": "🎯"}),
        "sendSticker": extra(sticker=ID),
        "sendVideoNote": extra(video_note=ID),
        "sendLivePhoto": extra(live_photo={"live_photo": ID, "photo": ID}),
        "sendPaidMedia": extra(
            paid_media={"star_count": 5, "media": [{"type": "photo", "media": ID}]}
        ),
        "sendGame": extra(game="chess"),
        "sendInvoice": extra(
            invoice={
                "title": "Tea",
                "description": "A cup",
                "payload": "1",
                "currency": "XTR",
                "prices": [{"label": "Tea", "amount": 5}],
            }
        ),
        "sendChecklist": extra(
            checklist={"title": "Shop", "tasks": [{"id": 1, "text": "Tea"}]},
            business_connection_id="b1",
        ),
        "sendRichMessage": extra(rich_message={"markdown": "# hello"}),
    },
    "discord": {
        "content": {"text": "hello"},
        "embeds": extra(embeds=[{"title": "hello"}]),
        "sticker_ids": extra(sticker_ids=["749054660769218631"]),
        "attachments": {"files": [PICTURE]},
        "poll": {"poll": Poll("Lunch?", ["Pizza", "Sushi"])},
        "shared_client_theme": extra(
            shared_client_theme={"colors": ["5865F2"], "gradient_angle": 0, "base_mix": 58}
        ),
        "components": extra(components=[{"type": 1, "components": [LINK]}]),
        "text display": components(SAID),
        "section": components({"type": 9, "components": [SAID], "accessory": LINK}),
        "container": components({"type": 17, "components": [SAID]}),
        "separator": components(SAID, {"type": 14}, SAID),
        "media gallery": components({"type": 12, "items": PICTURES}),
        "file": components({"type": 13, "file": {"url": "attachment://a.png"}})
        | {"files": [PICTURE]},
    },
    "slack": {
        "text": {"text": "hello"},
        "attachments": extra(attachments=[{"fallback": "hello", "text": "hello"}]),
        "markdown_text": call("chat.postMessage", markdown_text="**hello**"),
        "actions": block("actions", elements=[{"type": "button", "text": plain("Go")}]),
        "alert": block("alert", text=plain("hello")),
        "call": block("call", call_id="R1"),
        "card": {"extra": {"blocks": [CARD]}},
        "carousel": block("carousel", elements=[CARD]),
        "context": block("context", elements=[plain("hello")]),
        "context_actions": block("context_actions", elements=[{"type": "feedback_buttons"}]),
        "divider": block("divider"),
        "header": block("header", text=plain("hello")),
        "image": block("image", image_url="https://example.com/a.png", alt_text="a cat"),
        "input": block("input", label=plain("Name"), element={"type": "plain_text_input"}),
        "markdown": block("markdown", text="**hello**"),
        "plan": block("plan", title="A plan"),
        "rich_text": block("rich_text", elements=RICH),
        "section": block("section", text=plain("hello")),
        "table": block("table", rows=[[{"type": "raw_text", "text": "hello"}]]),
        "task_card": block("task_card", task_id="t", title="A task"),
        "video": block(
            "video",
            title=plain("hello"),
            alt_text="a film",
            video_url="https://example.com/a",
            thumbnail_url="https://example.com/a.png",
        ),
    },
}
"""How each kind is sent: the fields of `gateway.send`, or a call."""

NO_MESSAGE = "says how a message is made, and is none"
NOT_SENT = {
    "telegram": {},
    "discord": dict.fromkeys(
        ("allowed_mentions", "enforce_nonce", "flags", "message_reference", "nonce", "tts"),
        NO_MESSAGE,
    ),
    "slack": {
        "file": "Slack alone puts it into messages, of which it shows remote files",
        **dict.fromkeys(
            (
                "as_user", "blocks", "channel", "current_draft_last_updated_ts", "icon_emoji",
                "icon_url", "link_names", "metadata", "mrkdwn", "parse", "reply_broadcast",
                "thread_ts", "token", "unfurl_links", "unfurl_media", "username",
            ),
            NO_MESSAGE,
        ),
    },
}  # fmt: skip
"""What the descriptions name beside these, and why it is not sent."""

KNOWN = {
    "telegram": """
        sendAnimation sendAudio sendChecklist sendContact sendDice sendDocument sendGame sendInvoice
        sendLivePhoto sendLocation sendMediaGroup sendMessage sendPaidMedia sendPhoto sendPoll
        sendRichMessage sendSticker sendVenue sendVideo sendVideoNote sendVoice
    """,
    "discord": """
        allowed_mentions attachments components content embeds enforce_nonce flags message_reference
        nonce poll shared_client_theme sticker_ids tts
    """,
    "slack": """
        as_user attachments blocks channel current_draft_last_updated_ts icon_emoji icon_url
        link_names markdown_text metadata mrkdwn parse reply_broadcast text thread_ts token
        unfurl_links unfurl_media username

        actions alert call card carousel context context_actions divider file header image input
        markdown plan rich_text section table task_card video
    """,
}
"""What the descriptions name."""

EDITED = {
    "discord": [
        ("embeds", "embeds", [{"title": "bye"}]),
        ("text display", "components", [{"type": 10, "content": "bye"}]),
    ],
    "slack": [
        ("section", "blocks", [{"type": "section", "text": plain("bye")}]),
        ("attachments", "attachments", [{"fallback": "bye", "text": "bye"}]),
    ],
}


async def sent(gateway, world, how):
    """A receipt of that kind's message."""
    if isinstance(how, Call):
        return await gateway.call("bot", world.room, how.method, how.arguments)
    return await gateway.send("bot", world.room, **{"text": "", **how})


async def outcomes(gateway, world):
    """Of each kind what stood there and what stayed once it was deleted, or what went wrong."""
    found = {}
    for name, how in SENT[world.name].items():
        try:
            receipt = await sent(gateway, world, how)
            stood = [message.id for message in world.messages()]
            named = [part.message_id.partition(":")[0] for part in receipt.ref.parts]
            named += [more for part in receipt.ref.parts for more in part.more]
            await gateway.delete(receipt.ref)
            found[name] = (sorted(stood) == sorted(named), [*world.messages()])
        except DeliveryError as error:
            found[name] = str(error)
    return found


async def test_each_is_sent_with_a_ref_and_deleted_by_it(world, autojump_clock):
    async with world.opened() as gateway:
        found = await outcomes(gateway, world)
    assert {name: (True, []) for name in SENT[world.name]} == found


@pytest.mark.parametrize("world", ["telegram"], indirect=True)
async def test_telegram_s_go_by_the_methods_of_their_names(world, autojump_clock):
    async with world.opened() as gateway:
        for how in SENT["telegram"].values():
            await sent(gateway, world, how)
    posted = [method.split("/")[-1] for method, _ in world.front.posted]
    assert list(SENT["telegram"]) == list(dict.fromkeys(posted))  # an album may be sent twice


@pytest.mark.parametrize("channel", SENT)
def test_none_is_forgotten(channel):
    parts = {"text display", "section", "container", "separator", "media gallery", "file"}
    told = SENT[channel].keys() - (parts if channel == "discord" else set())
    assert {*KNOWN[channel].split()} == told | NOT_SENT[channel].keys()
    assert not told & NOT_SENT[channel].keys()


@pytest.mark.parametrize("world", EDITED, indirect=True)
async def test_one_without_a_text_is_edited_without_a_text(world, autojump_clock):
    async with world.opened() as gateway:
        for name, field, value in EDITED[world.name]:
            receipt = await sent(gateway, world, SENT[world.name][name])
            fields = {**SENT[world.name][name]["extra"], field: value}
            await gateway.edit(receipt.ref, "", extra=fields)
            [message] = world.messages()
            assert value == message.fields[field]
            await gateway.delete(receipt.ref)


@pytest.mark.parametrize("world", EDITED, indirect=True)
async def test_an_edit_without_a_text_takes_the_text_off(world, autojump_clock):
    name, *_ = EDITED[world.name][0]
    fields = SENT[world.name][name]["extra"]
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, "goodbye", extra=fields)
        assert "goodbye" in world.messages()[0].text
        await gateway.edit(sent.ref, "", extra=fields)
    assert "goodbye" not in world.messages()[0].text


@pytest.mark.parametrize("world", ["discord"], indirect=True)
async def test_discord_knows_each_again_by_its_nonce(world, autojump_clock):
    async with world.opened() as gateway:
        for how in SENT["discord"].values():
            await gateway.send("bot", world.room, **{"text": "", **how})
    posted = [message.fields for message in world.messages()]
    assert len(SENT["discord"]) == len({fields["nonce"] for fields in posted})
    assert all(fields["enforce_nonce"] for fields in posted)
