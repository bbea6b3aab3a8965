"""What the emulated Discord remembers: bots, channels, messages, nonces, interactions."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import trio

from gateway_contrib.emulators.discord.limits import DiscordLimits
from gateway_contrib.emulators.discord.markup import visible
from gateway_contrib.emulators.discord.refusals import coded, form
from gateway_contrib.emulators.discord.requests import Posted
from gateway_contrib.emulators.rooms import Message, Rooms

STARTED = 1_767_225_600.0
"""The POSIX time at which a virtual wall clock begins."""

DISCORD_EPOCH = 1_420_070_400.0
GUILD = "1000000000000000000"
INTERACTION_LIFE = 900.0  # Seconds that an interaction's token is good.

_FIRST_BOT = 1_100_000_000_000_000_000
_SNOWFLAKE = re.compile(r"[0-9]{1,20}")

Answer = tuple[int, Any]
"""Status and JSON; None: no content."""

NO_CONTENT: Answer = (204, None)


@attrs.frozen
class Bot:
    """An account: its id and name."""

    id: str
    name: str

    def wire(self) -> dict[str, Any]:
        """As Discord shows a user."""
        return {
            "id": self.id,
            "username": self.name,
            "discriminator": "0000",
            "global_name": None,
            "avatar": None,
            "bot": True,
        }


@attrs.define(eq=False)
class VirtualWall:
    """A wall clock that shows `STARTED` when it is first looked at, and goes on with trio's."""

    _began: float | None = attrs.field(default=None, init=False)

    def __call__(self) -> float:
        """The POSIX time, in seconds."""
        now = trio.current_time()
        if self._began is None:
            self._began = now
        return STARTED + now - self._began


@attrs.define(eq=False)
class Interaction:
    """Something a user did that a bot may answer: its id, its token, and the room."""

    id: str
    token: str
    room: str
    made_at: float
    application: str
    acknowledged: bool = False
    original: str | None = None


class World:
    """The state. Every method is synchronous; the time is trio's, `wall` the POSIX time shown."""

    def __init__(
        self, limits: DiscordLimits, counters: Counter[str], *, wall_clock: Callable[[], float]
    ) -> None:
        self.limits = limits
        self.wall = wall_clock
        self.counters = counters
        self.rooms = Rooms()
        self.closed: dict[str, int] = {}
        self.slow: dict[str, float] = {}
        self.reactions: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self.pins: dict[str, list[str]] = {}
        self.interactions: dict[str, Interaction] = {}
        self._bots: dict[str, Bot] = {}
        self._authors: dict[tuple[str, str], Bot] = {}
        self._nonces: dict[tuple[str, str, str], tuple[float, str]] = {}
        self._last_id = 0

    def next_id(self) -> str:
        """A new snowflake: unique, and greater than all before it."""
        made = int((self.wall() - DISCORD_EPOCH) * 1000) << 22
        self._last_id = max(made, self._last_id + 1)
        return str(self._last_id)

    def bot(self, token: str) -> Bot:
        """The account behind a token, always the same one."""
        number = len(self._bots) + 1
        return self._bots.setdefault(token, Bot(str(_FIRST_BOT + number), f"bot-{number}"))

    def open_channel(self, room: str) -> None:
        """Raise the refusal of a channel that is closed."""
        if room in self.closed:
            raise coded(self.closed[room])

    def wait_for_slow_mode(self, room: str) -> None:
        """Raise the refusal of a message that comes too early for the channel's slow mode."""
        there = self.rooms.all(room) if self.slow.get(room) else []
        wait = there[-1].stored_at + self.slow[room] - trio.current_time() if there else 0.0
        if wait > 0:
            self.counters["rate_limited"] += 1
            raise coded(20016, retry_after=round(wait, 3))

    def message(self, room: str, message_id: str) -> Message:
        """A message that is there. Raises Unknown Message."""
        message = self.rooms.get(room, message_id)
        if message is None or message.deleted:
            raise coded(10008)
        return message

    def author(self, message: Message) -> Bot:
        """Who wrote it."""
        return self._authors[message.room, message.id]

    def remembered(self, bot: Bot, room: str, nonce: str) -> Message | None:
        """The message that was made with this enforced nonce a short time ago."""
        oldest = trio.current_time() - self.limits.nonce_for
        while self._nonces:
            first = next(iter(self._nonces))
            if self._nonces[first][0] > oldest:
                break
            del self._nonces[first]
        made = self._nonces.get((bot.id, room, nonce))
        return self.rooms.get(room, made[1]) if made else None

    def store(self, bot: Bot, room: str, fields: dict[str, Any]) -> Message:
        """Make a message out of checked fields."""
        now = trio.current_time()
        reference = fields.get("message_reference") or {}
        message = Message(
            id=self.next_id(),
            room=room,
            text=visible(fields.get("content") or ""),
            reply_to=reference.get("message_id"),
            fields={**fields, "timestamp": self.timestamp()},
            stored_at=now,
        )
        self.rooms.add(message)
        self._authors[room, message.id] = bot
        if fields.get("enforce_nonce") and fields.get("nonce") is not None:
            self._nonces[bot.id, room, str(fields["nonce"])] = (now, message.id)
        self.counters["stored"] += 1
        return message

    def change(self, message: Message, fields: dict[str, Any]) -> Message:
        """Edit a message with checked fields."""
        message.revisions.append(message.text)
        message.fields |= {**fields, "edited_timestamp": self.timestamp()}
        message.text = visible(message.fields.get("content") or "")
        message.edited_at = trio.current_time()
        self.counters["edited"] += 1
        return message

    def remove(self, message: Message) -> None:
        """Delete a message."""
        message.deleted = True
        self.counters["deleted"] += 1

    def timestamp(self) -> str:
        """Now, as Discord writes it."""
        return dt.datetime.fromtimestamp(self.wall(), dt.UTC).isoformat()

    def interaction(self, room: str) -> Interaction:
        """A user presses something in a room: what a bot may answer for a quarter of an hour."""
        made = self.next_id()
        token = f"interaction-{made}"
        entry = Interaction(made, token, room, trio.current_time(), application=str(_FIRST_BOT))
        self.interactions[token] = entry
        return entry

    def live_interaction(self, token: str) -> Interaction | None:
        """The interaction of a token that is still good."""
        entry = self.interactions.get(token)
        if entry is None or trio.current_time() - entry.made_at > INTERACTION_LIFE:
            return None
        return entry


def room_of(world: World, posted: Posted) -> str:
    """The channel of the path, if the bot may use it."""
    room = posted.path["channel"]
    if not _SNOWFLAKE.fullmatch(room):
        raise form("channel_id", "NUMBER_TYPE_COERCE", f'Value "{room}" is not snowflake.')
    world.open_channel(room)
    return room


def message_wire(world: World, message: Message) -> dict[str, Any]:
    """A message as Discord's API shows it."""
    fields = message.fields
    reference = fields.get("message_reference")
    return {
        "id": message.id,
        "channel_id": message.room,
        "type": 19 if reference else 0,
        "author": world.author(message).wire(),
        "content": fields.get("content") or "",
        "timestamp": fields["timestamp"],
        "edited_timestamp": fields.get("edited_timestamp"),
        "tts": bool(fields.get("tts")),
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": fields.get("embeds") or [],
        "components": fields.get("components") or [],
        "flags": fields.get("flags") or 0,
        "pinned": message.id in world.pins.get(message.room, ()),
        **({"nonce": fields["nonce"]} if fields.get("nonce") is not None else {}),
        **({"message_reference": {"channel_id": message.room, **reference}} if reference else {}),
    }
