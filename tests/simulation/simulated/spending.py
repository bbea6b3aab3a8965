"""Makes others use an account for a while: another process, or a person.

Their requests go to the same platform, which counts them together with the gateway's.
"""

from __future__ import annotations

import json
from typing import Any

import httpx2
import trio
from simulated.drawing import GRID, Setup
from simulated.platforms import Platforms

from gateway_core import Instance
from gateway_core.testing import Network

KIND = "spending"
ROOMS = 60
"""How many rooms of their own the others have, so that no room's limit stops them."""

HEAVY = 1.5
"""How many times the account's limit the others ask for."""

IN_OUR_ROOM = 2.0
"""Requests per second, if the others write to one of our rooms."""


class Spending:
    """All others of one world."""

    def __init__(self, setup: Setup, platforms: Platforms, network: Network) -> None:
        self._setup = setup
        self._platforms = platforms
        self._network = network
        self._random = setup.generator(KIND)
        self._number = 0

    async def run(self) -> None:
        """Run the others at their times, until all trouble is over."""
        async with trio.open_nursery() as nursery:
            for at, what, which, seconds in self._setup.trouble.weather:
                if what == KIND:
                    until = min(at + seconds, self._setup.lasts)
                    nursery.start_soon(self._spend, at, which, until)

    async def _spend(self, at: float, which: int, until: float) -> None:
        instances = list(self._platforms.instances)
        name = instances[which % len(instances)]
        rooms = [place.room for place in self._setup.places if place.instance == name]
        room = rooms[which % len(rooms)] if which % 3 == 0 else None
        rate = IN_OUR_ROOM if room is not None else HEAVY * self._rate(name)
        await trio.sleep_until(at)
        owed = 0.0
        async with trio.open_nursery() as nursery:
            while trio.current_time() < until:
                owed += rate * GRID
                while owed >= 1.0:
                    owed -= 1.0
                    nursery.start_soon(self._ask, self._platforms.instances[name], room)
                await trio.sleep(GRID)

    def _rate(self, name: str) -> float:
        """Requests per second that the account may make."""
        limits = self._setup.limits
        rates = {"telegram": limits["bot"], "discord": limits["discord_global"], "slack": 4.0}
        return float(rates[name.rstrip("0123456789")])

    async def _ask(self, instance: Instance, room: str | None) -> None:
        self._number += 1
        other = self._number % ROOMS
        request = _request(instance, room or f"{_OWN[instance.channel]}{1000 + other}")
        host = self._network.host(httpx2.URL(others_url(instance.settings.base_url)))
        assert host is not None
        exchange = self._network.dispatch(host, request, request.content)
        try:
            await exchange.receive(GRID)
        except httpx2.TransportError:
            return
        finally:
            exchange.hang_up()


_OWN = {"telegram": "7", "slack": "C7", "discord": "7"}


def others_url(base_url: str) -> str:
    """The address at which others reach the platform, without our network's trouble."""
    return base_url.replace("https://", "https://others-", 1)


def _request(instance: Instance, room: str) -> httpx2.Request:
    base, token = instance.settings.base_url, instance.settings.token.reveal()
    text, headers = "from elsewhere", {"content-type": "application/json"}
    body: dict[str, Any]
    if instance.channel == "telegram":
        url, body = f"{base}/bot{token}/sendMessage", {"chat_id": room, "text": text}
    elif instance.channel == "slack":
        url, body = f"{base}/chat.postMessage", {"channel": room, "text": text}
        headers["authorization"] = f"Bearer {token}"
    else:
        url, body = f"{base}/channels/{room}/messages", {"content": text}
        headers["authorization"] = f"Bot {token}"
    content = json.dumps(body).encode()
    return httpx2.Request("POST", url, headers=headers, content=content)
