"""Decides what spans and logs may show of rooms and texts. Sans-I/O.

Secrets never reach this module: `plugins.guarding` takes them out of every error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Literal, TypeAlias, get_args

import attrs

from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.problems import CheckedSettings
from gateway_core.contract.validators import flag, one_of, table, words_of

Rooms: TypeAlias = Literal["hash", "plain", "none"]

WITHHELD = "…"
"""Stands in place of a text that is not shown."""
RUN = 3
"""So many words in a row that also stand in the text are taken for a quotation of the text."""
LONG_WORD = 8


@attrs.frozen(kw_only=True)
class TelemetrySettings(CheckedSettings):
    """What telemetry shows, and where it goes.

    rooms   room ids in spans and logs: `hash` (a pseudonym, the same in every process), `plain`,
            or `none`. They are never in a metric
    texts   let logs show what errors quote of texts
    export  given to the plugin that exports: `gateway-contrib[otel]`
    """

    rooms: Rooms = attrs.field(default="hash", validator=one_of(*get_args(Rooms)))
    texts: bool = attrs.field(default=False, validator=flag)
    export: Mapping[str, Any] = attrs.field(factory=dict, validator=table)


def pseudonym(instance_id: str, room: str) -> str:
    """A name for a room that does not show its id, the same in every process.

    Somebody who has the rooms' ids can find out which name belongs to which room.
    """
    return blake2b(f"{instance_id}\0{room}".encode(), digest_size=6).hexdigest()


class Privacy:
    """Applies the settings to rooms, texts and errors."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self._rooms = settings.rooms
        self._texts = settings.texts

    def room(self, instance_id: str, room: str) -> str | None:
        """The room's name as telemetry may show it; None: do not show it."""
        if self._rooms == "plain":
            return room
        return pseudonym(instance_id, room) if self._rooms == "hash" else None

    def room_of(self, envelope: Envelope) -> str | None:
        """The name of an envelope's room."""
        return self.room(envelope.instance_id, envelope.external_room_id)

    def words(self, raw: str, instance_id: str, rooms: tuple[str, ...], text: str) -> str:
        """A platform's words about a message to one of `rooms` with `text`, as far as allowed."""
        if self._rooms != "plain":
            for room in filter(None, rooms):
                raw = _renamed(raw, room, self.room(instance_id, room) or WITHHELD)
        return raw if self._texts or not text else " ".join(_withheld(raw.split(), text))

    def error(self, error: BaseException) -> str:
        """An exception of somebody's code; its message is left out if texts are not allowed."""
        return words_of(error) if self._texts else type(error).__name__


def _renamed(raw: str, room: str, name: str) -> str:
    """The words with `name` for the room; a short id is replaced only as a word of its own."""
    if len(room) >= LONG_WORD:
        return raw.replace(room, name)
    return re.sub(rf"(?<!\w){re.escape(room)}(?!\w)", name, raw)


def _withheld(words: list[str], text: str) -> Iterator[str]:
    """The words without runs of words, long words and quoted words that stand in the text."""
    hidden = [False] * len(words)
    for at, word in enumerate(words):
        bare = word.strip("\"'`.,:;()[]{}<>")
        quoted = bare != word.rstrip(".,:;") and bool(bare)
        if bare in text and (len(bare) >= LONG_WORD or quoted):
            hidden[at] = True
        run = words[at : at + RUN]
        if len(run) == RUN and " ".join(run) in text:
            hidden[at : at + RUN] = [True] * RUN
    before = False
    for word, hide in zip(words, hidden, strict=True):
        if not hide:
            yield word
        elif not before:
            yield WITHHELD
        before = hide
