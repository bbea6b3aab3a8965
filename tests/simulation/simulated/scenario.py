"""Makes one small world without chance, which is killed at each of its awaits.

It has two rooms, messages of several parts, an edit, a key that is used twice, and an answer that
is lost. The application is one caller: if it has not heard that an envelope is accepted, it hands
the envelope over again in the next life.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from simulated.callers import EXPECTED, Callers
from simulated.drawing import Ending, Place, Setup, Trouble, draw
from simulated.world import Outcome, made

from gateway_contrib.emulators.faults import Fault
from gateway_core import (
    CircuitSettings,
    Edit,
    Gateway,
    GatewayConfig,
    Instance,
    MessageRef,
    RetrySettings,
    Secret,
    Send,
)
from gateway_core.plugins.loader import Filter
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_telegram.settings import TelegramSettings

LASTS = 20.0
ALL_TOLD = "everything was handed over"
LIMITS = {
    "group": (20, 60.0), "bot": 30, "tier_3": 50, "discord": (5, 5.0), "discord_global": 50,
}  # fmt: skip
LOST_ANSWERS = {"telegram": {2: Fault.RESET_AFTER}, "discord": {1: Fault.RESET_AFTER}}
"""The requests, by number, whose message is stored, but whose answer is lost."""

PLACES = (
    Place(instance="telegram0", channel="telegram", room="101"),
    Place(instance="discord0", channel="discord", room="1001"),
)
"""A platform that forgets, and a platform that knows which messages it was sent before."""


def scenario(endings: Sequence[Ending] = (), checkpoints: int = 0) -> Setup:
    """The world, whose lives end in these ways."""
    calm = draw(0)
    return Setup(
        seed="scenario",
        config=GatewayConfig(
            instances=_instances(),
            plugins=Filter(deny=("telegram", "slack", "discord")),
            partition_count=2,
            attempt_timeout=2.0,
            drain_timeout=1.0,
            retries=RetrySettings(base=0.5, cap=1.0, quarantine=0.5),
            circuit=CircuitSettings(probe_base=0.5, probe_cap=1.0),
        ),
        channels=("telegram", "discord"),
        places=PLACES,
        latency=(0.25,),
        checkpoints=checkpoints,
        outbox="sqlite",
        endings=tuple(endings),
        linger=0.02,
        queue=4_096,
        lasts=LASTS,
        load=attrs.evolve(calm.load, unordered=0.0),
        trouble=Trouble(
            platform={}, hooks=0.0, pure=0.0, sessions=0.0, breaks=0.0, votes=0.0, late=0.0,
            unformatted=0.0, disk=(), events=(), script=LOST_ANSWERS,
        ),
        limits=LIMITS,
    )  # fmt: skip


def _instances() -> tuple[Instance, ...]:
    telegram = TelegramSettings(
        token=Secret("100:KeepThisTelegramTokenOff"),
        base_url="https://telegram.test",
        text_limit=20,
        group_count=20,
    )
    discord = DiscordSettings(
        token=Secret("KeepThisDiscordTokenOff0.abc.def"),
        base_url="https://discord.test/api/v10",
        max_length=100,
    )
    return (
        Instance("telegram0", "telegram", telegram),
        Instance("discord0", "discord", discord),
    )


class Script(Callers):
    """The application, which goes through its list, and remembers how far it came."""

    def __init__(self, setup: Setup, ledger: Any, topics: Any) -> None:
        super().__init__(setup, ledger, topics)
        self.done = 0
        self.refs: dict[int, MessageRef] = {}
        self._texts: dict[str, str] = {}
        self.steps: tuple[Callable[[], Any], ...] = (
            lambda: self._new(PLACES[0], 5, key="a"),
            lambda: self._new(PLACES[1], 2, key="b"),
            lambda: self._new(PLACES[0], 1),
            self._same,
            self._change,
            lambda: self._new(PLACES[1], 1),
        )

    async def run(self, gateway: Gateway) -> None:
        """Make the steps that are not done yet, one after the other."""
        self.gateway = gateway
        while self.done < len(self.steps):
            try:
                ticket = await gateway.submit(self.steps[self.done]())
            except EXPECTED as refusal:
                self.ledger.note("refused", type(refusal).__name__)
                return
            self.refs[self.done] = ticket.ref
            self.done += 1
        self.ledger.note(ALL_TOLD)

    def _new(self, place: Place, words: int, *, key: str | None = None) -> Send:
        """A message; if it has no key, handing it over again makes another message."""
        if key is None or key not in self._texts:
            self.texts += 1
            text = " ".join(f"m{self.texts}x{index}" for index in range(words))
            self._texts[key or ""] = text
        text = self._texts[key or ""]
        return Send(instance_id=place.instance, external_room_id=place.room, text=text, key=key)

    def _same(self) -> Send:
        """The first message again, which must be the same envelope."""
        return self._new(PLACES[0], 5, key="a")

    def _change(self) -> Edit:
        self.texts += 1
        text = " ".join(f"m{self.texts}x{index}" for index in range(3))
        place = PLACES[0]
        return Edit(
            instance_id=place.instance, external_room_id=place.room, target=self.refs[0], text=text
        )


def killed_at(*points: int) -> Outcome:
    """The scenario, with its first lives killed at these steps. Raises `Violation`."""
    endings = [
        Ending(kind="kill", at=0.0, steps=point, down=1.0, partitions=3, idle=LASTS)
        for point in points
    ]
    return made(scenario(endings), points[0], Script)


def count_points() -> int:
    """How often the tasks of a life that is not killed go on after an await."""
    return killed_at(10**9).steps[0]
