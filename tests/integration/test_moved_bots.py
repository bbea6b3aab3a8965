"""The whole programs of the how-tos, before and after: they answer, and end with nothing lost."""

import re
import signal
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from amounts import amount
from needed import need
from whole_programs import client_command, files_of, start

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.telegram import TelegramEmulator

TELEGRAM_TOKEN = "123456:" + "a" * 35
DISCORD_TOKEN = "a.b.c"
ENVIRON = {"TELEGRAM_TOKEN": TELEGRAM_TOKEN, "DISCORD_TOKEN": DISCORD_TOKEN}
BOUND = 90


def by_bots(messages):
    return [message.text for message in messages if message.user is None]


@attrs.frozen
class Telegram:
    emulator: TelegramEmulator

    @staticmethod
    def made():
        return Telegram(TelegramEmulator(tokens={TELEGRAM_TOKEN}))

    @staticmethod
    def base(url):
        return url

    @property
    def listens(self):
        return self.emulator.counters["requests"] > 1

    def say(self, number, text):
        self.emulator.people.say(str(7 + number), text)

    def ask(self, number, text):
        self.say(number, f"/ask {text}")

    def texts(self, number):
        return by_bots(self.emulator.rooms.conversation(str(7 + number)))


@attrs.frozen
class Discord:
    emulator: DiscordEmulator

    @staticmethod
    def made():
        return Discord(DiscordEmulator(tokens={DISCORD_TOKEN}))

    @staticmethod
    def base(url):
        return f"{url}/api/v10"

    @property
    def listens(self):
        return bool(self.emulator.people.listeners)

    def say(self, number, text):
        self.emulator.people.say(f"110000000000000000{number}", text, user="1200000000000000007")

    def ask(self, number, text):
        room, user = f"110000000000000000{number}", "1200000000000000007"
        self.emulator.people.command(room, "ask", {"question": text}, user=user)

    def texts(self, number):
        return by_bots(self.emulator.rooms.conversation(f"110000000000000000{number}"))


BOTS = {
    "aiogram": ("move-from-aiogram", Telegram, "aiogram"),
    "telegram": ("move-from-python-telegram-bot", Telegram, "telegram"),
    "discord": ("move-from-discord-py", Discord, "discord"),
}


@asynccontextmanager
async def running(bot, tmp_path, file="bot.py", loop="asyncio"):
    page, kind, package = BOTS[bot]
    need(package, loop)
    platform = kind.made()
    with trio.fail_after(BOUND):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve, platform.emulator.app)
            files_of(page, tmp_path, platform.base(url))
            command = client_command(file, url, loop)
            program = await start(command, tmp_path, nursery, **ENVIRON)
            await program.until(lambda: platform.listens)
            yield platform, program
            nursery.cancel_scope.cancel()


ANSWERING = [(bot, file) for file in ("before.py", "bot.py") for bot in BOTS]
"""By a short run each bot as it was before; as it is afterwards each is ended below."""


@pytest.mark.parametrize(("bot", "file"), ANSWERING[: amount("bots that answer")])
async def test_a_bot_answers_as_before_and_streams(bot, file, tmp_path):
    async with running(bot, tmp_path, file) as (platform, program):
        platform.say(1, "*hello*")
        await program.until(lambda: platform.texts(1))
        platform.ask(2, "why?")
        whole = re.compile("The answer is [*]*42[*]*.$")
        await program.until(lambda: any(map(whole.search, platform.texts(2))))
    assert (["You said: *hello*"], {}) == (platform.texts(1), platform.emulator.limited)


SOME = [
    ("aiogram", "asyncio", signal.SIGINT, 2),
    ("telegram", "uvloop", signal.SIGTERM, 1),
    ("discord", "asyncio", signal.SIGINT, 1),
]
"""By a short run: each bot, each loop and each end; then all else that there is."""
ENDS = [
    ("asyncio", signal.SIGTERM, 1),
    ("asyncio", signal.SIGINT, 1),
    ("asyncio", signal.SIGINT, 2),
    ("uvloop", signal.SIGTERM, 1),
    ("uvloop", signal.SIGINT, 2),
]
ALL = [(bot, *end) for bot in BOTS for end in ENDS]
WAYS = [*SOME, *(way for way in ALL if way not in SOME)][: amount("ends of a moved bot")]


@pytest.mark.parametrize(("bot", "loop", "number", "times"), WAYS)
async def test_a_bot_that_is_ended_loses_nothing_that_was_accepted(
    bot, loop, number, times, tmp_path
):
    """Three messages wait for their room's limit, and an answer is half written."""
    many = 8 if bot == "discord" else 4
    async with running(bot, tmp_path, loop=loop) as (platform, program):
        platform.ask(2, "why?")
        for n in range(many):
            platform.say(1, f"hello {n}")
        await program.until(lambda: len(program.ids("handed")) > many and platform.texts(2))
        await program.press(number, times)
        with trio.fail_after(60):
            await program.process.wait()
    told = program.told()
    assert (set(), 0) == (program.lost(), told.count("gateway.left_at_close")), told
    assert {"delivered": many + 1} == program.dispositions(), told
    assert [f"You said: hello {n}" for n in range(many)] == platform.texts(1), told
    (answer,) = platform.texts(2)
    assert answer.endswith((" […]", "The answer is 42.")), told
    assert (0, {}) == (program.process.returncode, platform.emulator.limited), told
    if (bot, times) != ("telegram", 2):  # It closes its loop under the tasks of its handlers.
        assert "Event loop is closed" not in told
