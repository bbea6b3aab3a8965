"""Draws a world with a shared outbox from its seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import attrs
from simulated.drawing import TOKENS

from gateway_contrib.emulators.discord import DiscordLimits
from gateway_contrib.emulators.faults import Fault
from gateway_contrib.emulators.slack import SlackLimits
from gateway_contrib.emulators.telegram import TelegramLimits
from gateway_contrib.postgres import PostgresSettings
from gateway_core import (
    CircuitSettings,
    GatewayConfig,
    Instance,
    RetrySettings,
    Secret,
    SourceSettings,
)
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.settings import TelegramSettings

GRID = 0.25
CHANNELS = ("telegram", "slack", "discord")
ROOMS: Mapping[str, Sequence[str]] = {
    "telegram": ("{n}01", "-{n}02", "-{n}03", "{n}04"),
    "slack": ("C{n}AAA", "C{n}BBB", "C{n}CCC"),
    "discord": ("{n}001", "{n}002", "{n}003"),
}
URLS = {
    "telegram": "https://telegram{n}.test",
    "slack": "https://slack{n}.test/api",
    "discord": "https://discord{n}.test/api/v10",
}
_SETTINGS: Mapping[str, Any] = {
    "telegram": TelegramSettings,
    "slack": SlackSettings,
    "discord": DiscordSettings,
}
WAYS = ("lost", "late", "answer lost", "unreplicated")
"""What may become of a COMMIT; the first three may also become of another statement."""


@attrs.frozen(kw_only=True)
class Blow:
    """Something that happens to a member, or to the server.

    whose    the number of the member that it hits; None: an owner
    seconds  for which it lasts
    """

    at: float
    kind: str
    whose: int | None
    seconds: float


@attrs.frozen(kw_only=True)
class Setup:
    """One world.

    members  how many processes take part
    rates    of their clocks; ahead: seconds by which their wall clocks may be ahead
    lasts    seconds of trouble
    losses   the share of COMMITs, and of other statements, that lose something
    delays   seconds of a statement's way; trips: seconds of a request's way, there and back
    slow     the share of connections to a platform that take long
    sick     the share of renewals that are lost
    tight    limits are low, and requests take the same time, so that nothing may be refused
    weights  the weights from which each process has one, if accounts are spread over processes
    suspensions  in each, an operator suspends an account for the `seconds` of the blow
    at_once  accounts are taken on all at once, and not one by one
    source   accounts come from a source; None: they are configured
    looks    seconds of a look-up in the source; failing: the share of look-ups that fail
    renewals  when the source gives an account other settings, which one process is told
    """

    seed: int
    members: int
    settings: PostgresSettings
    config: GatewayConfig
    rooms: Sequence[tuple[str, str]]
    rates: Sequence[float]
    ahead: Sequence[float]
    lasts: float
    losses: tuple[float, float]
    delays: Sequence[float]
    trips: Sequence[float]
    late: float
    slow: float
    sick: float
    tight: bool
    faults: Mapping[Fault, float]
    callers: int
    messages: int
    pauses: Sequence[float]
    edits: float
    keyed: float
    applications: int
    producers: int
    handings: int
    blows: Sequence[Blow]
    weights: Sequence[float] = (1.0,)
    suspensions: Sequence[Blow] = ()
    at_once: bool = False
    source: SourceSettings | None = None
    looks: Sequence[float] = (0.0,)
    failing: float = 0.0
    renewals: Sequence[float] = ()

    @property
    def spread(self) -> bool:
        """Whether the accounts are spread over the members."""
        return self.settings.accounts == "spread"

    @property
    def bound(self) -> int | None:
        """How much all members together may leave unfinished; None: as much as they like."""
        return 8 if self.seed % 16 == 10 else None

    def generator(self, concern: str) -> Random:
        """A random generator for one concern, so that a change of one concern changes no other."""
        return Random(f"shared:{concern}:{self.seed}")


TIGHT: Mapping[str, Mapping[str, Any]] = {
    "telegram": {"group_count": 3, "group_seconds": 30.0},
    "slack": {},
    "discord": {"message_count": 2, "message_per": 10.0},
}
EMULATED: Mapping[str, Any] = {
    "telegram": TelegramLimits(group_count=3, group_seconds=30.0),
    "slack": SlackLimits(),
    "discord": DiscordLimits(count=2, per=10.0),
}
"""Limits whose windows are so long that more than one owner meets them."""


def instances_of(
    rng: Random, *, tight: bool, counts: Sequence[int] = (1, 1, 2)
) -> tuple[Instance, ...]:
    """Draw the accounts; `counts` has the numbers that are drawn from."""
    found = []
    for number in range(rng.choice(counts)):
        channel = rng.choice(CHANNELS)
        token = Secret(TOKENS[channel].format(n=number))
        limits = TIGHT[channel] if tight else {}
        url = URLS[channel].format(n=number)
        settings = _SETTINGS[channel](token=token, base_url=url, **limits)
        found.append(Instance(f"{channel}{number}", channel, settings))
    return tuple(found)


_VERSIONED = {"telegram": "poll_seconds", "slack": "max_file_size", "discord": "max_file_size"}
"""A setting of each channel of which nothing depends in these worlds."""


def version_of(instance: Instance, version: int) -> Instance:
    """The instance with the settings that it has after so many changes."""
    name = _VERSIONED[instance.channel]
    settings = attrs.evolve(instance.settings, **{name: getattr(instance.settings, name) - version})
    return attrs.evolve(instance, settings=settings)


def _rooms(rng: Random, instances: Sequence[Instance]) -> list[tuple[str, str]]:
    found = []
    for instance in instances:
        number = int(instance.id[-1]) + 1
        names = ROOMS[instance.channel]
        some = rng.sample(names, rng.choice([1, 2, len(names)]))
        found += [(instance.id, room.format(n=number)) for room in some]
    return found


KINDS = (
    "kill", "kill at a port", "stop", "stop at a renewal", "stop at a write", "cut", "cut", "cut",
    "away", "restart", "end sessions", "leave",
)  # fmt: skip


MANY = (5, 7, 9)
"""The numbers of accounts of a world in which accounts are taken on at once."""
SPREAD_KINDS = (*KINDS, "move", "move", "move", "drain", "drain", "leave")
"""The kinds of blows if accounts are spread over processes."""


def _blows(
    rng: Random, lasts: float, lease: float, members: int, some: Sequence[str] = KINDS
) -> list[Blow]:
    kinds = rng.sample(some, rng.choice([1, 2, 4]))
    lasting = (0.5, 3.0, 0.9 * lease, 1.2 * lease, 1.6 * lease, 2.5 * lease, 4 * lease)
    found = [
        Blow(
            at=GRID * rng.randrange(8, round(lasts / GRID)),
            kind=rng.choice(kinds),
            whose=None if rng.random() < 0.7 else rng.randrange(members),
            seconds=rng.choice(lasting),
        )
        for _ in range(rng.choice([1, 2, 4, 8]))
    ]
    return sorted(found, key=lambda blow: blow.at)


def draw(seed: int) -> Setup:
    """The world of a seed, in which one process owns all accounts."""
    return _drawn(Random(f"shared:{seed}"), seed)


def draw_spread(seed: int) -> Setup:
    """The world of a seed in which accounts are spread over processes."""
    rng, at_once = Random(f"spread:{seed}"), seed % 8 == 4
    setup = _drawn(rng, seed, counts=MANY if at_once else (2, 3, 4))
    lease = setup.settings.lease
    return attrs.evolve(
        setup,
        settings=attrs.evolve(setup.settings, accounts="spread"),
        weights=rng.choice([(1.0,), (1.0,), (1.0, 2.0, 0.0)]),
        blows=_blows(rng, setup.lasts, lease, setup.members, SPREAD_KINDS),
        suspensions=_suspensions(seed, setup) if seed % 4 == 0 else (),
        at_once=at_once,
    )


def draw_sourced(seed: int) -> Setup:
    """The world of a seed in which accounts come from a source, and are spread over processes."""
    setup, rng = draw_spread(seed), Random(f"sourced:{seed}")
    return attrs.evolve(
        setup,
        source=SourceSettings(
            idle=rng.choice([0.5, 2.0, 10.0, 60.0]), timeout=5.0, at_once=rng.choice([1, 8])
        ),
        looks=rng.choice([(0.0,), (0.0, 0.25), (0.25, 1.0, 4.0)]),
        failing=rng.choice([0.0, 0.0, 0.3]),
        renewals=_renewals(seed, setup.lasts) if seed % 4 == 2 else (),
    )


def _renewals(seed: int, lasts: float) -> list[float]:
    rng = Random(f"renewed:{seed}")
    most = round(lasts / GRID)
    return sorted(GRID * rng.randrange(4, most) for _ in range(rng.choice([1, 3, 6])))


def _suspensions(seed: int, setup: Setup) -> list[Blow]:
    """Some suspensions: meanwhile the account is moved, its owner is killed, or neither happens."""
    rng = Random(f"suspended:{seed}")
    lease = setup.settings.lease
    found = [
        Blow(
            at=GRID * rng.randrange(4, round(setup.lasts / 2 / GRID)),
            kind=rng.choice(["move", "move", "kill", "stop", ""]),
            whose=None,
            seconds=rng.choice([1.0, 2 * lease, 4 * lease]),
        )
        for _ in range(rng.choice([1, 2, 4]))
    ]
    return sorted(found, key=lambda blow: blow.at)


def _drawn(rng: Random, seed: int, counts: Sequence[int] = (1, 1, 2)) -> Setup:
    tight = rng.random() < 0.3
    instances = instances_of(rng, tight=tight, counts=counts)
    lease = rng.choice([5.0, 5.0, 10.0])
    lasts = rng.choice([30.0, 60.0, 90.0])
    members = rng.choice([2, 2, 3, 4])
    stormy = rng.random() < 0.5
    share = rng.choice([0.0, 0.05, 0.2])
    faults = {
        Fault.RESET_BEFORE: rng.choice([0.0, 0.1]),
        Fault.RESET_AFTER: rng.choice([0.0, 0.1]),
        Fault.NO_ANSWER: rng.choice([0.0, 0.05]),
        Fault.SERVER_ERROR: rng.choice([0.0, 0.1]),
    }
    return Setup(
        seed=seed,
        tight=tight,
        members=members,
        settings=PostgresSettings(
            lease=lease,
            poll=rng.choice([0.1, 0.25]),
            linger=rng.choice([0.0, 0.02]),
            queue=rng.choice([2, 4096]),
        ),
        config=GatewayConfig(
            instances=instances,
            partition_count=rng.choice([1, 2]),
            partition_bound=rng.choice([3, 20, 10_000]),
            attempts_per_partition=rng.choice([1, 4, 64]),
            attempt_timeout=rng.choice([5.0, 20.0, 90.0]),
            session_idle=rng.choice([2.0, 300.0]),
            drain_timeout=rng.choice([0.0, 2.0, 10.0]),
            retries=RetrySettings(
                attempts=rng.choice([3, 6]),
                base=1.0,
                cap=8.0,
                max_ambiguous=rng.choice([2, 2, 3]),
                quarantine=rng.choice([0.0, 2.0]),
                arrival={6: 90.0, 14: 20.0}.get(seed % 16, 0.0),
            ),
            circuit=CircuitSettings(window=10, probe_base=0.5, probe_cap=4.0),
        ),
        rooms=_rooms(rng, instances),
        rates=rng.choice([(1.0,), (1.0, 0.97, 1.03)]),
        ahead=(0.0,) if tight else rng.choice([(0.0,), (0.0, 0.5, -2.0), (0.0, 300.0, -300.0)]),
        lasts=lasts,
        losses=(share, share / 10) if stormy else (0.0, 0.0),
        delays=rng.choice([(0.0,), (0.0, 0.0, 0.25), (0.0, 0.25, 1.0)]),
        trips=(0.25,) if tight else rng.choice([(0.0, 0.25), (0.25, 0.5, 1.0)]),
        late=0.0 if tight else rng.choice([0.0, 0.0, 0.1]),
        slow=0.0 if tight else rng.choice([0.0, 0.2, 0.5]),
        sick=rng.choice([0.0, 0.0, 0.0, 0.5, 0.9]),
        faults=faults if rng.random() < 0.5 and not tight else {},
        callers=rng.choice([1, 2, 4]),
        messages=rng.choice([10, 30, 60]),
        pauses=rng.choice([(0.0, 0.25), (0.0, 0.5, 2.0), (1.0, 4.0)]),
        edits=rng.choice([0.0, 0.2, 0.5]),
        keyed=rng.choice([0.0, 0.3]),
        applications=rng.choice([0, 1, 3]),
        producers=rng.choice([0, 0, 1, 2]),
        handings=rng.choice([3, 8]),
        blows=_blows(rng, lasts, lease, members),
    )


class Wire:
    """What happens to statements on their way to the server."""

    def __init__(self, setup: Setup) -> None:
        self.on = True
        self._setup = setup
        self._random = setup.generator("wire")

    def fate(self, sql: str) -> str:
        """What becomes of a statement: one of `WAYS`; empty: it comes through."""
        commits = sql == "COMMIT"
        if self.on and sql.startswith("UPDATE members") and self._setup.sick:
            return "lost" if self._random.random() < self._setup.sick else ""
        share = self._setup.losses[0 if commits else 1]
        if not self.on or not share or self._random.random() >= share:
            return ""
        return self._random.choice(WAYS if commits else WAYS[:3])

    def seconds(self) -> float:
        """Seconds that a statement takes one way."""
        return self._random.choice(self._setup.delays) if self.on else 0.0

    def late(self) -> float:
        """Seconds by which a late statement exceeds its client's patience."""
        return self._random.choice([0.25, 1.0, 3.0, 12.0])

    def flips(self) -> bool:
        """Whether a coin shows heads."""
        return self._random.random() < 0.5
