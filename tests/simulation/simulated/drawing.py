"""Draws the world of a seed: platforms, instances, rooms, bounds, load and trouble.

Times are multiples of `GRID`, so that things coincide: a race shows only if they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, TypeVar

import attrs
from simulated.traffic import (
    Filing,
    Grouping,
    Replying,
    draw_files,
    draw_groups,
    draw_replies,
)

from gateway_contrib.emulators.discord import DiscordLimits
from gateway_contrib.emulators.faults import Fault
from gateway_contrib.emulators.slack import SlackLimits
from gateway_contrib.emulators.telegram import TelegramLimits
from gateway_core import (
    CircuitSettings,
    GatewayConfig,
    Instance,
    Priority,
    RetrySettings,
    Secret,
    Ttl,
)
from gateway_core.plugins.loader import Filter
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.settings import TelegramSettings

T = TypeVar("T")

GRID = 0.25
CHANNELS = ("telegram", "slack", "discord")
URLS = {
    "telegram": "https://telegram.test",
    "slack": "https://slack{n}.test/api",
    "discord": "https://discord.test/api/v10",
}
"""Each instance on Slack has a workspace of its own: its limits are the workspace's."""

TOKENS = {
    "telegram": "10{n}:KeepThisTelegramTokenOff{n}",
    "slack": "xoxb-1-keep-this-slack-token-off-{n}",
    "discord": "KeepThisDiscordTokenOff{n}.abc.def",
}
MOODS = (
    "calm", "one", "one", "doubt", "limited", "hooks", "crashes", "crashes", "storm", "storm",
)  # fmt: skip
"""What goes wrong: nothing, one fault, lost answers, refusals, hooks, deaths, everything."""

LIVES = (0, 1, 1, 2, 3)
"""How often a gateway with an outbox in a file ends before its time."""

UNANSWERED = (Fault.RESET_AFTER, Fault.NO_ANSWER, Fault.RESET_BEFORE, Fault.SERVER_ERROR)


@attrs.frozen(kw_only=True)
class Place:
    """A conversation: a room, or a thread in it."""

    instance: str
    channel: str
    room: str
    thread: str | None = None

    @property
    def lane(self) -> tuple[str, str, str | None]:
        """What the engine keeps in order."""
        thread = None if self.channel == "slack" else self.thread
        return self.instance, self.room, thread


@attrs.frozen(kw_only=True)
class Load:
    """Who sends what.

    callers, messages   how many, in all
    kinds               weights of what a caller does
    patience            share of calls that are given up after a while
    ttls                the values that are drawn for `ttl`
    words               the values that are drawn for the length of a text, in words
    replies             share of messages that answer another one, which may be gone
    dated               share of times to live that are given as a deadline
    classes             the classes that are drawn for messages that are not plain
    collapsed           share of messages that replace an older one of their kind
    """

    callers: int
    messages: int
    kinds: Mapping[str, float]
    patience: float
    ttls: Sequence[float | None]
    words: Sequence[int]
    pauses: Sequence[float]
    give_up: float
    unordered: float
    scheduled: float
    keyed: float
    plain_class: float
    replies: float = 0.0
    dated: float = 0.0
    classes: Sequence[Priority] = ("urgent", "normal", "bulk")
    collapsed: float = 0.0


@attrs.frozen(kw_only=True)
class Streaming:
    """The streams of a world: answers that are sent while they are written.

    writers, answers  how many write at once, and how many answers in all
    rooms       how many of the world's places they answer in
    words       the values that are drawn for the length of an answer, in words
    lasting     how many status lines come and go once all words are there
    pauses      between two words; `between`: before an answer begins
    keyed       share of answers with one of a few keys, which join a stream or are known already
    statuses, replaced, rewritten  shares of writes that show a line below instead, or begin anew;
                and of answers whose last text is another one
    broken      share of blocks that end by an exception; `patience`: share whose caller gives up
    vanishing   share of writes after which somebody deletes the message
    shared      whether other callers change the streams' messages, and answer them
    ttls        the values that are drawn for `ttl`
    """

    writers: int
    answers: int
    rooms: int
    words: Sequence[int]
    lasting: Sequence[int]
    pauses: Sequence[float]
    between: Sequence[float]
    keyed: float
    statuses: float
    replaced: float
    rewritten: float
    broken: float
    patience: float
    vanishing: float
    shared: bool
    ttls: Sequence[float | None]


@attrs.frozen(kw_only=True)
class Ending:
    """How a life ends before its time, and what the next one is like.

    kind        "kill": at an await of its tasks; "cancel": the application is cancelled at one;
                "stop": it closes its gateway, as on SIGTERM
    at, steps   when, in seconds; and how many steps of its tasks later
    down        seconds until the next life; `partitions` of that one
    idle        seconds after which the life ends if no task makes a step any more
    """

    kind: str
    at: float
    steps: int
    down: float
    partitions: int
    idle: float = 2.0


@attrs.frozen(kw_only=True)
class Trouble:
    """What goes wrong while it is on: shares of calls, and events at their times.

    platform   faults of the emulators, by share of the requests that change something
    hooks      share of async hooks that raise, hang or answer nonsense
    pure       share of sync hooks that raise
    sessions   share of sessions that fail to open or to close
    breaks     share of attempts that break their worker before they begin
    votes      share of envelopes that a policy sheds or moves to another class
    events     (time, what, which): crashes, revocations, suspensions, lost and moved rooms
    late       share of requests that take far longer than others
    unformatted  share of sends and edits whose formatting or length is refused
    disk       from when until when the disk is full
    script     by channel: the fault of a request, by the request's number
    weather    (time, what, which, seconds): what happens to a platform for a while, such as an
               outage, a stall, a flood of refusals
    """

    platform: Mapping[Fault, float]
    hooks: float
    pure: float
    sessions: float
    breaks: float
    votes: float
    late: float
    unformatted: float
    disk: tuple[tuple[float, float], ...]
    events: tuple[tuple[float, str, int], ...]
    script: Mapping[str, Mapping[int, Fault]] = attrs.field(factory=dict)
    weather: tuple[tuple[float, str, int, float], ...] = ()


@attrs.frozen(kw_only=True)
class Setup:
    """Everything about one world. `lasts` is when trouble ends, in seconds.

    outbox   "memory", or "sqlite": in a file, where one life goes on after the other
    endings  of all its lives but the last; in memory, the only life may be closed in the middle
    linger, queue  of the outbox in a file
    probes   whether adapters can find out who they are without sending anything
    wires    whether requests go over connections that are used again, and that die
    crowd    the time from which every room always has messages that wait; None: never
    streams  answers that are sent while they are written; None: there are none
    replies  answers to events; `groups`: messages that are handed in together; `files`: messages
             with files; None: there are none
    """

    seed: str
    config: GatewayConfig
    channels: tuple[str, ...]
    places: tuple[Place, ...]
    latency: tuple[float, ...]
    checkpoints: int
    outbox: str
    endings: tuple[Ending, ...]
    linger: float
    queue: int
    lasts: float
    load: Load
    trouble: Trouble
    limits: Mapping[str, Any]
    probes: bool = True
    wires: bool = False
    crowd: float | None = None
    streams: Streaming | None = None
    replies: Replying | None = None
    groups: Grouping | None = None
    files: Filing | None = None

    @property
    def durable(self) -> bool:
        """Whether accepted envelopes outlive the process."""
        return self.outbox != "memory"

    @property
    def calm(self) -> bool:
        """Whether nothing goes wrong; then no limit may ever be hit."""
        trouble = self.trouble
        shares = (trouble.hooks, trouble.pure, trouble.sessions, trouble.late, trouble.unformatted)
        happens = trouble.events or trouble.platform or self.endings or trouble.weather
        faulty = self.files is not None and (self.files.cut or any(self.files.faults.values()))
        return not (happens or faulty or any(shares))

    @property
    def jumps(self) -> bool:
        """Whether the wall clock jumps."""
        return any(what == "jump" for _, what, _ in self.trouble.events)

    def config_of(self, life: int) -> GatewayConfig:
        """The configuration of a life: the number of partitions may be another one."""
        if life == 0:
            return self.config
        return attrs.evolve(self.config, partition_count=self.endings[life - 1].partitions)

    def secrets(self) -> list[str]:
        """The secrets, which must be seen nowhere."""
        return [instance.settings.token.reveal() for instance in self.config.instances]

    def generator(self, concern: str) -> Random:
        """A random generator for one concern, so that a change of one concern changes no other."""
        return Random(f"{concern}:{self.seed}")


WEATHER = ("outage", "stall", "flood", "strict", "lies", "page")
MORE_WEATHER = ("spending", "spending", "flood", "lies")
NEWS = 26_430
"""Chosen so that worlds which are known to show something rare have nothing of these kinds."""

MOSTLY_WITHOUT = 0.6
"""The share of worlds without them."""

ANSWERS = 114_028
"""Chosen so that worlds which are known to show something rare have no streams."""

WITH_STREAMS = 0.25
"""The share of worlds with streams."""

MANY = 6
"""Messages of a world in which most calls change one."""

UPLOADS = ("files.getUploadURLExternal", "files.completeUploadExternal")
"""Slack's methods for sending files, besides the posting of their bytes."""

CONNECTED_WEATHER = ("cut", "cut", "cut", "resets", "spending")


def draw(seed: int) -> Setup:
    """The world of a seed."""
    rng = Random(f"setup:{seed}")
    channels = tuple(rng.sample(CHANNELS, rng.choice([1, 1, 2, 3])))
    limits = _limits(rng)
    instances = _instances(rng, channels, limits)
    places = _places(rng, instances)
    mood = rng.choice(MOODS)
    lasts = rng.choice([2.0, 6.0, 15.0, 30.0])
    latency = rng.choice([(0.0,), (0.25,), (0.0, 0.25, 0.5), (0.25, 0.75, 1.0)])
    config = _config(rng, instances, longest=2 * max(latency))
    outbox = rng.choice(["memory", "memory", "sqlite"])
    more = Random(f"more:{seed}")
    setup = Setup(
        seed=str(seed),
        config=config,
        channels=channels,
        places=places,
        latency=latency,
        checkpoints=rng.choice([0, 1, 3, 3]),
        outbox=outbox,
        endings=_endings(rng, mood, outbox, lasts),
        linger=rng.choice([0.0, 0.02, 0.25, 1.0]),
        queue=rng.choice([2, 4_096, 4_096]),
        lasts=lasts,
        load=_more(_load(rng, mood), more),
        trouble=_weather(_trouble(rng, mood, lasts, outbox), seed, mood, lasts),
        limits=limits,
        probes=more.random() < 0.85,
    )
    setup = _classed(setup, Random(f"ranks:{seed}"))
    setup = _unsettled(setup, mood, Random(f"news {NEWS}:{seed}"))
    streams = _streams(Random(f"streams {ANSWERS}:{seed}"), mood)
    replies, groups = draw_replies(seed), draw_groups(seed)
    setup = attrs.evolve(setup, streams=streams, replies=replies, groups=groups)
    files = draw_files(seed, calm=mood == "calm")
    return setup if files is None else _filed(setup, files)


def _filed(setup: Setup, files: Filing) -> Setup:
    """Add messages that have files; an upload to Slack gets time for its three calls.

    There is no crowd then, since the pace cannot be judged: uploads take far longer.
    """
    config, trip = setup.config, 2 * max(setup.latency)
    instances = tuple(_taking_files(instance, files) for instance in config.instances)
    timeout = config.attempt_timeout
    if "slack" in setup.channels:
        timeout = max(timeout, 20.0 + files.share_after + 12 * trip)
    config = attrs.evolve(config, instances=instances, attempt_timeout=timeout)
    limits = {**setup.limits, "tier_4": files.addresses}
    return attrs.evolve(setup, config=config, limits=limits, crowd=None, files=files)


def _taking_files(instance: Instance, files: Filing) -> Instance:
    settings = instance.settings
    if instance.channel == "telegram":
        settings = attrs.evolve(settings, caption_limit=files.caption)
    if instance.channel == "slack":
        settings = attrs.evolve(settings, tier_4=files.addresses)
    return attrs.evolve(instance, settings=settings)


def _streams(rng: Random, mood: str) -> Streaming | None:
    """In some worlds answers are sent while they are written, beside all the rest."""
    if rng.random() >= WITH_STREAMS:
        return None
    doubtful = mood == "doubt"
    return Streaming(
        writers=rng.choice([1, 2, 2, 4, 8]),
        answers=rng.choice([2, 4, 8, 12]),
        rooms=rng.choice([1, 2, 10]),
        words=rng.choice([(1, 2, 4), (1, 2, 4), (2, 12), (12, 30, 60)]),
        lasting=rng.choice([(0,), (0,), (0, 12), (20,)]),
        pauses=rng.choice([(0.0, 0.25), (0.25, 0.5, 1.0), (0.0, 1.0, 3.0), (1.0, 3.0)]),
        between=rng.choice([(0.0,), (0.0, 0.25, 0.5), (0.5, 2.0, 5.0)]),
        keyed=rng.choice([0.0, 0.0, 0.5, 1.0]),
        statuses=rng.choice([0.0, 0.2]),
        replaced=rng.choice([0.0, 0.0, 0.1]),
        rewritten=rng.choice([0.0, 0.3]),
        broken=rng.choice([0.0, 0.2, 0.5]),
        patience=rng.choice([0.0, 0.2, 0.4]),
        vanishing=0.0 if doubtful else rng.choice([0.0, 0.0, 0.1, 0.3]),
        shared=rng.random() < 0.3,
        ttls=rng.choice([(None,), (None,), (None, 3.0), (1.0, 20.0)]),
    )


def _unsettled(setup: Setup, mood: str, rng: Random) -> Setup:
    """In some worlds connections die, others spend the budget, messages collapse, rooms wait."""
    if rng.random() < MOSTLY_WITHOUT:
        return setup
    setup = attrs.evolve(setup, wires=rng.random() < 0.4)
    if mood != "calm" and (setup.wires or rng.random() < 0.5):
        kinds = CONNECTED_WEATHER if setup.wires else MORE_WEATHER
        found = _happenings(rng, kinds, setup.lasts, rng.choice([1, 1, 2, 3]))
        weather = tuple(sorted((*setup.trouble.weather, *found)))
        setup = attrs.evolve(setup, trouble=attrs.evolve(setup.trouble, weather=weather))
    return _crowded(_busy(setup, rng), rng)


def _busy(setup: Setup, rng: Random) -> Setup:
    """In some worlds messages collapse; in some most calls change one."""
    load = setup.load
    if rng.random() < 0.5:
        load = attrs.evolve(load, collapsed=rng.choice([0.3, 0.7, 1.0]))
    if rng.random() < 0.4 and load.messages >= MANY:
        changes = {"edit": 8.0, "delete": 2.0, "stream": 4.0}
        load = attrs.evolve(load, kinds={**load.kinds, **changes}, unordered=0.7, give_up=0.0)
    return attrs.evolve(setup, load=load)


def _crowded(setup: Setup, rng: Random) -> Setup:
    """In some worlds, every room always has messages that wait, and bounds are no obstacle."""
    if rng.random() < MOSTLY_WITHOUT or setup.jumps:
        return setup
    config, many = setup.config, len(setup.config.instances) > 1
    config = attrs.evolve(
        config,
        partition_bound=10_000,
        instance_bound=None,
        room_bound=1_000,
        outbox_capacity=1_000_000,
        attempts_per_partition=64 if many else config.attempts_per_partition,
    )
    trouble = attrs.evolve(setup.trouble, votes=0.0)
    crowd = rng.randrange(int(setup.lasts / GRID)) * GRID
    linger = min(setup.linger, 0.02)  # each room that is behind waits for that, one after another
    return attrs.evolve(setup, config=config, trouble=trouble, crowd=crowd, linger=linger)


def _endings(rng: Random, mood: str, outbox: str, lasts: float) -> tuple[Ending, ...]:
    """Mostly kills, if there is an outbox from which the next life can go on."""
    if outbox == "memory":
        early = mood != "calm" and rng.random() < 0.1
        return (_ending(rng, "stop", lasts),) if early else ()
    kinds = ["kill", "kill", "kill", "stop", "cancel"]
    times = sorted(rng.randrange(int(lasts / GRID) + 8) * GRID for _ in range(rng.choice(LIVES)))
    return tuple(_ending(rng, rng.choice(kinds), at) for at in times)


def _ending(rng: Random, kind: str, at: float) -> Ending:
    return Ending(
        kind=kind,
        at=at,
        steps=rng.choice([1, rng.randrange(20), rng.randrange(200)]),
        down=rng.choice([0.0, 0.25, 2.0, 20.0]),
        partitions=rng.choice([1, 2, 4, 5]),
    )


def _limits(rng: Random) -> Mapping[str, Any]:
    """What the platforms allow; the instances are configured with the same."""
    return {
        "group": rng.choice([(20, 60.0), (3, 8.0)]),
        "bot": rng.choice([30, 4, 2]),
        "tier_3": rng.choice([50, 6]),
        "discord": rng.choice([(5, 5.0), (2, 4.0)]),
        "discord_global": rng.choice([50, 4]),
    }


def emulated_limits(limits: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same limits in the form that the emulators take."""
    group, discord = limits["group"], limits["discord"]
    tiers = dict.fromkeys(("chat.update", "chat.delete"), (limits["tier_3"], 60.0))
    if "tier_4" in limits:
        tiers |= dict.fromkeys(UPLOADS, (limits["tier_4"], 60.0))
    return {
        "telegram": TelegramLimits(
            group_count=group[0], group_seconds=group[1], bot_count=limits["bot"]
        ),
        "slack": SlackLimits(tiers=tiers),
        "discord": DiscordLimits(
            count=discord[0], per=discord[1], global_count=limits["discord_global"]
        ),
    }


def _instances(
    rng: Random, channels: Sequence[str], limits: Mapping[str, Any]
) -> tuple[Instance, ...]:
    found = []
    for channel in channels:
        for number in range(rng.choice([1, 1, 2])):
            token = Secret(TOKENS[channel].format(n=number))
            url = URLS[channel].format(n=number)
            settings = _SETTINGS[channel](rng, token, url, limits)
            found.append(Instance(f"{channel}{number}", channel, settings))
    return tuple(found)


def _telegram(rng: Random, token: Secret, url: str, limits: Mapping[str, Any]) -> TelegramSettings:
    return TelegramSettings(
        token=token,
        base_url=url,
        text_limit=rng.choice([40, 200]),
        group_count=limits["group"][0],
        group_seconds=limits["group"][1],
        bot_count=limits["bot"],
    )


def _slack(_: Random, token: Secret, url: str, limits: Mapping[str, Any]) -> SlackSettings:
    return SlackSettings(token=token, base_url=url, part_bytes=100, tier_3=limits["tier_3"])


def _discord(_: Random, token: Secret, url: str, limits: Mapping[str, Any]) -> DiscordSettings:
    return DiscordSettings(
        token=token,
        base_url=url,
        max_length=100,
        message_count=limits["discord"][0],
        message_per=limits["discord"][1],
        global_count=max(1, limits["discord_global"] - 2),
        global_window=limits["discord_global"],
    )


_SETTINGS = {"telegram": _telegram, "slack": _slack, "discord": _discord}

_ROOMS: Mapping[str, Sequence[tuple[str, str | None]]] = {
    "telegram": (
        ("{n}01", None),
        ("-{n}02", None),
        ("-{n}03", "topic"),
        ("{n}04", None),
        ("-{n}05", None),
        ("-{n}03", None),
    ),
    "slack": (
        ("C{n}AAA", None),
        ("C{n}BBB", "1700000000.000100"),
        ("C{n}CCC", None),
        ("C{n}BBB", None),
        ("D{n}DDD", None),
    ),
    "discord": (("{n}001", None), ("{n}002", "{n}102"), ("{n}002", None), ("{n}003", None)),
}


def _places(rng: Random, instances: Sequence[Instance]) -> tuple[Place, ...]:
    """One room or several; a thread has its room beside it or not."""
    found = []
    for index, instance in enumerate(instances, start=1):
        rooms = _ROOMS[instance.channel]
        for room, thread in rng.sample(rooms, rng.choice([1, 2, 2, len(rooms)])):
            found.append(
                Place(
                    instance=instance.id,
                    channel=instance.channel,
                    room=room.format(n=index),
                    thread=None if thread is None else thread.format(n=index),
                )
            )
    return tuple(found)


def _config(rng: Random, instances: Sequence[Instance], longest: float) -> GatewayConfig:
    """The gateway's configuration; an attempt has more time than the `longest` round trip."""
    return GatewayConfig(
        instances=instances,
        plugins=Filter(deny=CHANNELS),
        partition_count=rng.choice([1, 1, 2, 4]),
        partition_by=rng.choice(["room", "room", "instance"]),
        partition_bound=rng.choice([2, 6, 20, 10_000]),
        instance_bound=rng.choice([None, None, 3]),
        room_bound=rng.choice([1, 4, 1000, 1000]),
        attempts_per_partition=rng.choice([1, 2, 4, 64]),
        attempts_per_instance=rng.choice([1, 2, 64]),
        attempt_timeout=rng.choice([longest + 1.0, 5.0, 20.0, 90.0]),
        session_idle=rng.choice([0.5, 2.0, 300.0]),
        drain_timeout=rng.choice([0.0, 2.0, 30.0]),
        when_suspended=rng.choice(["wait", "wait", "end", "refuse"]),
        shed=rng.random() < 0.3,
        history=rng.choice([4, 1000, 1000]),
        ttl=Ttl(urgent=rng.choice([10.0, 300.0])),
        retries=RetrySettings(
            attempts=(attempts := rng.choice([1, 3, 6])),
            base=rng.choice([1.0, 2.0]),
            cap=rng.choice([2.0, 8.0]),
            max_ambiguous=min(attempts, rng.choice([1, 2, 2, 3])),
            quarantine=rng.choice([0.0, 0.5, 2.0]),
        ),
        circuit=CircuitSettings(
            window=rng.choice([2, 5, 20]),
            probe_base=rng.choice([0.5, 1.0]),
            probe_cap=rng.choice([1.0, 4.0]),
        ),
    )


def _load(rng: Random, mood: str) -> Load:
    doubtful, limited = mood == "doubt", mood == "limited"
    kinds = {"send": 4.0, "submit": 4.0}
    for kind in ("try", "edit", "stream", "delete", "again", "other", "cancel", "call"):
        if rng.random() < 0.6:
            kinds[kind] = rng.choice([0.5, 2.0])
    return Load(
        callers=rng.choice([1, 2, 4, 8]),
        messages=rng.choice([3, 6, 15, 30, 45]),
        kinds=kinds,
        patience=rng.choice([0.0, 0.2, 0.5]),
        ttls=rng.choice([(None,), (None,), (None, 3.0), (1.0, 5.0, 20.0)]),
        words=rng.choice([(1,), (1, 2), (2, 2, 12), (1, 12, 30)]),
        pauses=rng.choice([(0.0,), (0.0, 0.25), (0.0, 0.25, 0.5, 1.0), (0.5, 2.0)]),
        give_up=0.0 if doubtful else rng.choice([0.0, 0.0, 0.3, 1.0]),
        unordered=0.5 if limited else rng.choice([0.0, 0.0, 0.3]),
        scheduled=rng.choice([0.0, 0.0, 0.2]),
        keyed=rng.choice([0.0, 0.3, 0.6]),
        plain_class=rng.choice([1.0, 0.5]),
    )


def _more(load: Load, more: Random) -> Load:
    """Some callers answer messages, and ask for the status of theirs."""
    asks = {"ask": 2.0} if more.random() < 0.3 else {}
    kinds = {**load.kinds, **asks}
    replies = more.choice([0.0, 0.0, 0.3])
    return attrs.evolve(load, kinds=kinds, replies=replies)


def _classed(setup: Setup, classes: Random) -> Setup:
    """Some worlds are full of bulk, with something urgent in between; some outboxes are small."""
    load, config = setup.load, setup.config
    if classes.random() < 0.5:
        return setup
    if classes.random() < 0.5:
        bulk = ("bulk", "bulk", "bulk", "normal", "urgent")
        load = attrs.evolve(load, classes=bulk, plain_class=0.0, unordered=0.5)
    if not setup.jumps:
        load = attrs.evolve(load, dated=classes.choice([0.0, 0.5]))
    capacity = classes.choice([2, 5, config.outbox_capacity, config.outbox_capacity])
    return attrs.evolve(setup, load=load, config=attrs.evolve(config, outbox_capacity=capacity))


def _trouble(rng: Random, mood: str, lasts: float, outbox: str) -> Trouble:
    stormy = mood == "storm"
    platform: dict[Fault, float] = {}
    if mood == "one":
        platform[rng.choice([*Fault, *UNANSWERED])] = rng.choice([0.05, 0.2, 0.5])
    if mood == "doubt":
        platform[rng.choice(UNANSWERED[:2])] = 0.5
    if mood == "limited":
        platform[Fault.RATE_LIMITED] = 0.3
    if stormy:
        for fault in Fault:
            if rng.random() < 0.6:
                platform[fault] = rng.choice([0.02, 0.06, 0.12])
    rooms_and_tokens = (Fault.ROOM_GONE, Fault.TOKEN_REVOKED)
    platform.update({f: min(platform[f], 0.03) for f in rooms_and_tokens if f in platform})
    hooked = mood == "hooks" or (stormy and rng.random() < 0.5)
    return Trouble(
        platform=platform,
        hooks=rng.choice([0.05, 0.2]) if hooked else 0.0,
        pure=rng.choice([0.0, 0.02]) if hooked else 0.0,
        sessions=rng.choice([0.0, 0.3, 0.6]) if hooked else 0.0,
        breaks=rng.choice([0.0, 0.2]) if mood in ("crashes", "storm") else 0.0,
        votes=rng.choice([0.0, 0.0, 0.1]),
        late=rng.choice([0.0, 0.05, 0.2]) if mood in ("one", "storm") else 0.0,
        unformatted=rng.choice([0.0, 0.1, 0.4]) if mood in ("one", "storm", "doubt") else 0.0,
        disk=_disk(rng, lasts) if outbox != "memory" and mood != "calm" else (),
        events=_events(rng, mood, lasts),
    )


def _weather(trouble: Trouble, seed: int, mood: str, lasts: float) -> Trouble:
    """In some worlds, add things that happen to a platform for a while; by an own generator."""
    rng = Random(f"weather:{seed}")
    if mood == "calm" or rng.random() < 0.7:
        return trouble
    found = _happenings(rng, WEATHER, lasts, rng.choice([1, 1, 2, 4]))
    return attrs.evolve(trouble, weather=tuple(sorted(found)))


def _happenings(
    rng: Random, kinds: Sequence[str], lasts: float, count: int
) -> list[tuple[float, str, int, float]]:
    """So many happenings of these kinds, each at its time and for a while."""
    return [
        (
            rng.randrange(int(lasts / GRID)) * GRID,
            rng.choice(kinds),
            rng.randrange(1000),
            rng.choice([0.5, 2.0, 5.0, 12.0]),
        )
        for _ in range(count)
    ]


def _disk(rng: Random, lasts: float) -> tuple[tuple[float, float], ...]:
    """When the disk is full, if ever."""
    if rng.random() < 0.6:
        return ()
    starts = sorted(rng.randrange(int(lasts / GRID)) * GRID for _ in range(rng.choice([1, 2])))
    return tuple((start, start + rng.choice([0.25, 1.0, 5.0])) for start in starts)


def _events(rng: Random, mood: str, lasts: float) -> tuple[tuple[float, str, int], ...]:
    if mood == "calm" or (mood != "crashes" and rng.random() < 0.5):
        return ()
    kinds = [
        "cancel", "raise", "revoke", "revoke", "suspend", "replace", "room", "move", "move",
        "remove", "jump",
    ]  # fmt: skip
    if mood == "crashes":
        kinds += ["cancel", "raise", "cancel", "raise", "cancel"]
    events = [
        (rng.randrange(int(lasts / GRID)) * GRID, rng.choice(kinds), rng.randrange(1000))
        for _ in range(rng.choice([1, 2, 4, 8]))
    ]
    return tuple(sorted(events))
