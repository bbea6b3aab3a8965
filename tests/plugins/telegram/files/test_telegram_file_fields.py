"""Telegram's own fields of a message with files: they reach the method that sends it, or none."""

import pytest

from gateway_core import File, Invalid

ABOVE = {"show_caption_above_media": True}


def above(bot):
    """Which of the room's messages have their captions above."""
    return [bot.content(message).above for message in bot.messages]


async def test_a_caption_stands_above_its_picture_and_stays_there(bot, make):
    receipt = await bot.send("old", "photo", extra=ABOVE)
    assert [True] == above(bot)
    edited = await bot.gateway.edit(receipt.ref, "new")
    assert ([True], "editMessageCaption") == (above(bot), bot.asked[-1])
    replaced = await bot.gateway.edit(edited.ref, "newer", files=[make("video")])
    assert ([True], "editMessageMedia") == (above(bot), bot.asked[-1])
    await bot.gateway.edit(replaced.ref, "newest", extra={})
    assert [False] == above(bot)
    await bot.gateway.edit(replaced.ref, "above", extra=ABOVE)
    assert [True] == above(bot)


async def test_a_caption_stands_above_the_pictures_of_an_album(bot):
    await bot.send("text", "photo", "video", extra=ABOVE)
    assert [("photo", "text"), ("video", "")] == bot.seen
    assert [True, True] == above(bot)


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("audio", {"performer": "Ann", "title": "Song", "duration": 9}),
        ("video", {"supports_streaming": True, "width": 8, "height": 6}),
        ("voice", {"duration": 3}),
        ("document", {"disable_content_type_detection": True}),
    ],
)
async def test_each_kind_of_file_has_fields_of_its_own(bot, kind, extra):
    await bot.send("text", kind, extra=extra)
    assert [(kind, "text")] == bot.seen


@pytest.mark.parametrize(
    ("text", "kinds", "extra", "method"),
    [
        ("text", ["document"], ABOVE, "sendDocument"),
        ("text", ["document", "document"], ABOVE, "sendMediaGroup"),
        ("text", ["audio", "audio"], {"title": "Song"}, "sendMediaGroup"),
        ("", ["audio", "audio"], {"title": "Song"}, "sendMediaGroup"),
        ("x" * 1_025, ["photo"], ABOVE, "sendMessage"),
        ("text", ["photo"], {"performer": "Ada"}, "sendPhoto"),
        ("text", [], {"has_spoiler": True}, "sendMessage"),
        ("text", [], ABOVE, "sendMessage"),
    ],
)
async def test_what_the_method_does_not_take_is_refused(bot, text, kinds, extra, method):
    with pytest.raises(Invalid) as raised:
        await bot.send(text, *kinds, extra=extra)
    [problem] = raised.value.problems
    [name] = extra
    assert (f"extra.{name}", f"{method} has no such parameter") == (problem.place, problem.text)


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("photo", "has_spoiler", r"set `File\(spoiler=True\)` instead"),
        ("audio", "thumbnail", "a thumbnail is not supported"),
    ],
)
async def test_a_field_of_files_that_the_gateway_has_otherwise_or_lacks_says_so(
    bot, kind, name, words
):
    with pytest.raises(Invalid, match=f"extra.{name}: {words}"):
        await bot.send("text", kind, extra={name: True})


async def test_the_fields_of_a_new_file_are_those_of_its_kind(bot, make):
    """A song's title is not carried to another song, nor a picture's caption above a document."""
    receipt = await bot.send("old", "photo", extra=ABOVE)
    await bot.gateway.edit(receipt.ref, "new", files=[make("document")])
    assert [("document", "new")] == bot.seen
    with pytest.raises(Invalid, match="editMessageCaption has no such parameter"):
        await bot.gateway.edit(receipt.ref, "new", extra={"title": "Song"})


async def test_a_path_is_looked_at_before_its_fields_are_judged(bot, make, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(make("photo").source)
    await bot.send("text", File(path), extra=ABOVE)
    assert [True] == above(bot)
