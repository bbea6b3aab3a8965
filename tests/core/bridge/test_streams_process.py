"""A program that streams, in a process of its own: blocked, and interrupted twice."""

import signal

import pytest
from amounts import amount
from programs import ASYNCIO, BLOCKING

STREAMS = """
import time

async def main():
    async with open_gateway(**given()) as gateway:
        async with gateway.stream(("bot", "room"), broken_off="[cut]") as out:
            out.write("begun")
            await asyncio.sleep(0.1)
            STAGE
asyncio.run(main())
"""
BLOCKS = """print("ready", flush=True)
            time.sleep(5)"""
FINISHES = """time.sleep(5)
            assert "begun" in open("delivered").read().split()
            out.write("-and-whole")
            asyncio.get_running_loop().call_later(0.5, lambda: print("ready", flush=True))"""
THREADED = """
with gateway:
    with gateway.stream(("bot", "room"), broken_off="[cut]") as out:
        out.write("begun")
        time.sleep(1)
        STAGE
"""
WAITS = """out.write("-and-whole")
        threading.Timer(0.5, lambda: print("ready", flush=True)).start()"""
ENDS = {
    "the wait for the final": (ASYNCIO + STREAMS.replace("STAGE", FINISHES), "begun-and-whole"),
    "code that blocks": (
        BLOCKING + THREADED.replace("STAGE", 'print("ready", flush=True); time.sleep(5)'),
        "begun[cut]",
    ),
    # The first one cancels the task, which hears of it after its 5 s; the second cuts these.
    "a loop that is blocked": (ASYNCIO + STREAMS.replace("STAGE", BLOCKS), "begun[cut]"),
    "code that waits for the final": (
        BLOCKING + THREADED.replace("STAGE", WAITS),
        "begun-and-whole",
    ),
}


@pytest.mark.parametrize("where", list(ENDS)[: amount("ends of a program that streams")])
def test_the_final_of_a_stream_survives_two_ctrl_cs(program, where):
    code, final = ENDS[where]
    one = program(code, SECONDS_EACH="2").until_ready()
    one.press(2, apart=0.3)
    assert -signal.SIGINT == one.end(), one.said
    assert final == (one.folder / "delivered").read_text().splitlines()[-1], one.said
    assert "Event loop is closed" not in one.said
