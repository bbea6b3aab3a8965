"""Runs one of the demo's processes, which hands texts over, and owns the outbox or stands by.

The process ends when its standard input ends. It reports in lines: `accepted CHANNEL` for each
text, `handed` after its last text, and `owns` once it owns the outbox.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from gateway_contrib.cli.demo.load import RoomPlan, plan
from gateway_contrib.cli.demo.run import submitted
from gateway_contrib.cli.logs import set_up_log
from gateway_core import GatewayConfig, load_config, open_gateway


def say(*words: str) -> None:
    """Report to the process that started this one."""
    print(*words, flush=True)


async def hand_over(config: GatewayConfig, rooms: Sequence[RoomPlan], seed: str) -> None:
    """Hand the texts over as a web worker does, with a gateway that delivers nothing itself."""
    async with open_gateway(config, serve=False) as gateway:
        async for room, _ in submitted(gateway, rooms, seed):
            say("accepted", room.channel)
    say("handed")


async def own(config: GatewayConfig) -> None:
    """Own the outbox, or stand by until this process owns it."""
    async with open_gateway(config):
        say("owns")
        await trio.sleep_forever()


async def main(file: Path, seed: str, rooms: Sequence[RoomPlan]) -> None:
    """Hand over and own, until standard input ends."""
    config = load_config(file)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(own, config)
        nursery.start_soon(hand_over, config, rooms, seed)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    for name in ("--seed", "--rooms", "--number", "--processes"):
        parser.add_argument(name, required=True, type=str if name == "--seed" else int)
    asked = parser.parse_args()
    set_up_log(verbose=False, level=logging.CRITICAL)  # the killed process is no surprise
    every = plan(asked.seed, rooms=asked.rooms)
    trio.run(main, asked.file, asked.seed, every[asked.number - 1 :: asked.processes])
