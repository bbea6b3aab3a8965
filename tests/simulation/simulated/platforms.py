"""Mounts a world's emulated platforms in its network, with latency, late requests and a trace."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
import httpx2
import trio
from simulated.connections import DEATHS, Wires
from simulated.drawing import Place, Setup, emulated_limits
from simulated.lives import check
from simulated.ports import Ports
from simulated.uploads import UploadFaults, answer_of, cut_off, silent, stage_of

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
    "telegram": (
        "sendMessage",
        "editMessageText",
        "sendPhoto",
        "sendDocument",
        "sendMediaGroup",
        "editMessageCaption",
        "editMessageMedia",
    ),
    "slack": ("chat.postMessage", "chat.update", "files.completeUploadExternal"),
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
"""The platforms' refusals of formatting; nothing is stored then."""


REFUSALS: Mapping[str, Callable[[float], tuple[int, Any, Mapping[str, str]]]] = {
    "telegram": lambda wait: (
        429,
        {
            "ok": False,
            "error_code": 429,
            "description": f"Too Many Requests: retry after {wait:.0f}",
            "parameters": {"retry_after": math.ceil(wait)},
        },
        {},
    ),
    "slack": lambda wait: (
        429,
        {"ok": False, "error": "ratelimited"},
        {"retry-after": f"{math.ceil(wait)}"},
    ),
    "discord": lambda wait: (
        429,
        {"message": "You are being rate limited.", "retry_after": wait, "global": wait > FLOOD},
        {"retry-after": f"{math.ceil(wait)}", "x-ratelimit-scope": "shared", "via": "1.1 google"},
    ),
}
"""A refusal that says how many seconds to wait."""
PAGE = (403, "<html><title>Access denied</title>error code: 1020</html>", {})
"""The answer of somebody else in front of a platform."""
FLOOD, LIE = 1.0, 100_000.0
"""Seconds that a flood's refusals name, and a number of seconds that makes no sense."""


@attrs.define(eq=False)
class Sky:
    """What happens to one platform for a while; each attribute is the time until when.

    strict  rooms take one message in 3 s, and refuse others until then
    resets  connections that are used again are reset
    lies    how many requests are still told to wait for a day
    """

    channel: str
    outage: float = 0.0
    stall: float = 0.0
    flood: float = 0.0
    page: float = 0.0
    strict: float = 0.0
    resets: float = 0.0
    lies: int = 0
    _free: dict[bytes, float] = attrs.field(factory=dict)

    def begin(self, what: str, until: float, which: int) -> None:
        """Let something happen until then."""
        if what == "lies":
            self.lies = 1 + which % 3
        else:
            setattr(self, what, max(getattr(self, what), until))

    def clear(self) -> None:
        """End everything that happens."""
        self.outage = self.stall = self.flood = self.page = self.strict = self.resets = 0.0
        self.lies = 0

    def held(self) -> float:
        """Seconds that a request is held up on its way."""
        return max(0.0, self.stall - trio.current_time())

    def answer(self, room: bytes) -> tuple[int, Any, Mapping[str, str]] | None:
        """The answer that replaces the platform's to a request that would change a room."""
        now = trio.current_time()
        if now < self.page:
            return PAGE
        if self.lies:
            self.lies -= 1
            return REFUSALS[self.channel](LIE)
        if now < self.flood:
            return REFUSALS[self.channel](FLOOD)
        if now < self.strict and now < self._free.get(room, 0.0):
            return REFUSALS[self.channel](self._free[room] - now)
        self._free[room] = now + 3.0
        return None


class Platforms:
    """The emulators, by address; `of` returns an instance's emulator."""

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
        self.skies = {url: Sky(channel) for url, channel in channels.items()}
        self.wires: Wires | None = None
        self.late_until = 0.0
        self.uploads = UploadFaults(ports)
        self._take_files()
        self._topics()

    def _take_files(self) -> None:
        """Let Slack give out addresses of its own for bytes, and show files after a while."""
        drawn = self._setup.files
        for url, emulator in self.emulators.items():
            if drawn is not None and self._channels[url] == "slack":
                emulator.files_url = url.removesuffix("/api")
                emulator.share_after(drawn.share_after)

    def of(self, instance_id: str) -> Any:
        """The emulator of the platform on which an instance is an account."""
        return self.emulators[self.instances[instance_id].settings.base_url]

    def renewed(self, instance_id: str) -> Instance:
        """The instance with the settings that are valid from now on.

        On Telegram, it gets another token of the same bot; elsewhere, another token is another bot.
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
        """Create the topics, which must exist before anything can be sent to them."""
        self.topics: dict[str, str] = {}
        self._gone: set[str] = set()
        for place in self._setup.places:
            if place.channel == "telegram" and place.thread is not None:
                self.topics[place.room] = self.of(place.instance).create_topic(place.room)

    def mount(self, network: Network) -> None:
        """Let every emulator answer at its address."""
        for url, emulator in self.emulators.items():
            app = self._watched(self._channels[url], emulator.app, self.skies[url])
            latency, connect = partial(self._latency, url), partial(self._connect, url)
            network.mount(url, app, latency=latency, connect=connect)

    def begin(self, what: str, which: int, url: str, until: float) -> None:
        """Let something happen to a platform until then."""
        if what != "cut":
            self.skies[url].begin(what, until, which)
        elif self.wires is not None:
            self.wires.cut(url, DEATHS[which % len(DEATHS)])

    def _connect(self, url: str) -> float:
        """Seconds until a connection is open. Raises ConnectError in an outage."""
        if trio.current_time() < self.skies[url].outage:
            raise httpx2.ConnectError("connection refused")
        return 0.0

    def _latency(self, url: str) -> tuple[float, float]:
        """Seconds on the way there and back; a late request is late on its way there."""
        check()  # the last moment before a request leaves
        rng = self._network
        up, down = rng.choice(self._setup.latency), rng.choice(self._setup.latency)
        late = self._setup.trouble.late
        if late and self._ports.on and rng.random() < late:
            self._ports.ledger.faults += 1
            up += rng.choice(LATE)
            self.late_until = max(self.late_until, trio.current_time() + up)
        return up + self.skies[url].held(), down

    def _watched(self, channel: str, app: Any, sky: Sky) -> Any:
        note, passed = self._ports.ledger.note, self._ports.passed

        async def watched(scope: Any, receive: Any, send: Any) -> None:
            what = scope["path"].rpartition("/")[2] if channel == "telegram" else scope["path"]
            note("request", channel, scope["method"], what)

            async def told(event: Any) -> None:
                if event["type"] == "http.response.start":
                    note("answer", channel, event["status"])
                await send(event)

            await passed()
            stage = stage_of(channel, scope, what)
            fault = None if stage is None else self.uploads.next(channel, stage)
            if stage is not None and fault is not None:
                await self._upload_fails(app, channel, stage, fault)(scope, receive, told)
                return
            instead = None
            if self._writes(channel, scope["method"], what):
                event = await receive()
                instead = sky.answer(_room_of(channel, scope["path"], event.get("body", b"")))
                receive = _again(event, receive)
            if instead is not None:
                await _said(told, *instead)
            elif self._refuses(channel, scope["method"], what):
                await _refused(channel, told)
            else:
                await app(scope, receive, told)

        return watched

    def _upload_fails(self, app: Any, channel: str, stage: str, fault: str) -> Any:
        """An application that lets a request of an upload fail in this way."""

        async def failed(scope: Any, receive: Any, send: Any) -> None:
            instead = answer_of(channel, stage, fault)
            if instead is not None:
                await _said(send, *instead)
            elif fault == "lost":
                await app(scope, receive, silent)
                cut_off(scope)
            else:
                await self._shown_nowhere(app, scope, receive, send)

        return failed

    async def _shown_nowhere(self, app: Any, scope: Any, receive: Any, send: Any) -> None:
        """Let Slack take the files, and never show them; on other platforms, change nothing."""
        host = dict(scope["headers"]).get(b"host", b"").decode()
        emulator = next((e for url, e in self.emulators.items() if f"//{host}/" in url), None)
        if emulator is None or self._setup.files is None or not hasattr(emulator, "share_after"):
            await app(scope, receive, send)
            return
        emulator.share_after(math.inf)
        try:
            await app(scope, receive, send)
        finally:
            emulator.share_after(self._setup.files.share_after)

    def lose_room(self, place: Place) -> None:
        """Let a room be gone for good."""
        self._gone.add(place.room)
        self.of(place.instance).remove_room(place.room)

    def may_be_unshown(self, envelope: Any) -> bool:
        """Whether files that Slack took may be nowhere, though their message is delivered.

        The room went before Slack showed them, and the gateway's look for them was refused; or
        Slack never shows them, and the token was revoked as the gateway looked.
        """
        of_slack = envelope.instance_id.startswith("slack") and bool(envelope.files)
        revoked = any(what == "revoke" for _, what, *_ in self._setup.trouble.events)
        gone = envelope.external_room_id in self._gone
        refused = gone and (self.uploads.blind or revoked)
        return of_slack and (refused or (revoked and self.uploads.hidden))

    def _refuses(self, channel: str, method: str, what: str) -> bool:
        """Whether the platform refuses the formatting, or the length, this time."""
        share = self._setup.trouble.unformatted
        if not share or not self._writes(channel, method, what) or not self._ports.on:
            return False
        refused = self._formatting.random() < share
        self._ports.ledger.faults += refused
        return refused

    @staticmethod
    def _writes(channel: str, method: str, what: str) -> bool:
        """Whether the request makes or changes a message."""
        return any(name in what for name in WRITES[channel]) and method in ("POST", "PATCH")

    def stop(self) -> None:
        """Inject no more faults, and make every token valid again."""
        for sky in self.skies.values():
            sky.clear()
        for plan in self.plans.values():
            plan.stop()
        for instance in self.instances.values():
            self.of(instance.id).restore(instance.settings.token.reveal())

    @property
    def faults(self) -> int:
        """How many faults were injected."""
        return sum(plan.counts.total() for plan in self.plans.values())

    def messages(self) -> list[Message]:
        """Every message that was ever stored, deleted or not."""
        return [
            message
            for emulator in self.emulators.values()
            for room in emulator.rooms.names()
            for message in emulator.rooms.all(room)
        ]


def _room_of(channel: str, path: str, body: bytes) -> bytes:
    """What a request says of its room, which is enough to tell rooms apart."""
    if channel == "discord":
        return path.encode()
    field = b"chat_id" if channel == "telegram" else b"channel"
    _, _, after = body.partition(field)
    return after[:20]


def _again(first: Any, receive: Any) -> Any:
    """A `receive` that first gives an event that was received already."""
    events = [first]

    async def received() -> Any:
        return events.pop() if events else await receive()

    return received


async def _refused(channel: str, send: Any) -> None:
    await _said(send, *UNFORMATTED[channel], {})


async def _said(send: Any, status: int, body: Any, headers: Mapping[str, str]) -> None:
    kind = b"text/html" if isinstance(body, str) else b"application/json"
    raw = body if isinstance(body, str) else json.dumps(body)
    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    start = {"status": status, "headers": [(b"content-type", kind), *named]}
    await send({"type": "http.response.start", **start})
    await send({"type": "http.response.body", "body": raw.encode()})
