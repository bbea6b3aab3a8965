"""What an edit can change of a message with files, and what it cannot."""

import attrs
import pictures
import pytest

from gateway_core import Button, Call, DeliveryError, File, Invalid, KeyRef, MessageRef, Reason

KEYBOARD = {"reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}}


@pytest.mark.parametrize("kind", ["photo", "video", "animation", "audio", "voice", "document"])
async def test_a_caption_is_edited_under_its_file(bot, kind):
    receipt = await bot.send("old", kind)
    edited = await bot.gateway.edit(receipt.ref, "**new**")
    assert "editMessageCaption" == bot.asked[-1]
    assert [(kind, "new")] == bot.seen
    [before], [after] = receipt.ref.parts, edited.ref.parts
    assert before.files == after.files
    assert (await bot.gateway.delete(edited.ref)).delivered
    assert [] == bot.messages


@pytest.mark.parametrize("kind", ["photo", "document"])
async def test_the_caption_of_an_album_is_edited(bot, kind):
    receipt = await bot.send("old", kind, kind)
    edited = await bot.gateway.edit(receipt.ref, "new")
    assert "new" in [message.text for message in bot.messages]
    assert receipt.ref.parts[0].more == edited.ref.parts[0].more
    await bot.gateway.delete(edited.ref)
    assert [] == bot.messages


async def test_a_caption_that_grows_becomes_a_text_and_back(bot):
    receipt = await bot.send("short", "photo", extra=KEYBOARD)
    grown = await bot.gateway.edit(receipt.ref, "x" * 1025)
    assert [("photo", ""), ("text", "x" * 1025)] == bot.seen
    assert [None, KEYBOARD["reply_markup"]] == [bot.content(m).keyboard for m in bot.messages]
    await bot.gateway.edit(grown.ref, "short again")
    assert [("photo", "short again")] == bot.seen
    assert KEYBOARD["reply_markup"] == bot.content(bot.messages[0]).keyboard


async def test_a_text_beside_an_album_keeps_its_buttons(bot):
    receipt = await bot.send("old", "photo", "photo", extra=KEYBOARD)
    await bot.gateway.edit(receipt.ref, "new")
    assert [("photo", ""), ("photo", ""), ("text", "new")] == bot.seen
    assert KEYBOARD["reply_markup"] == bot.content(bot.messages[-1]).keyboard
    assert ["sendMediaGroup", "sendMessage", "editMessageText"] == bot.asked


async def test_an_album_gets_no_buttons_by_an_edit_of_its_caption(bot):
    receipt = await bot.send("old", "photo", "photo")
    await bot.gateway.edit(receipt.ref, "new", extra=KEYBOARD)
    assert [("photo", ""), ("photo", ""), ("text", "new")] == bot.seen
    assert KEYBOARD["reply_markup"] == bot.content(bot.messages[-1]).keyboard


async def test_a_caption_is_taken_off(bot):
    receipt = await bot.send("old", "photo", extra=KEYBOARD)
    files = receipt.ref.parts[0].files
    edited = await bot.gateway.edit(receipt.ref, "", files=files, extra={})
    assert "editMessageCaption" == bot.asked[-1]
    assert [("photo", "")] == bot.seen
    assert bot.content(bot.messages[0]).keyboard is None
    await bot.gateway.edit(edited.ref, "new")
    assert [("photo", "new")] == bot.seen


async def test_buttons_beside_an_album_that_a_key_names_are_not_lost(bot):
    """It is planned for the message as it is found: the album has no place for them."""
    await bot.send("old", "photo", "photo", extra=KEYBOARD, key="k")
    named = KeyRef(instance_id="support", external_room_id="7", key="k")
    await bot.gateway.edit(named, "new")
    assert [("photo", ""), ("photo", ""), ("text", "new")] == bot.seen
    assert KEYBOARD["reply_markup"] == bot.content(bot.messages[-1]).keyboard


async def test_a_caption_that_a_key_names_is_edited(bot):
    await bot.send("old", "photo", "photo", key="k")
    await bot.gateway.edit(KeyRef(instance_id="support", external_room_id="7", key="k"), "new")
    assert [("photo", "new"), ("photo", "")] == bot.seen


@pytest.mark.parametrize("kind", ["photo", "video", "animation", "audio", "document"])
async def test_a_file_is_replaced_by_another(bot, make, kind):
    receipt = await bot.send("old", "photo")
    other = make(kind) if kind != "photo" else File(pictures.png(9, 9), name="b.png")
    edited = await bot.gateway.edit(receipt.ref, "new", files=[other])
    assert ["sendPhoto", "editMessageMedia"] == bot.asked
    assert [(kind, "new")] == bot.seen
    [file] = edited.ref.parts[0].files
    assert file.id != receipt.ref.parts[0].files[0].id
    await bot.gateway.edit(edited.ref, "newer")
    assert [(kind, "newer")] == bot.seen


async def test_a_file_is_replaced_by_one_that_telegram_has(bot, make):
    await bot.send("", "document")
    receipt = await bot.send("old", "photo")
    await bot.gateway.edit(receipt.ref, "new", files=[make("document")])
    assert ("editMessageMedia", "application/json") == (bot.asked[-1], bot.front.kinds[-1])
    assert [("document", ""), ("document", "new")] == bot.seen


async def test_a_text_gets_a_file(bot, make):
    receipt = await bot.gateway.send("support", "7", "old")
    await bot.gateway.edit(receipt.ref, "new", files=[make("photo")])
    assert [("photo", "new")] == bot.seen


async def refused(bot, ref, text, files):
    """The reason for which an edit ended."""
    with pytest.raises(DeliveryError) as raised:
        await bot.gateway.edit(ref, text, files=files)
    return raised.value.receipt.verdict.reason


async def test_a_file_cannot_be_taken_off(bot):
    receipt = await bot.send("text", "photo")
    assert Reason.UNSUPPORTED is await refused(bot, receipt.ref, "text alone", ())
    assert [("photo", "text")] == bot.seen


async def test_a_further_file_comes_and_goes_with_a_message_of_its_own(bot, make):
    receipt = await bot.send("one", "photo")
    [picture] = receipt.ref.parts[0].files
    added = await bot.gateway.edit(receipt.ref, "two", files=[picture, make("document")])
    assert [("photo", ""), ("document", "two")] == bot.seen
    await bot.gateway.edit(added.ref, "three", files=[picture])
    assert [("photo", "three")] == bot.seen


async def test_a_message_cannot_become_a_voice_note_or_an_album(bot, make):
    receipt = await bot.send("text", "photo", key="k")
    named = KeyRef(instance_id="support", external_room_id="7", key="k")
    for files in ([make("voice")], [make("video"), make("video")]):
        assert Reason.UNSUPPORTED is await refused(bot, named, "", files)
        with pytest.raises(Invalid, match="an edit cannot make a message"):
            await bot.gateway.edit(receipt.ref, "", files=files)
    assert [("photo", "text")] == bot.seen


async def test_the_files_that_an_edit_names_stay(bot):
    receipt = await bot.send("text", "photo", "video")
    [part] = receipt.ref.parts
    kept = [attrs.evolve(file, digest="") for file in part.files]
    await bot.gateway.edit(receipt.ref, "new", files=kept)
    assert [("photo", "new"), ("video", "")] == bot.seen


URL = "https://example.com/a.png"


@pytest.mark.parametrize("kinds", [["photo"], ["photo", "photo"]], ids=["one", "album"])
async def test_a_picture_that_stays_is_hidden(bot, kinds):
    """Without another upload; the description that Telegram has no place for is said to be lost."""
    receipt = await bot.send("text", *kinds)
    first, *others = receipt.ref.parts[0].files
    files = [attrs.evolve(first, spoiler=True, alt="a page"), *others]
    edited = await bot.gateway.edit(receipt.ref, "text", files=files)
    assert ("delivered", ("alternative text",)) == (
        edited.parts[0].outcome,
        edited.parts[0].degraded,
    )
    assert [True, *(False for _ in others)] == [m.files[0].spoiler for m in bot.messages]
    assert [first.id] == [file.id for file in edited.ref.parts[0].files][:1]


async def test_a_picture_that_a_call_made_gets_another_caption(bot):
    """Its ref does not know of the file; neither do the refs of its edits."""
    made = await bot.gateway.call("support", "7", "sendPhoto", {"photo": URL, "caption": "old"})
    edited = await bot.gateway.edit(made.ref, "**new**", extra=KEYBOARD)
    assert [("photo", "new")] == bot.seen
    [message] = bot.messages
    assert [{"type": "bold", "offset": 0, "length": 3}] == list(bot.content(message).entities)
    assert KEYBOARD["reply_markup"] == bot.content(message).keyboard
    await bot.gateway.edit(edited.ref, "newer")
    assert [("photo", "newer")] == bot.seen
    assert ["editMessageText", "editMessageCaption"] == bot.asked[-2:]


async def test_a_picture_whose_button_was_pressed_gets_another_caption(bot):
    await bot.send("Approve?", "photo", buttons=[Button("Yes", "y")])
    event = bot.emulator.people.press("7", bot.messages[0].id, "y")
    ref = MessageRef.at("support", bot.gateway.address("support", event))
    await bot.gateway.edit(ref, "Approved", buttons=())
    assert [("photo", "Approved")] == bot.seen
    assert bot.content(bot.messages[0]).keyboard is None


@pytest.mark.parametrize(
    ("text", "files", "reason"),
    [("x" * 1_025, None, Reason.TOO_LONG), ("text alone", (), Reason.UNSUPPORTED)],
)
async def test_what_is_no_caption_does_not_become_one(bot, text, files, reason):
    await bot.send("old", "photo")
    event = bot.emulator.people.press("7", bot.messages[0].id, "y")
    ref = MessageRef.at("support", bot.gateway.address("support", event))
    assert reason is await refused(bot, ref, text, files)
    assert [("photo", "old")] == bot.seen


async def test_a_location_that_a_call_made_has_no_caption(bot):
    place = {"latitude": 52.5, "longitude": 13.4}
    made = await bot.gateway.call("support", "7", "sendLocation", place)
    assert Reason.UNSUPPORTED is await refused(bot, made.ref, "new", None)


async def test_an_edit_deletes_no_picture_of_an_album_that_a_call_made(bot):
    """It has one text for several messages, and would delete all but the first."""
    media = [{"type": "photo", "media": URL, "caption": "old"}, {"type": "photo", "media": URL}]
    call = Call(
        instance_id="support",
        external_room_id="7",
        method="sendMediaGroup",
        arguments={"media": media},
    )
    ticket = await bot.gateway.submit(call)
    assert Reason.UNSUPPORTED is await refused(bot, ticket, "new", None)
    made = await ticket.receipt()
    with pytest.raises(Invalid, match="several messages that a call made"):
        await bot.gateway.edit(made.ref, "new")
    assert [("photo", "old"), ("photo", "")] == bot.seen
    await bot.gateway.delete(made.ref)
    assert [] == bot.messages
