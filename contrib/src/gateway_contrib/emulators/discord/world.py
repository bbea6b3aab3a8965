"""Holds the state of the emulated Discord: bots, channels, messages, nonces, interactions."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import trio

from gateway_contrib.emulators.discord.attachments import New, file_of
from gateway_contrib.emulators.discord.beside.polls import USUAL_HOURS, poll_wire
from gateway_contrib.emulators.discord.interactions.buttons import shown
from gateway_contrib.emulators.discord.interactions.entries import Interaction
from gateway_contrib.emulators.discord.limits import DiscordLimits
from gateway_contrib.emulators.discord.markup import visible
from gateway_contrib.emulators.discord.refusals import coded, form
from gateway_contrib.emulators.discord.requests import Posted
from gateway_contrib.emulators.files.store import File, FileStore
from gateway_contrib.emulators.rooms import Message, Rooms
from gateway_contrib.emulators.screen import Screen, Sight

STARTED = 1_767_225_600.0
"""The POSIX time at which a virtual wall clock begins."""

DISCORD_EPOCH = 1_420_070_400.0
GUILD = "1000000000000000000"
CDN_URL = "https://cdn.discordapp.com"

_CANNOT_SEND = 50007
_FIRST_BOT = 1_100_000_000_000_000_000
_SNOWFLAKE = re.compile(r"[0-9]{1,20}")

Answer = tuple[int, Any]
"""Status and JSON; None: no content."""

NO_CONTENT: Answer = (204, None)


@attrs.frozen
class Bot:
    """An account: its id and name. `person`: it is a person's account, not a bot's."""

    id: str
    name: str
    person: bool = False

    def wire(self) -> dict[str, Any]:
        """The account as Discord shows a user."""
        return {
            "id": self.id,
            "username": self.name,
            "discriminator": "0000",
            "global_name": None,
            "avatar": None,
            "bot": not self.person,
        }


@attrs.define(eq=False)
class VirtualWall:
    """A wall clock that shows `STARTED` when it is first read, and then follows trio's clock."""

    _began: float | None = attrs.field(default=None, init=False)

    def __call__(self) -> float:
        """The POSIX time, in seconds."""
        now = trio.current_time()
        if self._began is None:
            self._began = now
        return STARTED + now - self._began


@attrs.frozen(kw_only=True)
class Webhook:
    """An incoming webhook into a channel."""

    id: str
    token: str
    room: str
    name: str = "webhook"
    removed: bool = False


class World:
    """The state. No method waits. Times are on trio's clock; `wall` gives the shown POSIX time."""

    def __init__(
        self,
        limits: DiscordLimits,
        counters: Counter[str],
        *,
        wall_clock: Callable[[], float],
        files: FileStore,
    ) -> None:
        self.limits = limits
        self.wall = wall_clock
        self.files = files
        self.attached: dict[str, File] = {}
        self.cdn_url = CDN_URL
        self.gateway_url = "wss://127.0.0.1/none"
        self.counters = counters
        self.rooms = Rooms()
        self.hidden = Rooms()
        self.screen = Screen()
        self.closed: dict[str, int] = {}
        self.slow: dict[str, float] = {}
        self.reactions: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self.pins: dict[str, list[str]] = {}
        self.interactions: dict[str, Interaction] = {}
        self.webhooks: dict[str, Webhook] = {}
        self.direct: dict[str, str] = {}
        self._bots: dict[str, Bot] = {}
        self._authors: dict[tuple[str, str], Bot] = {}
        self._nonces: dict[tuple[str, str, str], tuple[float, str]] = {}
        self._direct: dict[tuple[str, str], str] = {}
        self.refusing: set[str] = set()
        self._last_id = 0

    def next_id(self) -> str:
        """A new snowflake: unique, and greater than all before it."""
        made = int((self.wall() - DISCORD_EPOCH) * 1000) << 22
        self._last_id = max(made, self._last_id + 1)
        return str(self._last_id)

    def bot(self, token: str) -> Bot:
        """The account of a token, always the same account."""
        number = len(self._bots) + 1
        return self._bots.setdefault(token, Bot(str(_FIRST_BOT + number), f"bot-{number}"))

    @property
    def first_application(self) -> str:
        """The id of the application whose bot was the first to log in, or will be."""
        return str(_FIRST_BOT + 1)

    def application(self, number: str) -> Bot:
        """The bot of an application: both have the same id."""
        made = (bot for bot in self._bots.values() if bot.id == number)
        return next(made, Bot(number, f"bot-{int(number) - _FIRST_BOT}"))

    def direct_channel(self, bot: Bot, user: str) -> str:
        """The direct message of a bot with a user: always the same channel."""
        made = self._direct.get((bot.id, user))
        if made is None:
            made = self._direct[bot.id, user] = self.next_id()
            self.direct[made] = user
            if user in self.refusing:
                self.closed[made] = _CANNOT_SEND
        return made

    def open_channel(self, room: str) -> None:
        """Raise the channel's refusal if the channel is closed."""
        if room in self.closed:
            raise coded(self.closed[room])

    def wait_for_slow_mode(self, room: str) -> None:
        """Raise a refusal if a message comes too early for the channel's slow mode."""
        there = self.rooms.all(room) if self.slow.get(room) else []
        wait = there[-1].stored_at + self.slow[room] - trio.current_time() if there else 0.0
        if wait > 0:
            self.counters["rate_limited"] += 1
            raise coded(20016, retry_after=round(wait, 3))

    def message(self, room: str, message_id: str) -> Message:
        """The message with this id, if it is not deleted. Raises Unknown Message."""
        message = self.rooms.get(room, message_id)
        if message is None or message.deleted:
            raise coded(10008)
        return message

    def author(self, message: Message) -> Bot:
        """The account that wrote the message."""
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
        """Make a message of checked fields, and let everybody see it."""
        message = self.make(bot, room, fields)
        self.place(message)
        if fields.get("enforce_nonce") and fields.get("nonce") is not None:
            key = (bot.id, room, str(fields["nonce"]))
            self._nonces[key] = (message.stored_at, message.id)
        return message

    def make(self, author: Bot, room: str, fields: dict[str, Any]) -> Message:
        """A message of checked fields, which nobody sees yet."""
        reference = fields.get("message_reference") or {}
        message = Message(
            id=self.next_id(),
            room=room,
            text=visible(fields.get("content") or ""),
            reply_to=reference.get("message_id"),
            fields={**fields, "timestamp": self.timestamp()},
            stored_at=trio.current_time(),
        )
        self._authors[room, message.id] = author
        self.attach(message)
        return message

    def attach(self, message: Message) -> None:
        """Store the new files in a message's fields; `attached` has each file by its id.

        The message's buttons are set from its fields, too.
        """
        message.buttons = shown(message.fields.get("components"))
        base = f"{self.cdn_url}/attachments/{message.room}"
        wires = []
        for one in message.fields.get("attachments") or ():
            wire = one
            if isinstance(one, New):
                wire = one.wire(self.next_id(), base)
                digest = self.files.put(one.upload.data)
                self.attached[wire["id"]] = file_of(wire, digest)
            wires.append(wire)
        message.fields["attachments"] = wires
        message.files = tuple(file_of(w, self.attached[w["id"]].digest) for w in wires)

    def place(self, message: Message, *, user: str | None = None) -> None:
        """Let everybody in the room see a message, or only `user`; hide its author's typing."""
        if user is None:
            self.rooms.add(message)
        else:
            self.hidden.add(message)
            sight = Sight(what="ephemeral", room=message.room, text=message.text, user=user)
            self.screen.show(("ephemeral", message.id), sight)
        self.screen.hide(("typing", self.author(message).id, message.room))
        self.counters["stored"] += 1

    def anywhere(self, room: str, message_id: str) -> Message | None:
        """The message, whether ephemeral or not."""
        return self.rooms.get(room, message_id) or self.hidden.get(room, message_id)

    def change(self, message: Message, fields: dict[str, Any]) -> Message:
        """Edit a message with checked fields."""
        message.fields |= {**fields, "edited_timestamp": self.timestamp()}
        self.attach(message)
        message.revise(visible(message.fields.get("content") or ""))
        message.edited_at = trio.current_time()
        sight = self.screen.at(("ephemeral", message.id))
        if sight is not None:
            again = attrs.evolve(sight, text=message.text, since=message.edited_at)
            self.screen.show(("ephemeral", message.id), again)
        self.counters["edited"] += 1
        return message

    def remove(self, message: Message) -> None:
        """Delete a message."""
        message.deleted = True
        self.screen.hide(("ephemeral", message.id))
        self.counters["deleted"] += 1

    def timestamp(self) -> str:
        """The present time, as Discord writes it."""
        return dt.datetime.fromtimestamp(self.wall(), dt.UTC).isoformat()


def room_of(world: World, posted: Posted) -> str:
    """The channel of the path, if the bot may use it."""
    room = posted.path["channel"]
    if not _SNOWFLAKE.fullmatch(room):
        raise form("channel_id", "NUMBER_TYPE_COERCE", f'Value "{room}" is not snowflake.')
    world.open_channel(room)
    return room


def channel_wire(world: World, room: str) -> dict[str, Any]:
    """A channel as Discord's API shows it: a channel of the only guild, or a direct message."""
    user = world.direct.get(room)
    if user is not None:
        person = Bot(user, f"user-{user}", person=True)
        return {"id": room, "type": 1, "last_message_id": None, "recipients": [person.wire()]}
    return {
        "id": room,
        "type": 0,
        "guild_id": GUILD,
        "name": f"room-{room}",
        "position": 0,
        "permission_overwrites": [],
        "nsfw": False,
        "parent_id": None,
        "topic": None,
        "last_message_id": None,
        "rate_limit_per_user": 0,
    }


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
        "attachments": fields["attachments"],
        "embeds": fields.get("embeds") or [],
        "components": fields.get("components") or [],
        "flags": fields.get("flags") or 0,
        "pinned": message.id in world.pins.get(message.room, ()),
        **_poll(fields),
        **({"webhook_id": fields["webhook_id"]} if fields.get("webhook_id") else {}),
        **({"nonce": fields["nonce"]} if fields.get("nonce") is not None else {}),
        **({"message_reference": {"channel_id": message.room, **reference}} if reference else {}),
    }


def _poll(fields: dict[str, Any]) -> dict[str, Any]:
    poll = fields.get("poll")
    if not poll:
        return {}
    hours = dt.timedelta(hours=poll.get("duration") or USUAL_HOURS)
    ends = dt.datetime.fromisoformat(fields["timestamp"]) + hours
    return {"poll": poll_wire(poll, ends.isoformat())}
