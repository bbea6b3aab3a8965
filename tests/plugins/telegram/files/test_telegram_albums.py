"""Which files go together, where their text stands, and what becomes of buttons."""

from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core import Button, File, Instance, Invalid, PartRef, Secret, Send
from gateway_plugin_telegram import TelegramSettings, hooks

KEYBOARD = {"reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}}
BOT = Instance("support", "telegram", TelegramSettings(token=Secret("1:a")))
TYPES = {
    "photo": "image/png",
    "video": "video/mp4",
    "animation": "image/gif",
    "audio": "audio/mpeg",
    "voice": "audio/ogg",
    "document": "application/pdf",
}
MIXED = {"photo": "seen", "video": "seen", "audio": "audio", "document": "document"}


@pytest.mark.parametrize(
    ("kinds", "methods"),
    [
        (["photo", "video"], ["sendMediaGroup"]),
        (["photo"] * 10, ["sendMediaGroup"]),
        (["photo"] * 11, ["sendMediaGroup", "sendPhoto"]),
        (["photo"] * 21, ["sendMediaGroup", "sendMediaGroup", "sendPhoto"]),
        (["audio", "audio"], ["sendMediaGroup"]),
        (["document", "document"], ["sendMediaGroup"]),
        (["photo", "document"], ["sendPhoto", "sendDocument"]),
        (["photo", "audio"], ["sendPhoto", "sendAudio"]),
        (["animation", "animation"], ["sendAnimation", "sendAnimation"]),
        (["voice", "voice"], ["sendVoice", "sendVoice"]),
        (
            ["photo", "video", "animation", "photo"],
            ["sendMediaGroup", "sendAnimation", "sendPhoto"],
        ),
    ],
    ids=lambda value: f"{len(value)} {value[0]}",
)
async def test_what_telegram_takes_in_one_album_goes_in_one(bot, kinds, methods):
    receipt = await bot.send("", *kinds)
    assert methods == bot.asked
    assert [(kind, "") for kind in kinds] == bot.seen
    named = [name for part in receipt.ref.parts for name in (part.message_id, *part.more)]
    assert sorted(message.id for message in bot.messages) == sorted(named)
    assert list(range(len(kinds))) == [place for part in receipt.parts for place in part.files]
    assert all(file.id for part in receipt.ref.parts for file in part.files)


def looked(kind):
    """A file as the gateway has looked at it."""
    return File(digest="0" * 64, name="a", media_type=TYPES[kind], size=9, width=9, height=9)


@given(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=40))
def test_albums_keep_the_order_and_the_rules(kinds):
    files = tuple(looked(kind) for kind in kinds)
    send = Send(instance_id="support", external_room_id="7", text="", files=files)
    parts = hooks.chunk(BOT, send, "as_asked")
    assert list(range(len(kinds))) == [place for part in parts for place in part.files]
    for part in parts:
        together = [kinds[place] for place in part.files]
        assert [one["type"] for one in part.payload["media"]] == together
        assert len(together) <= 10
        assert len(together) == 1 or 1 == len({MIXED[kind] for kind in together})
    for one, after in pairwise(parts):
        joined = [MIXED.get(kinds[place]) for place in (one.files[-1], after.files[0])]
        assert None in joined or len(set(joined)) == 2 or len(one.files) == 10


@pytest.mark.parametrize(("kind", "captioned"), [("photo", 0), ("audio", -1), ("document", -1)])
async def test_one_caption_stands_for_the_album(bot, kind, captioned):
    """Below pictures it is the album's; documents stand below each other, and it below all."""
    receipt = await bot.send("**three**", kind, kind, kind)
    texts = ["", "", ""]
    texts[captioned] = "three"
    assert texts == [message.text for message in bot.messages]
    [ref] = receipt.ref.parts
    assert [message.id for message in bot.messages] == [ref.message_id, *ref.more]
    assert [{"type": "bold", "offset": 0, "length": 5}] == list(
        bot.content(bot.messages[captioned]).entities
    )


async def test_buttons_go_on_the_text_and_never_on_an_album(bot):
    await bot.send("sure?", "photo", "photo", extra=KEYBOARD)
    assert [("photo", ""), ("photo", ""), ("text", "sure?")] == bot.seen
    shown = [bot.content(message).keyboard for message in bot.messages]
    assert [None, None, KEYBOARD["reply_markup"]] == shown


async def test_buttons_go_with_the_caption_of_one_file(bot):
    await bot.send("sure?", "photo", "photo", "voice", extra=KEYBOARD)
    assert [("photo", ""), ("photo", ""), ("voice", "sure?")] == bot.seen
    assert KEYBOARD["reply_markup"] == bot.content(bot.messages[-1]).keyboard


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"buttons": [Button("Yes", "y")]}, "buttons"),
        ({"extra": KEYBOARD}, "buttons"),
        ({"extra": {"reply_markup": {"keyboard": [["Yes"]]}}}, "extra.reply_markup"),
        ({"extra": {"suggested_post_parameters": {}}}, "extra.suggested_post_parameters"),
    ],
)
async def test_buttons_without_a_message_that_takes_them_are_refused(bot, given, place):
    with pytest.raises(Invalid) as raised:
        await bot.send("", "photo", "photo", **given)
    [problem] = raised.value.problems
    assert place == problem.place
    assert ("`extra.reply_markup`" in problem.text) == (place == "buttons")
    assert [] == bot.asked


async def test_only_what_is_not_known_of_an_album_is_uploaded(bot, make):
    first, second = make("photo"), make("video")
    await bot.send("", first)
    await bot.send("", first, second)
    await bot.send("", first, second)
    assert ["multipart/form-data", "multipart/form-data", "application/json"] == bot.front.kinds
    assert [kind for kind, _ in bot.seen] == ["photo", "photo", "video", "photo", "video"]


async def test_an_album_of_which_an_id_is_refused_is_uploaded(bot, make):
    await bot.send("", "photo")
    bot.emulator._world.media.clear()
    receipt = await bot.send("", "photo", "video")
    assert (True, 2) == (receipt.delivered, receipt.attempts)
    assert [kind for kind, _ in bot.seen] == ["photo", "photo", "video"]


async def test_an_album_is_deleted_whole(bot):
    receipt = await bot.send("x" * 1025, "photo", "video", "document", "document")
    assert 5 == len(bot.messages)
    assert (await bot.gateway.delete(receipt.ref)).delivered
    assert [] == bot.messages


@pytest.mark.parametrize("gone", [(0,), (1,), (2,), (0, 2)])
async def test_what_is_left_of_an_album_is_deleted(bot, gone):
    receipt = await bot.send("look", "photo", "photo", "photo")
    [album] = receipt.ref.parts
    names = (album.message_id, *album.more)
    one = [PartRef(message_id=names[place]) for place in gone]
    await bot.gateway.delete(attrs.evolve(receipt.ref, envelope_id="", parts=tuple(one)))
    assert (await bot.gateway.delete(receipt.ref)).delivered
    assert [] == bot.messages
