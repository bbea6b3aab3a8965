"""Over real sockets: unmodified bots poll for what people do, and answer with drafts."""

import sys
from pathlib import Path

import pytest
import trio
from needed import need

from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.telegram import TelegramEmulator

CLIENTS = Path(__file__).parent / "clients"


@pytest.mark.parametrize(
    ("package", "program"),
    [("aiogram", "with_aiogram.py"), ("telegram", "with_telegram_bot.py")],
)
async def test_a_bot_polls_and_answers(package, program):
    need(package)
    emulator = TelegramEmulator()
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve, emulator.app)
            process = await nursery.start(started, [sys.executable, str(CLIENTS / program), url])
            asked = emulator.people.say("7", "/ask why?")
            await until(lambda: emulator.counters["stored"])
            answer = emulator.rooms.conversation("7")[-1]
            assert ("Because it is so. Clear?", str(asked["message"]["message_id"])) == (
                answer.text,
                answer.reply_to,
            )
            drafts = [sight.text for sight in emulator.screen.log("7") if sight.what == "draft"]
            assert ["Because", "Because it is so."] == drafts
            assert "typing" in [sight.what for sight in emulator.screen.log("7")]
            assert [] == emulator.screen.now("7")
            await trio.sleep(1.1)  # A chat takes one message or edit a second.
            emulator.people.press("7", answer.id, "yes")
            await until(lambda: answer.text == "Clear.")
            process.kill()
            nursery.cancel_scope.cancel()
    assert {} == emulator.limited


async def started(command, *, task_status):
    await trio.run_process(command, check=False, task_status=task_status)


async def until(condition):
    """Wait for it; the test ends after two minutes."""
    while not condition():  # noqa: ASYNC110 - what a program in another process does has no event
        await trio.sleep(0.01)
