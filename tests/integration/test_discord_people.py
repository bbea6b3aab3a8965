"""Over real sockets: an unmodified discord.py bot hears what people do, and answers in time."""

import sys
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from needed import need

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.serve import serve

need("discord")

PROGRAM = Path(__file__).parent / "clients" / "with_discord_py.py"
ROOM = "1100000000000000001"
USER = "1200000000000000007"


@asynccontextmanager
async def bot(emulator):
    """The words of the program, connected; for at most half a minute."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve, emulator.app)
            command = [sys.executable, str(PROGRAM), url]
            process = await nursery.start(started, command)
            words = words_of(process.stdout)
            assert "ready" == await anext(words)
            yield words
            process.kill()
            nursery.cancel_scope.cancel()


async def started(command, *, task_status):
    await trio.run_process(
        command, stdout=-1, capture_stdout=False, check=False, task_status=task_status
    )


async def words_of(stream):
    """The lines that come out of it, one by one."""
    rest = b""
    async for chunk in stream:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode()


async def until(condition):
    """Wait for it; the tests of this file end after half a minute."""
    while not condition():  # noqa: ASYNC110 - what a program in another process does has no event
        await trio.sleep(0.01)


def saw(entry):
    return [(seen.text, seen.ephemeral) for seen in entry.seen()]


async def test_discord_py_answers_commands_presses_forms_and_messages():
    emulator = DiscordEmulator()
    people = emulator.people
    async with bot(emulator) as words:
        asked = people.command(ROOM, "ask", {"question": "Why?"}, user=USER)
        await until(lambda: len(saw(asked)) == 4)
        assert [
            ("thinking…", False),
            ("Why? Because", False),
            ("Why? Because it is so.", False),
            ("Anything else?", True),
        ] == saw(asked)

        whispered = people.command(ROOM, "whisper", user=USER)
        await until(lambda: saw(whispered))
        assert [("psst", True)] == saw(whispered)

        ordered = people.command(ROOM, "order", user=USER)
        assert "form" == await anext(words)
        assert [("Your order", True)] == saw(ordered)
        sent = people.submit(ordered, {"name": "Ada"})
        await until(lambda: saw(sent))
        assert [("Thanks, Ada.", False)] == saw(sent)

        sure = people.command(ROOM, "sure", user=USER)
        assert "button" == await anext(words)
        pressed = people.press(ROOM, sure.original.id, "yes", user=USER)
        await until(lambda: saw(pressed))
        assert [("Done.", False)] == saw(pressed)

        people.say(ROOM, "hello", user=USER)
        await until(lambda: emulator.rooms.conversation(ROOM)[-1].reply_to)
        assert "You said: hello" == emulator.rooms.conversation(ROOM)[-1].text
    assert ["psst"] == [
        m.text for m in emulator.ephemeral.conversation(ROOM) if m.text != "Anything else?"
    ]
    assert {} == emulator.limited


async def test_a_bot_that_says_nothing_is_seen_to():
    emulator = DiscordEmulator()
    async with bot(emulator):
        entry = emulator.people.command(ROOM, "silent", user=USER)
        await trio.sleep(3.1)
        assert [("The application did not respond", True)] == saw(entry)


async def test_a_token_that_is_not_known_is_refused():
    emulator = DiscordEmulator(tokens=["another"])
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve, emulator.app)
            command = [sys.executable, str(PROGRAM), url]
            ended = await trio.run_process(command, check=False, capture_stderr=True)
            nursery.cancel_scope.cancel()
    assert b"LoginFailure" in ended.stderr
