"""Cleans and trims a posted text as the server does, and checks and moves its entities.

This works as in tdlib (clean_input_string, fix_formatted_text), on code points. Entities that the
real server finds by itself (links, @names, hashtags) are not looked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from gateway_contrib.emulators.telegram.refusals import bad_request

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
RAW_LIMIT = 32_768

_SPACES = re.compile("[\x00-\x09\x0b\x0c\x0e-\x20]")
_DROPPED = re.compile("[\r\u030a\u0333\u033f\u2028-\u202e]")
_MARK_RUN = re.compile("[\u200e\u200f]+(?=[\u200e\u200f])")
_UNSEEN = re.compile(
    "[\n \xa0\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f\u2800\u3000\ufeff\ufffc]*"
)

_ADDRESS = re.compile(
    r"(?:tg|ton)://|(?:https?://)?(?:[^\s/?#@]*@)?(?:[^\s/?#:]+\.|\[)", re.IGNORECASE
)
"""Near enough to tdlib's LinkManager::check_link: a host must have a dot."""

Entities = Sequence[Mapping[str, Any]]


@attrs.frozen
class Formatted:
    """A text and its entities, offsets in UTF-16 units."""

    text: str
    entities: tuple[Mapping[str, Any], ...] = ()


@attrs.frozen
class _Styled:
    start: int
    end: int
    fields: Mapping[str, Any]


def accepted(text: str, entities: Entities) -> Formatted:
    """The text as it is stored. Raises `Refusal` where the server would refuse it."""
    formatted = _fixed(text, entities)
    if not formatted.text:
        raise bad_request("text must be non-empty")
    if len(formatted.text) > TEXT_LIMIT:
        raise bad_request("message is too long")
    return formatted


def accepted_caption(text: str, entities: Entities) -> Formatted:
    """The caption of a file as it is stored; it may be empty. Raises `Refusal`."""
    formatted = _fixed(text, entities)
    if len(formatted.text) > CAPTION_LIMIT:
        raise bad_request("message caption is too long")
    return formatted


def _fixed(text: str, entities: Entities) -> Formatted:
    """The text, cleaned and trimmed; empty if nothing of it can be seen."""
    if len(text.encode()) > RAW_LIMIT:
        raise bad_request("text is too long")
    styled = [_placed(text, entity) for entity in entities]
    text, styled = _trimmed(*_cleaned(text, styled))
    if _UNSEEN.fullmatch(text):
        return Formatted("")
    standing = (one for one in styled if one.start < one.end)
    return Formatted(text, tuple(_measured(text, one) for one in standing))


def linked(entities: Entities) -> Entities:
    """The entities as posted. Raises `Refusal` if a link's address is not an address."""
    for one in entities:
        if not isinstance(one, Mapping):
            raise bad_request("can't parse entities: expected an Object")
        if one.get("type") == "text_link" and _ADDRESS.match(str(one.get("url"))) is None:
            raise bad_request(f"entity URL '{one.get('url')}' is invalid: Wrong HTTP URL")
    return entities


def utf16_units(text: str) -> int:
    """The text's length in UTF-16 units, in which offsets count."""
    return len(text.encode("utf-16-le")) // 2


def _placed(text: str, entity: Mapping[str, Any]) -> _Styled:
    """The entity with its offsets in code points."""
    offset, length = entity.get("offset"), entity.get("length")
    if not isinstance(offset, int) or offset < 0:
        raise bad_request(f"receive an entity with incorrect offset {offset}")
    if not isinstance(length, int) or length < 0:
        raise bad_request(f"receive an entity with incorrect length {length}")
    start = _code_points(text, offset, "begins")
    return _Styled(start, _code_points(text, offset + length, "ends"), entity)


def _code_points(text: str, units: int, verb: str) -> int:
    raw = text.encode("utf-16-le")
    if 2 * units > len(raw):
        raise bad_request(f"entity {verb} after the end of the text at UTF-16 offset {units}")
    try:
        return len(raw[: 2 * units].decode("utf-16-le"))
    except UnicodeDecodeError:
        raise bad_request(
            f"entity {verb} in a middle of a UTF-16 symbol at offset {units}"
        ) from None


def _cleaned(text: str, styled: list[_Styled]) -> tuple[str, list[_Styled]]:
    clean = _clean(text)
    moved = [
        _Styled(len(_clean(text[: one.start])), len(_clean(text[: one.end])), one.fields)
        for one in styled
    ]
    return clean, moved


def _clean(text: str) -> str:
    """Turn controls into spaces, and drop line separators, bidi controls and some accents.

    In a run of direction marks, all marks but the last become zero-width non-joiners.
    """
    text = _DROPPED.sub("", _SPACES.sub(" ", text))
    return _MARK_RUN.sub(lambda run: "\u200c" * len(run[0]), text)


def _trimmed(text: str, styled: list[_Styled]) -> tuple[str, list[_Styled]]:
    """Trim white space at both ends; an entity at the beginning keeps its own white space."""
    end = len(text.rstrip(" \n"))
    first = min((one.start for one in styled if one.start < one.end), default=end)
    start = min(len(text) - len(text.lstrip(" \n")), first, end)
    moved = [
        _Styled(min(one.start, end) - start, min(one.end, end) - start, one.fields)
        for one in styled
    ]
    return text[start:end], moved


def _measured(text: str, one: _Styled) -> Mapping[str, Any]:
    offset = utf16_units(text[: one.start])
    length = utf16_units(text[one.start : one.end])
    return {**one.fields, "offset": offset, "length": length}
