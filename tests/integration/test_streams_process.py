"""A stream whose process is killed in the middle: the next run finishes what it had stored.

The answer grows by edits, also in a private chat: of a draft nothing would stand there when its
process is killed.
"""

import subprocess
import sys

import trio

from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import open_gateway, parse_config

TOKEN = "1234567:" + "a" * 35
PROGRAM = """
import sys
import trio
from gateway_core import open_gateway, parse_config

async def main(url, outbox, token):
    bot = {"channel": "telegram", "token": token, "base_url": url, "streaming": "edits"}
    config = parse_config({"outbox": {"url": outbox}, "instances": {"bot": bot}})
    async with open_gateway(config) as gateway:
        async with gateway.stream(("bot", "7"), key="event 1", broken_off=" (broken off)") as out:
            for number in range(1000):
                out.write(f"word{number} ")
                await trio.sleep(0.02)
                if number == 150:
                    print("said", flush=True)

trio.run(main, *sys.argv[1:])
"""


async def killed_in_the_middle(url, outbox):
    """Run the program until it has said 150 words, and kill it."""
    command = [sys.executable, "-c", PROGRAM, url, outbox, TOKEN]
    with trio.fail_after(60):
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        said = b""
        while b"said" not in said:
            more = await process.stdout.receive_some()
            assert more, "it ended by itself"
            said += more
        process.kill()
        await process.wait()


async def test_the_next_run_finishes_it_and_says_so(tmp_path):
    emulator, outbox = TelegramEmulator(tokens={TOKEN}), f"sqlite://{tmp_path}/outbox.db"
    async with trio.open_nursery() as nursery:
        url = await nursery.start(lambda task_status: serve(emulator.app, task_status=task_status))
        await killed_in_the_middle(url, outbox)
        shown = [m.text for m in emulator.rooms.conversation("7")]
        assert len(shown) == 1
        bot = {"channel": "telegram", "token": TOKEN, "base_url": url, "streaming": "edits"}
        config = parse_config({"outbox": {"url": outbox}, "instances": {"bot": bot}})
        async with open_gateway(config) as gateway:
            with trio.fail_after(60):
                async for ended in gateway.endings():
                    receipt = ended.receipt
                    break
                async with gateway.stream(("bot", "7"), key="event 1") as again:
                    again.write("another answer to the same event")
        assert again.receipt is not None
        assert again.receipt.replayed
        left = [m.text for m in emulator.rooms.conversation("7")]
        nursery.cancel_scope.cancel()
    assert receipt.delivered
    said = "broken off: its program left it before its text was whole"
    assert said in receipt.degradations
    assert len(left) == 1
    words = left[0].removesuffix(" (broken off)").split()
    assert left[0].endswith(" (broken off)")
    assert words == [f"word{number}" for number in range(len(words))]
    assert len(words) >= 90  # what is a second old is stored; more may be shown
