"""Over real sockets: an unmodified hikari against the emulated Discord.

hikari pins a multidict older than the one that the workspace is tested with, so it cannot stand
beside the other clients: it runs where bench/peers/requirements.txt is installed.
"""

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits
from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.serve import serve

ROOM = "1100000000000000001"
ROOT = Path(__file__).parents[2]
CLIENT = Path(__file__).parent / "clients/with_hikari.py"


@pytest.fixture
def python():
    """An interpreter that has hikari."""
    peers = ROOT / "build/peers/bin/python"
    if importlib.util.find_spec("hikari") is not None:
        return sys.executable
    if peers.exists():
        return str(peers)
    return pytest.skip(f"hikari is neither here nor in {peers} (see bench/peers/requirements.txt)")


async def test_hikari_paces_itself_by_our_headers_and_waits_out_our_429(python):
    """Ten sends, two at a time allowed: refused are the one by plan, and its hasty repetition."""
    faults = FaultPlan(script={4: Fault.RATE_LIMITED})
    limits = DiscordLimits(count=2, per=0.4)
    # hikari holds the times in Discord's answers against its own clock.
    emulator = DiscordEmulator(limits=limits, faults=faults, wall_clock=time.time)
    emulator.close_room("6")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve, emulator.app)
            done = await trio.run_process(
                [python, str(CLIENT), url], capture_stdout=True, stderr=subprocess.STDOUT
            )
            nursery.cancel_scope.cancel()
    told = json.loads(done.stdout.splitlines()[-1])
    assert [[400, 50006], [400, 50035], [404, 10008], [403, 50001]] == told["refused"]
    stored = [message.text for message in emulator.rooms.conversation(ROOM)]
    assert ["one, edited", *"012345"] == stored
    # hikari believes its own count before a 429: it asks once more at once, and then it waits.
    assert (1, 1) == (emulator.counters["faults"], emulator.counters["rate_limited"])
