"""Unmodified python-telegram-bot and aiogram send files to the emulated Telegram on loopback."""

from __future__ import annotations

import asyncio  # noqa: TID251 - the loop of a foreign client, in a thread of its own
from contextlib import asynccontextmanager
from importlib import import_module

import pictures
import pytest
import telegram
import trio
from telegram.error import BadRequest, NetworkError

from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits

TOKEN = "123456789:AAbbCCddEEffGGhh-iiJJkkLLmm_nnOOpp"
ROOM = "-1001234567890"
PNG = pictures.png(30, 20)
LIMITS = TelegramLimits(
    chat_seconds=0.0, group_count=1_000_000, bot_count=1_000_000, upload_bytes=100_000
)


@asynccontextmanager
async def served():
    """An emulator and its address on a free port of loopback."""
    emulator = TelegramEmulator(tokens=[TOKEN], limits=LIMITS)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            yield emulator, await nursery.start(serve, emulator.app)
            nursery.cancel_scope.cancel()


async def on_asyncio(main):
    return await trio.to_thread.run_sync(lambda: asyncio.run(asyncio.wait_for(main(), 60)))


def seen(emulator):
    conversation = emulator.rooms.conversation(ROOM)
    return [(message.text, [file.name for file in message.files]) for message in conversation]


async def test_python_telegram_bot_sends_edits_and_downloads_files():
    async with served() as (emulator, base_url):

        async def main():
            urls = {"base_url": f"{base_url}/bot", "base_file_url": f"{base_url}/file/bot"}
            async with telegram.Bot(TOKEN, **urls) as bot:
                sent = await bot.send_photo(
                    ROOM, PNG, "<b>look</b>", parse_mode="HTML", filename="a.png"
                )
                assert ("look", 30, 20) == (sent.caption, sent.photo[0].width, sent.photo[0].height)
                file = await sent.photo[-1].get_file()
                assert PNG == bytes(await file.download_as_bytearray())
                again = await bot.send_photo(ROOM, sent.photo[-1].file_id)
                assert sent.photo == again.photo
                assert "edited" == (await sent.edit_caption("edited")).caption
                media = telegram.InputMediaVideo(pictures.MP4, "a clip", filename="b.mp4")
                assert "b.mp4" == (await sent.edit_media(media)).video.file_name
                for send, data, kind in (
                    (bot.send_video, pictures.MP4, "video"),
                    (bot.send_animation, pictures.gif(), "animation"),
                    (bot.send_audio, pictures.MP3, "audio"),
                    (bot.send_voice, pictures.OGG, "voice"),
                    (bot.send_document, pictures.PDF, "document"),
                ):
                    assert await again.delete()
                    again = await send(ROOM, data)
                    assert len(data) == getattr(again, kind).file_size

        await on_asyncio(main)
        (edited, [replaced]), (_, [_]) = seen(emulator)
    assert ("a clip", "b.mp4") == (edited, replaced)


async def test_python_telegram_bot_sends_albums_and_understands_refusals():
    async with served() as (emulator, base_url):

        async def main():
            async with telegram.Bot(TOKEN, base_url=f"{base_url}/bot") as bot:
                photo, video = telegram.InputMediaPhoto(PNG), telegram.InputMediaVideo(pictures.MP4)
                album = await bot.send_media_group(ROOM, [photo, video], caption="both")
                assert ["both", None] == [message.caption for message in album]
                assert await bot.delete_messages(ROOM, [one.message_id for one in album])
                document = telegram.InputMediaDocument(pictures.PDF)
                for words, ask in (
                    ("can't be mixed", bot.send_media_group(ROOM, [photo, document])),
                    ("Image_process_failed", bot.send_photo(ROOM, b"no picture")),
                    ("Wrong file identifier/http url", bot.send_photo(ROOM, "unknown")),
                    ("caption is too long", bot.send_photo(ROOM, PNG, "x" * 1025)),
                    ("Failed to get http url", bot.send_photo(ROOM, "https://example.org/a.png")),
                ):
                    with pytest.raises(BadRequest, match=words):
                        await ask
                with pytest.raises(NetworkError, match="Too Large"):
                    await bot.send_document(ROOM, b"x" * 100_001)

        emulator.break_url("https://example.org/a.png")
        await on_asyncio(main)
        assert [] == seen(emulator)


@pytest.fixture
def aiogram():
    """Imported late: it takes as long as all other files of tests together."""
    return import_module("aiogram")


async def test_aiogram_sends_edits_and_downloads_files(aiogram):
    types, wrong = aiogram.types, aiogram.exceptions
    server, http = aiogram.client.telegram, aiogram.client.session.aiohttp

    def named(content, name):
        return types.BufferedInputFile(content, name)

    async with served() as (emulator, base_url):

        async def main():
            session = http.AiohttpSession(api=server.TelegramAPIServer.from_base(base_url))
            async with aiogram.Bot(TOKEN, session=session) as bot:
                sent = await bot.send_photo(
                    ROOM, named(PNG, "a.png"), caption="<b>look</b>", parse_mode="HTML"
                )
                assert ("look", "<b>look</b>", 30) == (
                    sent.caption,
                    sent.html_text,
                    sent.photo[0].width,
                )
                assert PNG == (await bot.download(sent.photo[-1])).read()
                edited = await sent.edit_caption(caption="edited")
                assert ("edited", sent.photo) == (edited.caption, edited.photo)
                media = types.InputMediaDocument(media=named(pictures.PDF, "b.pdf"))
                assert "b.pdf" == (await sent.edit_media(media)).document.file_name
                album = await bot.send_media_group(
                    ROOM,
                    [
                        types.InputMediaPhoto(media=sent.photo[-1].file_id, caption="one"),
                        types.InputMediaVideo(media=named(pictures.MP4, "c.mp4")),
                    ],
                )
                assert 1 == len({message.media_group_id for message in album})
                with pytest.raises(wrong.TelegramBadRequest, match="IMAGE_PROCESS_FAILED"):
                    await bot.send_photo(ROOM, named(b"no picture", "a.png"))
                with pytest.raises(wrong.TelegramEntityTooLarge):
                    await bot.send_document(ROOM, named(b"x" * 100_001, "large"))

        await on_asyncio(main)
        assert [("", ["b.pdf"]), ("one", ["a.png"]), ("", ["c.mp4"])] == seen(emulator)
