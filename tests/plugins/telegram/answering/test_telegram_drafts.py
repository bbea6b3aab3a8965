"""Answers that Telegram shows by drafts, on the emulated platform."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio

from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import Instance, Secret
from gateway_core.testing import MemoryOutbox
from gateway_plugin_telegram.settings import TelegramSettings

TOKEN = Secret("1234567:" + "a" * 35)


class Bot:
    def __init__(self, open_to, **settings):
        self.emulator = TelegramEmulator()
        self._open_to = open_to
        self._settings = TelegramSettings(token=TOKEN, **settings)

    @asynccontextmanager
    async def opened(self, outbox=None):
        instance = Instance("bot", "telegram", self._settings)
        host = "https://api.telegram.org"
        async with self._open_to(host, self.emulator.app, instance, outbox) as bot:
            yield bot

    def texts(self, room="7"):
        return [message.text for message in self.emulator.rooms.conversation(room)]

    def drafts(self, room="7"):
        return [sight.text for sight in self.emulator.screen.now(room) if sight.what == "draft"]

    def counts(self):
        counters = self.emulator.counters
        return tuple(counters[name] for name in ("drafts", "stored", "edited", "rate_limited"))


@pytest.fixture
def bot(open_to):
    return lambda **settings: Bot(open_to, **settings)


async def say(out, *words, pause=2.0):
    for word in words:
        out.write(word)
        await trio.sleep(pause)


async def test_a_private_chat_sees_drafts_and_then_the_message(bot, autojump_clock):
    bot = bot()
    async with bot.opened() as gateway:
        async with gateway.stream(("bot", "7")) as out:
            await say(out, "The **answer", "** is", " 42")
            assert bot.texts() == []
            assert bot.drafts() == ["The answer is 42"]
        assert bot.texts() == ["The answer is 42"]
        assert bot.drafts() == []
    assert bot.counts() == (3, 1, 0, 0)


async def test_a_draft_stays_while_the_model_is_silent(bot, autojump_clock):
    bot = bot()
    async with bot.opened() as gateway, gateway.stream(("bot", "7")) as out:
        out.write("thinking")
        await trio.sleep(1)
        for _ in range(20):
            assert bot.drafts() == ["thinking"]
            await trio.sleep(5)
    assert bot.counts() == (6, 1, 0, 0)


async def test_drafts_come_once_a_second(bot, autojump_clock):
    bot = bot()
    async with bot.opened() as gateway, gateway.stream(("bot", "7")) as out:
        await say(out, *["word "] * 100, pause=0.1)
    drafts, stored, edited, limited = bot.counts()
    assert 8 <= drafts <= 10
    assert (stored, edited, limited) == (1, 0, 0)


@pytest.mark.parametrize(("room", "settings"), [("-7", {}), ("7", {"streaming": "edits"})])
async def test_elsewhere_it_goes_by_edits(bot, autojump_clock, room, settings):
    bot = bot(**settings)
    async with bot.opened() as gateway, gateway.stream(("bot", room)) as out:
        await say(out, "The answer", " is 42", pause=5.0)
    assert bot.texts(room) == ["The answer is 42"]
    assert bot.counts() == (0, 1, 1, 0)


async def test_an_early_draft_closes_drafts_and_edits_and_the_final_comes(bot, autojump_clock):
    bot = bot(draft_seconds=0.2)
    async with bot.opened() as gateway, gateway.stream(("bot", "7")) as out:
        await say(out, *["word "] * 30, pause=0.1)
        ended = trio.current_time()
        await out.finish()
        assert trio.current_time() - ended < 0.5
    assert bot.texts() == [("word " * 30).strip()]
    assert bot.counts()[3] > 0


async def test_a_long_answer_is_sent_part_by_part(bot, autojump_clock):
    bot = bot(text_limit=100)
    text = "".join(f"{n:04} " for n in range(100))
    async with bot.opened() as gateway, gateway.stream(("bot", "7")) as out:
        await say(out, *[text[at : at + 20] for at in range(0, len(text), 20)], pause=1.0)
        assert len(bot.texts()) >= 4
        assert bot.drafts()
    assert "".join(bot.texts()).replace(" ", "") == text.replace(" ", "")
    assert bot.counts()[2:] == (0, 0)


async def test_the_next_run_sends_what_was_stored(bot, autojump_clock):
    bot, outbox = bot(), MemoryOutbox()
    with trio.move_on_after(7):
        async with bot.opened(outbox) as gateway:
            out = await gateway.stream(("bot", "7")).__aenter__()
            await say(out, "The answer", " is", " 42", " or so")
            await trio.sleep_forever()
    assert bot.texts() == []
    async with bot.opened(outbox) as gateway:
        await trio.sleep(10)
        status = await gateway.status(out.ticket)
        assert status.receipt.delivered
    assert bot.texts() == ["The answer is 42 or so […]"]
