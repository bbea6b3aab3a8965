"""The chats that a bot may meet: kinds, topics, members that left, groups that moved."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

from gateway_contrib.emulators.telegram.refusals import Refusal, bad_request

_NUMBER = re.compile(r"-?[0-9]{1,19}")
_NAME = re.compile(r"@[A-Za-z][A-Za-z0-9_]{3,31}")
_SUPERGROUPS = -(10**12)
"""Ids below are of supergroups and channels, those above of groups and, from 1 on, of people."""


@attrs.frozen
class Content:
    """What a message has besides its text: its author (a bot's id), entities and keyboard."""

    author: int
    entities: tuple[Mapping[str, Any], ...] = ()
    keyboard: Mapping[str, Any] | None = None
    previews: Mapping[str, Any] | None = None


@attrs.define(eq=False)
class Chat:
    """A chat: `room` is what it is addressed by, `id` its number.

    topics   the open ones by id, with their names; closed ones stand in `closed` too
    removed  why the bot may no longer write: a refusal, or None
    moved_to the supergroup that the group became
    contents message id -> what it has besides its text
    """

    room: str
    id: int
    topics: dict[str, str] = attrs.field(factory=dict)
    closed: set[str] = attrs.field(factory=set)
    pinned: list[str] = attrs.field(factory=list)
    reactions: dict[str, list[Any]] = attrs.field(factory=dict)
    contents: dict[str, Content] = attrs.field(factory=dict)
    removed: Refusal | None = None
    moved_to: str | None = None
    _last_id: int = 0

    @property
    def kind(self) -> str:
        """What `Chat.type` says."""
        if self.room.startswith("@"):
            return "channel"
        if self.id > 0:
            return "private"
        return "group" if self.id > _SUPERGROUPS else "supergroup"

    def next_id(self) -> str:
        """The id of the next message; they count up per chat."""
        self._last_id += 1
        return str(self._last_id)

    def described(self) -> dict[str, Any]:
        """The `Chat` object."""
        fields: dict[str, Any] = {"id": self.id, "type": self.kind}
        if self.kind == "private":
            return {**fields, "first_name": f"User {self.id}"}
        if self.kind == "channel":
            fields["username"] = self.room[1:]
        if self.topics:
            fields["is_forum"] = True
        return {**fields, "title": f"Chat {self.room}"}

    def check_topic(self, topic: str) -> None:
        """Raises `Refusal` unless the topic is there and open."""
        if topic not in self.topics:
            raise bad_request("message thread not found")
        if topic in self.closed:
            raise bad_request("TOPIC_CLOSED")


@attrs.define(eq=False)
class Chats:
    """All chats by room; each comes into being when it is first addressed."""

    _chats: dict[str, Chat] = attrs.field(factory=dict)
    _aliases: dict[int, str] = attrs.field(factory=dict)
    _named: Counter[str] = attrs.field(factory=Counter)

    def reach(self, address: str) -> Chat:
        """The chat of an address, for writing and reading. Raises `Refusal` where there is none."""
        chat = self.find(address)
        if chat.moved_to is not None:
            raise Refusal(
                400,
                "group chat was upgraded to a supergroup chat",
                {"migrate_to_chat_id": int(chat.moved_to)},
            )
        if chat.removed is not None:
            raise chat.removed
        return chat

    def find(self, address: str) -> Chat:
        """The chat of an address, whatever became of it."""
        room = self._room(address)
        if room not in self._chats:
            self._chats[room] = Chat(room, self._number(room))
            self._aliases[self._chats[room].id] = room
        return self._chats[room]

    def remove(self, address: str) -> None:
        """The bot is blocked (by a person) or kicked (from a group or channel)."""
        chat = self.find(address)
        kicked = f"bot was kicked from the {chat.kind} chat"
        chat.removed = Refusal(403, "bot was blocked by the user" if chat.id > 0 else kicked)

    def migrate(self, address: str) -> str:
        """The group becomes a supergroup; its new id."""
        chat = self.find(address)
        if chat.kind != "group":
            raise ValueError(f"{address} is a {chat.kind}; only groups become supergroups")
        chat.moved_to = str(_SUPERGROUPS + chat.id)
        return chat.moved_to

    def _room(self, address: str) -> str:
        if _NAME.fullmatch(address):
            return address.lower()
        number = int(address) if _NUMBER.fullmatch(address) else 0
        if number == 0:
            raise bad_request("chat not found")
        return self._aliases.get(number, str(number))

    def _number(self, room: str) -> int:
        if not room.startswith("@"):
            return int(room)
        self._named["channels"] += 1
        return _SUPERGROUPS - 10**9 - self._named["channels"]
