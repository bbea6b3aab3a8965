"""The emulated platforms of a world, mounted in its network: latency, late requests, the trace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs
from simulated.drawing import Setup, emulated_limits
from simulated.lives import check
from simulated.ports import Ports

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.faults import FaultPlan
from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import Instance, Secret
from gateway_core.testing import Network

EMULATORS = {"telegram": TelegramEmulator, "slack": SlackEmulator, "discord": DiscordEmulator}
LATE = (3.0, 8.0, 24.0)
WRITES = {
    "telegram": ("sendMessage", "editMessageText"),
    "slack": ("chat.postMessage", "chat.update"),
    "discord": ("/messages",),
}
UNFORMATTED: Mapping[str, tuple[int, Any]] = {
    "telegram": (
        400,
        {
            "ok": False,
            "error_code": 400,
            "description": "Bad Request: can't parse entities: character 7 is reserved",
        },
    ),
    "slack": (200, {"ok": False, "error": "invalid_blocks"}),
    "discord": (
        400,
        {
            "code": 50035,
            "message": "Invalid Form Body",
            "errors": {
                "content": {
                    "_errors": [
                        {
                            "code": "BASE_TYPE_MAX_LENGTH",
                            "message": "Must be 100 or fewer in length.",
                        }
                    ]
                }
            },
        },
    ),
}
"""What the platforms say of formatting that they do not like; nothing is stored then."""


class Platforms:
    """The emulators, by address; `of` has the one of an instance."""

    def __init__(self, setup: Setup, ports: Ports) -> None:
        self._setup = setup
        self._ports = ports
        self._network = setup.generator("network")
        self._formatting = setup.generator("formatting")
        limits = emulated_limits(setup.limits)
        self.instances = {instance.id: instance for instance in setup.config.instances}
        self.secrets = setup.secrets()
        channels = {i.settings.base_url: i.channel for i in setup.config.instances}
        self.plans = {
            url: FaultPlan(
                seed=f"{url}:{setup.seed}",
                rates=setup.trouble.platform,
                script=setup.trouble.script.get(channel, {}),
            )
            for url, channel in channels.items()
        }
        self.emulators: Mapping[str, Any] = {
            url: EMULATORS[channel](limits=limits[channel], faults=self.plans[url])
            for url, channel in channels.items()
        }
        self._channels = channels
        self._topics()

    def of(self, instance_id: str) -> Any:
        """The platform that an instance is an account of."""
        return self.emulators[self.instances[instance_id].settings.base_url]

    def renewed(self, instance_id: str) -> Instance:
        """The instance with the settings that are good from now on.

        On Telegram with another token of the same bot; elsewhere another token is another bot.
        """
        instance = self.instances[instance_id]
        settings = attrs.evolve(instance.settings)
        if instance.channel == "telegram":
            token = settings.token.reveal()
            self.of(instance_id).revoke(token)
            settings = attrs.evolve(settings, token=Secret(f"{token}r"))
            self.secrets.append(settings.token.reveal())
        self.instances[instance_id] = attrs.evolve(instance, settings=settings)
        return self.instances[instance_id]

    def _topics(self) -> None:
        """A topic has to be there before anything can be sent to it."""
        self.topics: dict[str, str] = {}
        for place in self._setup.places:
            if place.channel == "telegram" and place.thread is not None:
                self.topics[place.room] = self.of(place.instance).create_topic(place.room)

    def mount(self, network: Network) -> None:
        """Let every emulator answer at its address."""
        for url, emulator in self.emulators.items():
            app = self._watched(self._channels[url], emulator.app)
            network.mount(url, app, latency=self._latency)

    def _latency(self) -> tuple[float, float]:
        """The way there and the way back; a late one is late on its way there."""
        check()  # the last moment before a request leaves
        rng = self._network
        up, down = rng.choice(self._setup.latency), rng.choice(self._setup.latency)
        late = self._setup.trouble.late
        if late and self._ports.on and rng.random() < late:
            self._ports.ledger.faults += 1
            up += rng.choice(LATE)
        return up, down

    def _watched(self, channel: str, app: Any) -> Any:
        note, passed = self._ports.ledger.note, self._ports.passed

        async def watched(scope: Any, receive: Any, send: Any) -> None:
            what = scope["path"].rpartition("/")[2] if channel == "telegram" else scope["path"]
            note("request", channel, scope["method"], what)

            async def told(event: Any) -> None:
                if event["type"] == "http.response.start":
                    note("answer", channel, event["status"])
                await send(event)

            await passed()
            if self._refuses(channel, scope["method"], what):
                await _refused(channel, told)
            else:
                await app(scope, receive, told)

        return watched

    def _refuses(self, channel: str, method: str, what: str) -> bool:
        """Whether the platform does not like the formatting, or the length, this time."""
        share = self._setup.trouble.unformatted
        writes = any(name in what for name in WRITES[channel]) and method in ("POST", "PATCH")
        if not share or not writes or not self._ports.on:
            return False
        refused = self._formatting.random() < share
        self._ports.ledger.faults += refused
        return refused

    def stop(self) -> None:
        """No more faults, and every token is good again."""
        for plan in self.plans.values():
            plan.stop()
        for instance in self.instances.values():
            self.of(instance.id).restore(instance.settings.token.reveal())

    @property
    def faults(self) -> int:
        """How many were injected."""
        return sum(plan.counts.total() for plan in self.plans.values())

    def messages(self) -> list[Message]:
        """Everything that was ever stored, deleted or not."""
        return [
            message
            for emulator in self.emulators.values()
            for room in emulator.rooms.names()
            for message in emulator.rooms.all(room)
        ]


async def _refused(channel: str, send: Any) -> None:
    status, body = UNFORMATTED[channel]
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
