"""One file of each kind with its caption, as bytes, by address, and by the id of an upload."""

import pictures
import pytest

from gateway_core import DeliveryError, File, Reason

CAPTION = "**bold** and [a link](https://example.com)"
ENTITIES = [
    {"type": "bold", "offset": 0, "length": 4},
    {"type": "text_link", "url": "https://example.com", "offset": 9, "length": 6},
]
METHODS = {
    "photo": "sendPhoto",
    "video": "sendVideo",
    "animation": "sendAnimation",
    "audio": "sendAudio",
    "voice": "sendVoice",
    "document": "sendDocument",
}


@pytest.mark.parametrize(("kind", "method"), METHODS.items())
async def test_each_kind_goes_by_its_method_with_its_caption(bot, make, kind, method):
    receipt = await bot.send(CAPTION, kind)
    assert [method] == bot.asked
    assert [(kind, "bold and a link")] == bot.seen
    [message] = bot.messages
    assert ENTITIES == list(bot.content(message).entities)
    [ref] = receipt.ref.parts
    assert (message.id, (0,)) == (ref.message_id, receipt.parts[0].files)
    assert [file.id for file in ref.files] == list(bot.emulator._world.media)


async def test_bytes_arrive_as_they_are_under_their_name(bot):
    content = bytes(range(256)) * 1000
    await bot.send("", File(content, name="Übersicht 2026.bin"))
    [message] = bot.messages
    [file] = message.files
    assert ("Übersicht 2026.bin", len(content)) == (file.name, file.size)
    assert content == bot.emulator._world.files.get(file.digest)


@pytest.mark.parametrize(
    ("name", "content", "more", "kind"),
    [
        ("a.png", pictures.png(), {"as_document": True}, "document"),
        ("a.jpg", pictures.jpeg(), {}, "photo"),
        ("a.webp", pictures.webp(), {}, "photo"),
        ("a", pictures.png(), {"media_type": "image/png"}, "photo"),
        ("a.svg", pictures.SVG, {}, "document"),
        ("a.webm", b"\x1aE\xdf\xa3", {}, "document"),
        ("a.wav", b"RIFF....WAVE", {}, "document"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_a_file_is_shown_as(bot, name, content, more, kind):
    await bot.send("", File(content, name=name, **more))
    assert [(kind, "")] == bot.seen


async def test_a_silent_reply_with_buttons_and_a_spoiler_in_a_topic(bot, make, emulator):
    bot.room = "-1009"
    topic = emulator.create_topic("-1009")
    asked = await bot.gateway.send("support", "-1009", "?", thread=topic)
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    receipt = await bot.send(
        "here",
        make("photo", spoiler=True),
        thread=topic,
        reply_to=asked.ref.parts[0].message_id,
        silent=True,
        extra={"reply_markup": keyboard},
    )
    message = bot.messages[-1]
    assert topic == message.thread
    assert asked.ref.parts[0].message_id == f"-1009:{message.reply_to}"
    assert message.fields["disable_notification"]
    assert message.files[0].spoiler
    assert keyboard == bot.content(message).keyboard
    assert () == receipt.parts[0].degraded


async def test_what_telegram_cannot_say_is_told(bot, make):
    receipt = await bot.send("", make("document", alt="a page", spoiler=True))
    assert ("alternative text", "spoiler") == receipt.parts[0].degraded


async def test_a_text_of_1024_is_the_caption_and_a_longer_one_comes_after(bot):
    await bot.send("**" + "x" * 1024 + "**", "photo")
    await bot.send("x" * 1025, "photo", "animation")
    assert [
        ("photo", "x" * 1024),
        ("photo", ""),
        ("animation", ""),
        ("text", "x" * 1025),
    ] == bot.seen


async def test_the_caption_stands_under_the_last_file(bot):
    await bot.send("both", "animation", "voice")
    assert [("animation", ""), ("voice", "both")] == bot.seen


async def test_the_same_bytes_are_named_by_their_id(bot, make):
    await bot.send("first", "photo")
    await bot.send("second", "photo")
    assert ["multipart/form-data", "application/json"] == bot.front.kinds
    assert [("photo", "first"), ("photo", "second")] == bot.seen
    assert 1 == len(bot.emulator._world.media)


async def test_bytes_go_again_where_the_id_is_refused(bot, make):
    await bot.send("first", "photo")
    bot.emulator._world.media.clear()
    receipt = await bot.send("second", "photo")
    assert (True, 2) == (receipt.delivered, receipt.attempts)
    assert [("photo", "first"), ("photo", "second")] == bot.seen
    forms = ["multipart/form-data", "application/json", "multipart/form-data"]
    assert forms == bot.front.kinds
    await bot.send("third", "photo")
    assert [*forms, "application/json"] == bot.front.kinds


async def test_what_telegram_made_a_document_of_is_not_named_as_what_it_was_not(bot):
    """An id holds for one kind: such bytes go again, and no request is wasted on the id."""
    file = File(b"no MPEG-4", name="a.mp4")
    for text in ("first", "second"):
        receipt = await bot.send(text, file)
        assert 1 == receipt.attempts
    assert [("document", "first"), ("document", "second")] == bot.seen
    await bot.gateway.edit(receipt.ref, "third")
    assert [("document", "first"), ("document", "third")] == bot.seen


async def test_an_address_is_telegrams_to_fetch(bot, emulator):
    await bot.send("", File("https://example.com/a.png"))
    await bot.send("", File("https://example.com/a.pdf"))
    await bot.send("", File("https://example.com/b", media_type="video/mp4"))
    assert ["application/json"] * 3 == bot.front.kinds
    assert ["photo", "document"] == [kind for kind, _ in bot.seen][:2]


@pytest.mark.parametrize("kind", ["photo", "document"])
async def test_an_address_with_nothing_behind_it_is_refused(bot, emulator, kind):
    url = "https://example.com/a." + {"photo": "png", "document": "pdf"}[kind]
    emulator.break_url(url)
    with pytest.raises(DeliveryError) as raised:
        await bot.send("", File(url))
    verdict = raised.value.receipt.verdict
    assert Reason.BAD_REQUEST is verdict.reason
    assert "failed to get HTTP URL content" in verdict.raw
    assert 1 == len(bot.asked)


async def test_an_id_of_the_callers_own_that_is_none_ends_it(bot):
    with pytest.raises(DeliveryError) as raised:
        await bot.send("", File(id="AgAD", media_type="image/png"))
    assert "wrong file identifier" in raised.value.receipt.verdict.raw
    assert 1 == len(bot.asked)
