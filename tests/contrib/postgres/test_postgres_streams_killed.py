"""Real processes: the owner that shows a stream is killed, then the one that writes it."""

import subprocess
import sys
from contextlib import contextmanager

import trio
from amounts import long_run

from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.telegram import TelegramEmulator

TOKEN = "1234567:" + "a" * 35
PATIENCE = 120.0
"""Seconds that nothing takes unless it hangs."""
PROGRAM = """
import sys
import trio
from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import open_gateway, parse_config
from gateway_core.producers import written

written.LOOK = 2.0

async def main(url, schema, platform, token, role):
    bot = {"channel": "telegram", "token": token, "base_url": platform, "streaming": "edits"}
    config = parse_config({"instances": {"bot": bot}})
    outbox = PostgresOutbox(url, PostgresSettings(schema=schema, lease=5.0))
    async with open_gateway(config, outbox=outbox, serve=role == "own") as gateway:
        if role == "own":
            await trio.sleep_forever()
        async with gateway.stream(("bot", "7"), broken_off=" (broken off)") as out:
            for number in range(100_000):
                out.write(f"word{number} ")
                await trio.sleep(0.1)

trio.run(main, *sys.argv[1:])
"""


@contextmanager
def program(*words):
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *words]) as process:
        try:
            yield process
        finally:
            process.kill()


class Room:
    """What a person sees."""

    def __init__(self, emulator):
        self._emulator = emulator

    @property
    def texts(self):
        return [message.text for message in self._emulator.rooms.conversation("7")]

    async def until(self, holds):
        while not (self.texts and holds(self.texts[-1])):  # noqa: ASYNC110 - another process's
            await trio.sleep(0.05)
        return len(self.texts[-1])


@long_run
async def test_it_outlives_its_owner_and_ends_with_its_writer(server, emptied_schema):
    """One message, which the next owner goes on with, and breaks off once nobody writes it."""
    emulator = TelegramEmulator(tokens={TOKEN})
    room = Room(emulator)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            platform = await nursery.start(
                lambda task_status: serve(emulator.app, task_status=task_status)
            )
            words = (server.url(), emptied_schema, platform, TOKEN)
            with program(*words, "own") as owner, program(*words, "write") as writer:
                length = await room.until(lambda text: "word5" in text)
                with program(*words, "own"):
                    owner.kill()
                    await room.until(lambda text: len(text) > length + 100)
                    writer.kill()
                    await room.until(lambda text: text.endswith(" (broken off)"))
            nursery.cancel_scope.cancel()
    (text,) = room.texts
    said = text.removesuffix(" (broken off)").split()
    assert said == [f"word{number}" for number in range(len(said))]
