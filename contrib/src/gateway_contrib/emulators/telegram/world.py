"""Holds the state of the emulated Telegram: bots, chats, messages, topics, bots' allowances."""

from __future__ import annotations

import base64
import hashlib
import math
import mimetypes
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs
import trio

from gateway_contrib.emulators.files.store import File, FileStore
from gateway_contrib.emulators.rooms import Message, Rooms
from gateway_contrib.emulators.screen import Screen
from gateway_contrib.emulators.telegram.limits import Allowance, TelegramLimits
from gateway_contrib.emulators.telegram.media.kinds import KINDS, Media, Page
from gateway_contrib.emulators.telegram.refusals import Refusal, bad_request, flood
from gateway_contrib.emulators.telegram.requests import Parameters

_NUMBER = re.compile(r"-?[0-9]{1,19}")
_NAME = re.compile(r"@[A-Za-z][A-Za-z0-9_]{3,31}")
_SUPERGROUPS = -(10**12)
"""Smaller ids are supergroups and channels; larger ids are groups and, from 1 on, people."""

EPOCH = 1_767_225_600
"""POSIX time at which the emulator's clock stands at 0: the beginning of 2026."""


@attrs.frozen
class Bot:
    """The account that makes a request."""

    id: int

    def described(self) -> dict[str, Any]:
        """The `User` object."""
        return {
            "id": self.id,
            "is_bot": True,
            "first_name": f"Bot {self.id}",
            "username": f"emulated_{self.id}_bot",
        }


@attrs.frozen
class Content:
    """What a message has besides its text: its author, entities, keyboard, and other content.

    person  the author is a person, not a bot
    media   its file; the text is then the file's caption
    album   the `media_group_id`
    above   the caption stands above the file
    other   content that is neither a text nor a file, such as a poll or a location, by its
            field; the text is then what people read
    """

    author: int
    entities: tuple[Mapping[str, Any], ...] = ()
    keyboard: Mapping[str, Any] | None = None
    previews: Mapping[str, Any] | None = None
    person: bool = False
    media: Media | None = None
    album: str | None = None
    above: bool = False
    other: Mapping[str, Any] | None = None


def person(number: int) -> dict[str, Any]:
    """The `User` object of a person."""
    return {"id": number, "is_bot": False, "first_name": f"User {number}"}


@attrs.define(eq=False)
class Chat:
    """A chat: `room` is its address, `id` its number.

    topics     topic id -> name; closed topics are in `closed`, too
    removed    the refusal if the bot may no longer write; else None
    moved_to   the supergroup that the group became
    contents   message id -> what the message has besides its text
    notified   the messages about whose pin the members were notified
    broadcast  it is a channel; a chat with a name always is
    """

    room: str
    id: int
    topics: dict[str, str] = attrs.field(factory=dict)
    closed: set[str] = attrs.field(factory=set)
    pinned: list[str] = attrs.field(factory=list)
    notified: list[str] = attrs.field(factory=list)
    reactions: dict[str, list[Any]] = attrs.field(factory=dict)
    contents: dict[str, Content] = attrs.field(factory=dict)
    removed: Refusal | None = None
    moved_to: str | None = None
    broadcast: bool = False
    _last_id: int = 0

    @property
    def kind(self) -> str:
        """The value of `Chat.type`."""
        if self.broadcast or self.room.startswith("@"):
            return "channel"
        if self.id > 0:
            return "private"
        return "group" if self.id > _SUPERGROUPS else "supergroup"

    def next_id(self) -> str:
        """The id of the next message; ids count up per chat."""
        self._last_id += 1
        return str(self._last_id)

    def described(self) -> dict[str, Any]:
        """The `Chat` object."""
        fields: dict[str, Any] = {"id": self.id, "type": self.kind}
        if self.kind == "private":
            return {**fields, "first_name": f"User {self.id}"}
        if self.room.startswith("@"):
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
        """The chat of an address, for writing and reading. Raises `Refusal` if there is none."""
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
        """The chat of an address, even if the chat has moved or refuses the bot."""
        room = self._room(address)
        if room not in self._chats:
            self._chats[room] = Chat(room, self._number(room))
            self._aliases[self._chats[room].id] = room
        return self._chats[room]

    def remove(self, address: str) -> None:
        """Let a person block the bot, or a group or channel kick the bot."""
        chat = self.find(address)
        kicked = f"bot was kicked from the {chat.kind} chat"
        chat.removed = Refusal(403, "bot was blocked by the user" if chat.id > 0 else kicked)

    def migrate(self, address: str) -> str:
        """Turn the group into a supergroup; returns its new id."""
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


@attrs.define(eq=False)
class World:
    """The state of one emulated Telegram.

    media      every file for which a bot has a `file_id`, by that id
    downloads  the files that a bot may download, by the bot and the path
    web        what is at an address; None: the address cannot be reached
    """

    limits: TelegramLimits
    rooms: Rooms = attrs.field(factory=Rooms)
    screen: Screen = attrs.field(factory=Screen)
    chats: Chats = attrs.field(factory=Chats)
    counters: Counter[str] = attrs.field(factory=Counter)
    files: FileStore = attrs.field(factory=FileStore)
    media: dict[str, Media] = attrs.field(factory=dict)
    web: dict[str, Page | None] = attrs.field(factory=dict)
    downloads: dict[tuple[int, str], File] = attrs.field(factory=dict)
    _paths: dict[str, str] = attrs.field(factory=dict)
    _made: Counter[str] = attrs.field(factory=Counter)
    _allowances: dict[int, Allowance] = attrs.field(factory=dict)

    def chat(self, parameters: Parameters) -> Chat:
        """The chat that `chat_id` names. Raises `Refusal`."""
        address = parameters.text("chat_id")
        if not address:
            raise bad_request("chat_id is empty")
        return self.chats.reach(address)

    def message(self, chat: Chat, parameters: Parameters, verb: str) -> Message:
        """The message that `message_id` names. Raises `Refusal`, whose words have the verb."""
        number = parameters.integer("message_id")
        if number <= 0:
            raise bad_request("message identifier is not specified")
        message = self.rooms.get(chat.room, str(number))
        if message is None or message.deleted:
            raise bad_request(f"message to {verb} not found")
        return message

    def media_of(self, bot: Bot, kind: str, file: File, said: Mapping[str, Any]) -> Media:
        """A file as a bot will know it, once it is in a message."""
        same = file.digest or file.url
        self._made["media"] += 1  # each upload has an id of its own, with its own name
        made = hashlib.sha256(f"{bot.id}:{kind}:{same}:{self._made['media']}".encode())
        unique = base64.urlsafe_b64encode(hashlib.sha256(same.encode()).digest()[:9])
        return Media(
            id=base64.urlsafe_b64encode(made.digest()).decode().rstrip("="),
            unique=unique.decode(),
            bot=bot.id,
            kind=kind,
            file=file,
            said=said,
        )

    def known(self, content: Content) -> Content:
        """The content of a stored message; from now on, the message's bot knows the file."""
        if content.media is not None:
            self.media.setdefault(content.media.id, content.media)
        return content

    def path_of(self, media: Media) -> str:
        """The path at which a bot can download the file from now on."""
        if media.id not in self._paths:
            suffix = mimetypes.guess_extension(media.file.media_type) or ""
            path = f"{KINDS[media.kind].folder}/file_{len(self._paths)}{suffix}"
            self._paths[media.id] = path
            self.downloads[media.bot, path] = media.file
        return self._paths[media.id]

    def next_album(self) -> str:
        """A new `media_group_id`."""
        self._made["albums"] += 1
        return str(13_000_000_000_000_000 + self._made["albums"])

    def admit(self, bot: Bot, chat: Chat | None, count: int = 1) -> None:
        """Count writes for the bot and the chat; no chat: for the bot only. Raises `Refusal`."""
        room = None if chat is None else chat.room
        self._check(self._allowance(bot).take(room, trio.current_time(), count))

    def admit_edit(self, bot: Bot, chat: Chat) -> None:
        """Count an edit, unless drafts have closed the chat to it. Raises `Refusal`."""
        self._check(self._allowance(bot).flooded(chat.room, trio.current_time()))
        self.admit(bot, chat)

    def admit_draft(self, bot: Bot, chat: Chat) -> None:
        """Count a draft; an early one closes the chat to drafts and edits. Raises `Refusal`."""
        self._check(self._allowance(bot).take_draft(chat.room, trio.current_time()))

    def _allowance(self, bot: Bot) -> Allowance:
        return self._allowances.setdefault(bot.id, Allowance(self.limits))

    def _check(self, wait: float) -> None:
        if wait > 0:
            self.counters["rate_limited"] += 1
            raise flood(math.ceil(wait))

    def shown(self, chat: Chat, message: Message) -> dict[str, Any]:
        """The `Message` object; a message that it replies to is shown without its own reply."""
        replied = message.reply_to and self.rooms.get(chat.room, message.reply_to)
        shown = self._alone(chat, message)
        return {**shown, "reply_to_message": self._alone(chat, replied)} if replied else shown

    def _alone(self, chat: Chat, message: Message) -> dict[str, Any]:
        content = chat.contents[message.id]
        fields = {
            "message_id": int(message.id),
            "from": person(content.author) if content.person else Bot(content.author).described(),
            "chat": chat.described(),
            "date": _posix(message.stored_at),
            "edit_date": None if message.edited_at is None else _posix(message.edited_at),
            "message_thread_id": int(message.thread) if message.thread else None,
            "is_topic_message": True if message.thread else None,
            **_shown_text(message.text, content),
            "reply_markup": _inline(content),
            "link_preview_options": content.previews,
        }
        return {name: value for name, value in fields.items() if value is not None}


def _posix(moment: float) -> int:
    return EPOCH + int(moment)


def _shown_text(text: str, content: Content) -> dict[str, Any]:
    """The text with its entities, or the file with its caption, or the other content."""
    if content.other is not None:
        return dict(content.other)
    entities = list(content.entities) or None
    if content.media is None:
        return {"text": text, "entities": entities}
    return {
        **content.media.shown(),
        "caption": text or None,
        "caption_entities": entities,
        "media_group_id": content.album,
        "has_media_spoiler": content.media.file.spoiler or None,
        "show_caption_above_media": content.above or None,
    }


def _inline(content: Content) -> Mapping[str, Any] | None:
    """Only inline keyboards are shown with the message; others belong to the chat."""
    keyboard = content.keyboard
    return keyboard if keyboard is not None and "inline_keyboard" in keyboard else None
