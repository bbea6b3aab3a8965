"""Plans which message has which of an envelope's files, and where the text goes. Sans-I/O.

Files keep their order. Neighbours that Telegram takes in one album become an album of 2 to 10:
photos and videos together, audio with audio, documents with documents
(core.telegram.org/bots/api#sendmediagroup). If the text fits into a caption, it is the caption of
the last of these messages, which also gets `extra`; else the text follows in messages of its own.
An album cannot have buttons: if the last of these messages is an album, the text follows in
messages of its own, and the last of them gets the buttons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from gateway_core.authors import Edit, File, MessageRef, Part, Send
from gateway_plugin_telegram.media.kinds import ABOVE, KINDS, Kind, kind_of
from gateway_plugin_telegram.methods import ALBUM_EXTRA
from gateway_plugin_telegram.settings import TelegramSettings

MOST_IN_ALBUM = 10
_OF_FILES = frozenset[str]().union(*(kind.takes for kind in KINDS.values()))

_LAST = ("audio", "document")
"""Kinds that an album shows below each other: of these, the last file has the caption, and of other
kinds the first file."""

ALT_LOST = "alternative text"
SPOILER_LOST = "spoiler"
"""Degradations: Telegram shows no alternative text, and cannot hide some kinds of files."""


def parts_with_files(
    settings: TelegramSettings,
    envelope: Send | Edit,
    texts: Callable[[int], Sequence[Part]],
) -> list[Part]:
    """The plan of a message with files.

    texts  returns the text's parts, each with at most that many characters
    """
    files = envelope.files or ()
    groups = albums(files)
    captions = texts(settings.caption_limit)
    apart = len(captions) > 1 or (not_for_albums(envelope) and len(groups[-1]) > 1)
    behind = list(texts(settings.text_limit)) if apart else []
    caption = captions[0] if captions and not apart else None
    silent = isinstance(envelope, Send) and envelope.silent
    parts = [_part(files, group, None, silent=silent) for group in groups[:-1]]
    parts.append(_part(files, groups[-1], caption, silent=silent))
    if settings.album_cost == "items":
        parts = [attrs.evolve(part, cost=len(part.files)) for part in parts]
    return [*parts, *behind]


def albums(files: Sequence[File]) -> list[tuple[int, ...]]:
    """The files of each message, by their positions."""
    found: list[list[int]] = []
    before = ""
    for place, file in enumerate(files):
        album = kind_of(file).album
        if album and album == before and len(found[-1]) < MOST_IN_ALBUM:
            found[-1].append(place)
        else:
            found.append([place])
        before = album
    return [tuple(group) for group in found]


def not_for_albums(envelope: Send | Edit) -> list[str]:
    """The fields of `extra` that an album cannot have, above all buttons."""
    extra = envelope.extra
    if extra is None and isinstance(envelope, Edit) and isinstance(envelope.target, MessageRef):
        extra = envelope.target.extra
    return sorted(name for name, value in (extra or {}).items() if _is_other(name, value))


def _is_other(name: str, value: object) -> bool:
    return value is not None and name not in ALBUM_EXTRA | _OF_FILES


def method_of(part: Part) -> tuple[str, frozenset[str]]:
    """The method that sends a text or files, and what `extra` may set beyond a text's fields."""
    kinds = [KINDS[shown["type"]] for shown in part.payload.get("media", ())]
    if not kinds:
        return "sendMessage", frozenset()
    if len(kinds) == 1:
        return kinds[0].method, kinds[0].takes
    return "sendMediaGroup", frozenset({ABOVE}).intersection(*(kind.takes for kind in kinds))


def _part(
    files: Sequence[File], group: tuple[int, ...], caption: Part | None, *, silent: bool
) -> Part:
    kinds = [kind_of(files[place]) for place in group]
    payload: dict[str, Any] = {
        "media": [_shown(files[place], kind) for place, kind in zip(group, kinds, strict=True)]
    }
    if caption is not None:
        payload |= as_caption(caption.payload)
    if silent:
        payload["disable_notification"] = True
    lost = [
        words
        for place, kind in zip(group, kinds, strict=True)
        for words in _lost(files[place], kind)
    ]
    return Part(
        payload=payload,
        span=(0, 0) if caption is None else caption.span,
        degraded=(*dict.fromkeys(lost), *(() if caption is None else caption.degraded)),
        files=group,
        captioned=len(group) - 1 if kinds[0].name in _LAST else 0,
    )


def _shown(file: File, kind: Kind) -> Mapping[str, Any]:
    hidden = {"has_spoiler": True} if file.spoiler and kind.conceals else {}
    return {"type": kind.name, **hidden}


def _lost(file: File, kind: Kind) -> Iterator[str]:
    if file.alt:
        yield ALT_LOST
    if file.spoiler and not kind.conceals:
        yield SPOILER_LOST


def as_caption(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """A text's content as a caption."""
    entities = payload.get("entities")
    caption = {"caption": payload["text"]}
    return {**caption, "caption_entities": entities} if entities else caption
