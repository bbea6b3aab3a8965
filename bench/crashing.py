"""The process that `bench.crashes` kills: a gateway on three channels, with its outbox in a file.

It submits messages of several parts, and with `--files` gives some messages files. It prints a line
for each accepted message, and follows endings as an application does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import structlog
import trio

from bench.crash_files import files_of, on_the_way
from bench.following import Application
from gateway_contrib.sqlite import SqliteOutbox
from gateway_core import GatewayConfig, Instance, RetrySettings, Secret, Send, open_gateway
from gateway_core.authors import hookimpl
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.settings import TelegramSettings

STEPS = (
    "before append", "after append", "before the attempt", "during", "after the answer",
    "before the acknowledgement", "between parts", "at the end", "ending told", "cursor stored",
)  # fmt: skip
TOKENS = {
    "telegram": "123456789:crash-crash-crash-crash",
    "slack": "xoxb-0-crash-crash",
    "discord": "crash.crash.crash-crash",
}
PATHS = {"telegram": "", "slack": "/api", "discord": "/api/v10"}
ROOMS = {"telegram": ("101", "102"), "slack": ("C1CRASH", "C2CRASH"), "discord": ("201", "202")}
WORDS = 36
PATIENCE = 10.0
"""Seconds within which the application must get the last endings."""


def text_of(number: int) -> str:
    """A message of three or four parts; each word says its message and its place."""
    return " ".join(f"m{number}w{word:02d}" for word in range(WORDS))


def channel_of(account: str) -> str:
    """The account's channel: `slack` and `slack-2` are two accounts on one platform."""
    return account.partition("-")[0]


def instances(addresses: dict[str, str]) -> list[Instance]:
    """The accounts, by the addresses of their platforms."""
    return [
        Instance(name, channel_of(name), _settings(channel_of(name), address))
        for name, address in addresses.items()
    ]


def _settings(channel: str, address: str) -> Any:
    where: dict[str, Any] = {
        "token": Secret(TOKENS[channel]),
        "base_url": address + PATHS[channel],
    }
    if channel == "telegram":
        return TelegramSettings(text_limit=100, chat_count=100, bot_count=1000, **where)
    if channel == "slack":
        return SlackSettings(part_bytes=100, post_count=100, tier_4=100_000, **where)
    return DiscordSettings(max_length=100, message_count=500, **where)


class Killer:
    """Kills this process when a step is reached once more after `nth` times."""

    def __init__(self, step: str, nth: int) -> None:
        self._step, self._left = step, nth

    def at(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    @hookimpl
    def after_attempt(self, report: Any) -> None:
        if report.answer is not None:
            self.at("after the answer")


class Watched(SqliteOutbox):
    """The outbox, with a killer at each of its steps."""

    def __init__(self, path: str, killer: Killer) -> None:
        self.killer = killer
        super().__init__(path)

    def _at(self, path: Path) -> None:
        super()._at(path)
        on_the_way(self._folder, self.killer.at)

    async def append(self, entry: Any, kept: Callable[[], None]) -> None:
        self.killer.at("before append")
        await super().append(entry, kept)
        self.killer.at("after append")

    async def store_bytes(self, digest: str, content: Any) -> None:
        self.killer.at("before the bytes")
        await super().store_bytes(digest, content)
        self.killer.at("after the bytes")

    async def read_bytes(self, digest: str, offset: int, limit: int) -> bytes:
        self.killer.at("during the upload")
        return await super().read_bytes(digest, offset, limit)

    async def attempt_started(self, envelope_id: str, record: Any) -> None:
        self.killer.at("before the attempt")
        await super().attempt_started(envelope_id, record)
        trio.lowlevel.spawn_system_task(self._soon)

    async def _soon(self) -> None:
        await trio.sleep(0.01)
        self.killer.at("during")

    def acknowledged(self, envelope_id: str, record: Any) -> None:
        self.killer.at("before the acknowledgement")
        super().acknowledged(envelope_id, record)
        if record.serial == 0:
            trio.lowlevel.spawn_system_task(self._between)

    async def _between(self) -> None:
        await self.flush()
        self.killer.at("between parts")

    def finished(self, receipt: Any) -> None:
        super().finished(receipt)
        self.killer.at("at the end")


async def main(asked: argparse.Namespace) -> None:
    outbox = Watched(asked.path, Killer(asked.step, asked.nth))
    config = GatewayConfig(
        instances=instances(json.loads(asked.addresses)),
        partition_count=asked.partitions,
        retries=RetrySettings(quarantine=0.2, base=0.05, attempts=50),
    )
    rng, application = Random(asked.first), Application(Path(asked.path).parent, outbox.killer.at)
    async with (
        trio.open_nursery() as nursery,  # its task ends once the gateway has closed
        open_gateway(config, plugins=[outbox.killer], outbox=outbox) as gateway,
    ):
        nursery.start_soon(application.follow, gateway)
        print("ready", flush=True)
        for number in range(asked.first, asked.first + asked.count):
            instance = rng.choice(list(ROOMS))
            room = rng.choice(ROOMS[instance])
            envelope = Send(
                instance_id=instance, external_room_id=room, text=text_of(number),
                key=f"m{number}", files=files_of(number) if asked.files else (),
            )  # fmt: skip
            print("submitting", number, flush=True)
            ticket = await gateway.submit(envelope)
            print("accepted", number, instance, room, ticket.id, flush=True)
            await trio.sleep(rng.random() * 0.05)
        while gateway.statistics().stored:  # noqa: ASYNC110 - what is looked at has no event
            await trio.sleep(0.02)
        newest = (await outbox.endings(after=0, limit=1)).newest
        with trio.move_on_after(PATIENCE):
            while application.number < newest:  # noqa: ASYNC110 - likewise
                await trio.sleep(0.02)
    application.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, kind in (("path", str), ("addresses", str), ("step", str)):
        parser.add_argument(f"--{name}", type=kind, default="")
    for name in ("nth", "first", "count", "partitions"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--files", action="store_true")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(main, parser.parse_args())
