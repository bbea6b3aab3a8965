"""What becomes of a message with files that Telegram refuses, or whose answer is lost."""

import attrs
import pytest

from gateway_contrib.emulators.faults import Fault, FaultPlan, Said
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import Disposition, File, Reason


def no(status, words):
    body = {"ok": False, "error_code": status, "description": words}
    return Said(status=status, body=body)


UNFORMATTED = no(400, "Bad Request: can't parse entities: wrong")
TOO_LONG = no(400, "Bad Request: message caption is too long")


@pytest.fixture
def answering(emulator):
    """Lets the emulator answer so to its first requests."""

    def script(*answers):
        emulator.faults = FaultPlan(script=dict(enumerate(answers)))

    return script


async def test_a_caption_whose_formatting_is_refused_goes_plain_under_its_file(bot, answering):
    answering(UNFORMATTED)
    receipt = await bot.send("**bold**", "photo")
    assert [("photo", "**bold**")] == bot.seen
    assert (("formatting",), (0,)) == (receipt.parts[0].degraded, receipt.parts[0].files)
    assert receipt.ref.parts[0].files[0].id


async def test_an_album_whose_formatting_is_refused_goes_plain(bot, answering):
    answering(UNFORMATTED)
    receipt = await bot.send("**bold**", "photo", "video")
    assert [("photo", "**bold**"), ("video", "")] == bot.seen
    assert (0, 1) == receipt.parts[0].files


async def test_a_caption_that_is_too_long_after_all_goes_as_a_text(bot, answering):
    """Telegram counts code points, and that this is so everywhere is documented nowhere."""
    answering(TOO_LONG)
    receipt = await bot.send("😀" * 1000, "photo")
    assert [("photo", ""), ("text", "😀" * 1000)] == bot.seen
    assert 2 == len(receipt.ref.parts)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (no(413, "Request Entity Too Large"), Reason.TOO_LONG),
        (no(400, "Bad Request: file is too big"), Reason.TOO_LONG),
        (Said(status=413, body=b"<html>413 Request Entity Too Large</html>"), Reason.TOO_LONG),
        (no(400, "Bad Request: IMAGE_PROCESS_FAILED"), Reason.BAD_REQUEST),
        (no(400, "Bad Request: not enough rights to send photos to the chat"), Reason.FORBIDDEN),
    ],
)
async def test_a_refused_file_ends_its_message_and_no_other(bot, answering, answer, reason):
    answering(answer)
    receipt = await bot.send("x", "photo", raises=False)
    assert (Disposition.REJECTED, reason) == (receipt.disposition, receipt.verdict.reason)
    await bot.send("next", "photo")
    assert [("photo", "next")] == bot.seen


@pytest.mark.parametrize("kinds", [["photo"], ["photo", "video"]])
async def test_an_upload_whose_answer_is_lost_is_told_as_a_possible_copy(bot, answering, kinds):
    answering(Fault.RESET_AFTER)
    receipt = await bot.send("x", *kinds)
    assert (True, True) == (receipt.delivered, receipt.possible_duplicate)
    assert 2 * len(kinds) == len(bot.messages)


async def test_an_upload_that_was_cut_before_it_arrived_is_made_again(bot, answering):
    answering(Fault.RESET_BEFORE)
    receipt = await bot.send("x", "photo", "video")
    assert receipt.delivered
    assert [("photo", "x"), ("video", "")] == bot.seen


@pytest.mark.parametrize(("cost", "refused"), [("items", False), ("one", True)])
async def test_albums_of_which_each_file_counts_come_late_and_whole(
    open_to, instance, make, cost, refused, autojump_clock
):
    """The emulator counts each file; so do our limits, if they are to, else its refusals wait."""
    instance = attrs.evolve(instance, settings=attrs.evolve(instance.settings, album_cost=cost))
    emulator = TelegramEmulator()
    files = [attrs.evolve(make("photo"), name=f"{number}.png") for number in range(8)]
    async with open_to(instance.settings.base_url, emulator.app, instance) as gateway:
        for number in range(3):
            assert (await gateway.send("support", "-7", str(number), files=files)).delivered
    texts = [message.text for message in emulator.rooms.conversation("-7")]
    assert ["0", *[""] * 7, "1", *[""] * 7, "2", *[""] * 7] == texts
    assert refused == bool(emulator.counters["rate_limited"])


@pytest.mark.parametrize(
    "answer",
    [
        no(413, "Request Entity Too Large"),
        Said(status=413, body=b"<html>413 Request Entity Too Large</html>"),
        no(400, "Bad Request: wrong file identifier/HTTP URL specified"),
        no(400, "Bad Request: failed to get HTTP URL content"),
        no(400, "Bad Request: wrong type of the web page content"),
        no(400, "Bad Request: can't use file of type Document as Photo"),
        no(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"),
        no(400, "Bad Request: CHAT_SEND_PHOTOS_FORBIDDEN"),
        no(400, "Bad Request: not enough rights to send photos to the chat"),
        no(403, "Forbidden: VOICE_MESSAGES_FORBIDDEN"),
    ],
)
async def test_the_text_of_a_refused_file_goes_alone_if_so_wanted(bot, answering, answer):
    answering(answer)
    receipt = await bot.send("**x**", "photo", on_file_error="send_text")
    assert [("text", "x")] == bot.seen
    assert (f"files refused: {receipt.verdict.raw}",) == receipt.degradations
    assert str(answer.status) in receipt.verdict.raw


async def test_the_text_of_an_album_goes_alone_if_one_of_its_files_is_refused(bot, emulator):
    """Telegram then quotes what is wrong with that file."""
    emulator.break_url("https://example.com/broken.png")
    files = [File("https://example.com/a.png"), File("https://example.com/broken.png")]
    receipt = await bot.send("x", *files, on_file_error="send_text")
    assert [("text", "x")] == bot.seen
    assert 'failed to send message #2 with the error message "' in receipt.verdict.raw


@pytest.mark.parametrize(
    "words", ["FILE_REFERENCE_EXPIRED", "Wrong file identifier/HTTP URL specified"]
)
async def test_an_album_whose_known_id_is_refused_is_uploaded(bot, answering, words):
    await bot.send("", "photo")
    answering(no(400, f'Bad Request: failed to send message #1 with the error message "{words}"'))
    receipt = await bot.send("", "photo", "video")
    assert (True, 2) == (receipt.delivered, receipt.attempts)
    assert [kind for kind, _ in bot.seen] == ["photo", "photo", "video"]


@pytest.mark.parametrize(
    "answer",
    [
        no(400, "Bad Request: chat not found"),
        no(403, "Forbidden: bot was blocked by the user"),
        no(400, "Bad Request: not enough rights to send text messages to the chat"),
    ],
)
async def test_a_refused_room_ends_the_text_of_a_file_as_well(bot, answering, answer):
    answering(answer)
    receipt = await bot.send("x", "photo", on_file_error="send_text", raises=False)
    assert (Disposition.REJECTED, 1) == (receipt.disposition, receipt.attempts)


async def test_of_two_albums_the_one_that_is_taken_keeps_the_caption(bot, answering):
    answering(no(400, "Bad Request: IMAGE_PROCESS_FAILED"))
    receipt = await bot.send("x", "photo", "photo", "document", on_file_error="send_text")
    assert [("document", "x")] == bot.seen
    assert ["failed", "delivered"] == [part.outcome for part in receipt.parts]
    assert [(0, 1), (2,)] == [part.files for part in receipt.parts]


async def test_the_text_after_a_refused_album_goes_with_its_buttons(bot, answering):
    keyboard = {"inline_keyboard": [[{"text": "OK", "callback_data": "ok"}]]}
    answering(no(400, "Bad Request: IMAGE_PROCESS_FAILED"))
    extra = {"reply_markup": keyboard}
    await bot.send("x", "photo", "photo", on_file_error="send_text", extra=extra)
    assert [("text", "x")] == bot.seen
    assert keyboard == bot.messages[0].fields["reply_markup"]
