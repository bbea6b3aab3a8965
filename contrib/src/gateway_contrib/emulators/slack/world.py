"""Holds the state of the emulated Slack: tokens, conversations, messages, and the time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import attrs
import trio

from gateway_contrib.emulators.rooms import Message, Rooms
from gateway_contrib.emulators.screen import Screen
from gateway_contrib.emulators.slack.files.stored import Files
from gateway_contrib.emulators.slack.limits import SlackLimits
from gateway_contrib.emulators.slack.refusals import Refusal

TEAM = "T0EMULATOR"
EPOCH = 1_700_000_000
"""The POSIX time of the emulator's first moment; from then on, time follows the loop's clock."""

_TOKEN = re.compile(r"xox[a-z](?:\.xox[a-z])?-[\w-]+")
_ID = re.compile(r"[CGD][A-Z0-9]{2,}")
_USER = re.compile(r"[UW][A-Z0-9]{2,}")
_TEAM = re.compile(r"[TE][A-Z0-9]{2,}")
_TS = re.compile(r"\d{10}\.\d{6}")
_NAME = re.compile(r"#?[^\s#@<>,A-Z]{1,80}")

Arguments: TypeAlias = Mapping[str, Any]
Fields: TypeAlias = dict[str, Any]


def is_ts(value: Any) -> bool:
    """True if the value has the form of a `ts`."""
    return isinstance(value, str) and _TS.fullmatch(value) is not None


def is_user(value: Any) -> bool:
    """True if the value has the form of a user's id."""
    return isinstance(value, str) and _USER.fullmatch(value) is not None


def is_team(value: Any) -> bool:
    """True if the value has the form of a workspace's or an organization's id."""
    return isinstance(value, str) and _TEAM.fullmatch(value) is not None


@attrs.frozen
class Bot:
    """The bot that a token belongs to."""

    user_id: str
    bot_id: str
    name: str


@attrs.define(eq=False)
class Channel:
    """A conversation; `closed` is Slack's word for the reason why nothing can be posted there.

    `streams` is False if Slack does not accept streams in the conversation.
    """

    id: str
    name: str
    closed: str | None = None
    locked: set[str] = attrs.field(factory=set)
    streams: bool = True

    @property
    def private(self) -> bool:
        """True for a direct message."""
        return self.id.startswith("D")


class Clock:
    """Virtual time as Slack shows it, and `ts` values that are unique and only grow."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._last = EPOCH * 1_000_000

    def seconds(self) -> float:
        """Seconds since the first reading."""
        now = trio.current_time()
        if self._began is None:
            self._began = now
        return now - self._began

    def posix(self) -> float:
        """The POSIX time that Slack shows."""
        return EPOCH + self.seconds()

    def ts(self, moment: float | None = None) -> str:
        """A new `ts` for a moment on trio's clock, or for now; the first is `1700000000.000100`."""
        seconds = self.seconds()
        if moment is not None:
            seconds += moment - trio.current_time()
        now = EPOCH * 1_000_000 + int(seconds * 1_000_000)
        self._last = max(self._last + 100, now)
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"


class Directory:
    """Tokens and conversations. Every well-formed id is a conversation until it is removed."""

    def __init__(self, tokens: Collection[str] | None) -> None:
        self._known = None if tokens is None else set(tokens)
        self._refused: dict[str, str] = {}
        self._bots: dict[str, Bot] = {}
        self._refresh: dict[str, Bot] = {}
        self._issued = 0
        self._channels: dict[str, Channel] = {}
        self._names: dict[str, str] = {}
        self._groups: dict[tuple[str, ...], str] = {}

    def bot(self, token: str | None) -> Bot:
        """The bot that the token belongs to. Raises Refusal if the token is missing or invalid."""
        if not token:
            raise Refusal("not_authed")
        if token in self._refused:
            raise Refusal(self._refused[token])
        unknown = self._known is not None and token not in self._known
        if unknown or not _TOKEN.fullmatch(token):
            raise Refusal("invalid_auth")
        return self._bots.get(token) or self._enrol(token)

    def _enrol(self, token: str) -> Bot:
        number = len(set(self._bots.values())) + 1
        bot = Bot(f"U0BOT{number:04d}", f"B0BOT{number:04d}", f"bot{number}")
        self._bots[token] = bot
        return bot

    def refuse(self, token: str, error: str | None) -> None:
        """Answer the token with `error` from now on; None: accept the token again."""
        if error is None:
            self._refused.pop(token, None)
        else:
            self._refused[token] = error

    def grant(self, token: str) -> str:
        """A refresh token, valid once, for the bot of an access token."""
        return self._grant(self._bots.get(token) or self._enrol(token))

    def _grant(self, bot: Bot) -> str:
        self._issued += 1
        refresh = f"xoxe-1-refresh-{self._issued}"
        self._refresh[refresh] = bot
        return refresh

    def exchange(self, refresh: str) -> tuple[str, str, Bot]:
        """A new access token and the next refresh token. Raises Refusal if `refresh` is invalid."""
        bot = self._refresh.pop(refresh, None)
        if bot is None:
            raise Refusal("invalid_refresh_token")
        following = self._grant(bot)
        access = f"xoxe.xoxb-1-access-{self._issued}"
        self._bots[access] = bot
        if self._known is not None:
            self._known.add(access)
        return access, following, bot

    def channel(self, name: Any) -> Channel:
        """The conversation of an id, a name or a user. Raises Refusal `channel_not_found`."""
        if isinstance(name, str):
            if _ID.fullmatch(name):
                return self._opened(name)
            if _USER.fullmatch(name):
                return self._opened(f"D{name[1:]}")
            if _NAME.fullmatch(name):
                return self._named(name.removeprefix("#"))
        raise Refusal("channel_not_found")

    def direct(self, users: Collection[str]) -> tuple[Channel, bool]:
        """The direct message with these users, always the same one, and whether it was open."""
        people = sorted(set(users))
        name = f"D{people[0][1:]}" if len(people) == 1 else self._groups.get(tuple(people), "")
        if not name:
            name = self._groups[tuple(people)] = f"G0MPIM{len(self._groups) + 1:04d}"
        known = name in self._channels
        return self._opened(name), known

    def by_id(self, name: Any) -> Channel:
        """The conversation of an id; edits and deletes accept nothing else."""
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise Refusal("channel_not_found")
        return self._opened(name)

    def _opened(self, channel_id: str) -> Channel:
        return self._channels.setdefault(channel_id, Channel(channel_id, channel_id.lower()))

    def _named(self, name: str) -> Channel:
        channel_id = self._names.setdefault(name, f"C0NAMED{len(self._names) + 1:04d}")
        return self._channels.setdefault(channel_id, Channel(channel_id, name))


@attrs.define(eq=False)
class World:
    """The state that methods read and change; before they read it, work that is due is done."""

    directory: Directory
    _rooms: Rooms
    limits: SlackLimits
    counters: Counter[str]
    files: Files
    share_seconds: float
    clock: Clock = attrs.field(factory=Clock)
    screen: Screen = attrs.field(factory=Screen)
    ephemeral: list[Message] = attrs.field(factory=list)
    reactions: dict[tuple[str, str], list[tuple[str, str]]] = attrs.field(factory=dict)
    pins: dict[str, list[str]] = attrs.field(factory=dict)
    views: list[Any] = attrs.field(factory=list)
    _later: list[tuple[float, Callable[[float], None]]] = attrs.field(factory=list)
    _settling: bool = False

    @property
    def rooms(self) -> Rooms:
        """What arrived."""
        self.settle()
        return self._rooms

    def ts(self, moment: float | None = None) -> str:
        """A new `ts`, which is after every earlier one."""
        self.settle()
        return self.clock.ts(moment)

    def later(self, seconds: float, does: Callable[[float], None]) -> None:
        """Call `does` after so many seconds, with the moment at which the call was due."""
        self._later.append((trio.current_time() + seconds, does))
        self._later.sort(key=lambda due: due[0])

    def settle(self) -> None:
        """Make the calls that are due by now."""
        if self._settling:  # a call that is due reads the rooms, too
            return
        self._settling = True
        while self._later and self._later[0][0] <= trio.current_time():
            due, does = self._later.pop(0)
            does(due)
        self._settling = False


def opened(channel: Channel) -> Channel:
    """The channel. Raises Refusal if it is closed."""
    if channel.closed is not None:
        raise Refusal(channel.closed)
    return channel


def found(world: World, channel: Channel, ts: Any) -> Message:
    """The message with this `ts`. Raises Refusal `message_not_found`."""
    message = world.rooms.get(channel.id, ts) if isinstance(ts, str) else None
    if message is None or message.deleted:
        raise Refusal("message_not_found")
    return message
