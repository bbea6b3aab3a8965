"""Sends files with this gateway: `python -m bench.peers.clients.files_with_this_gateway`.

Its job and its output are those of `bench.peers.clients.files`. The outbox is memory, and limits
are configured so high that no message waits for them. It uses only the gateway and one channel.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
import trio

from bench.peers.measuring import Meter
from gateway_core import File, open_gateway, parse_config

PATHS = {"telegram": "", "slack": "/api", "discord": "/api/v10"}
MOST = 100_000
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "telegram": {"chat_count": MOST, "bulk_count": MOST, "bot_count": MOST},
    "slack": {"post_count": MOST, "tier_4": MOST},
    "discord": {"message_count": MOST, "global_count": MOST, "global_window": MOST},
}


async def measured(job: dict[str, Any]) -> dict[str, float]:
    """Send the files; the first file of each room is sent before the measurement begins."""
    channel = job["channel"]
    bot = {"channel": channel, "token": job["token"], "base_url": job["url"] + PATHS[channel]}
    config = parse_config({"instances": {"bot": bot | SETTINGS[channel]}})
    async with open_gateway(config) as gateway:

        async def one_by_one(room: str, paths: Sequence[str]) -> None:
            for path in paths:
                await gateway.send("bot", room, "A report", files=[File(path)])

        async def all_of(part: slice) -> None:
            async with trio.open_nursery() as nursery:
                for room, paths in job["rooms"].items():
                    nursery.start_soon(one_by_one, room, paths[part])

        await all_of(slice(1))
        meter = Meter()
        await all_of(slice(1, None))
        return meter.report()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(json.dumps(trio.run(measured, json.load(sys.stdin))), flush=True)
