"""Reads and checks a question of a process that only hands over. Sans-I/O.

A process that may hand over can write anything into the outbox. The owner can be sure of that
process's role, but not that it runs this project's code. So every field is checked here, before a
question is answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.validators import (
    UNSENDABLE,
    is_finite,
    is_sendable,
    is_whole,
    plain_json,
    shown,
)

Check: TypeAlias = Callable[[object], str | None]
"""Says in words what is wrong with a value; None: nothing is."""
PAGE = 1_000
"""The most groups or receipts in one answer."""
MOST = 1_000_000
"""The most tables and lists in a question: it takes seconds to read more."""
_STRING = re.compile(r'"[^"\\]*+(?:\\.?+[^"\\]*+)*+"?+', re.DOTALL)
"""Also one that does not end: otherwise it would be searched anew from each escaped quote."""
_MOST_TOLD = 20
"""Unknown fields of a table that an error names."""
_SCOPE = 4


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return f"must be a text, not {shown(value)}"
    return None if is_sendable(value) else UNSENDABLE


def _whole(value: object) -> str | None:
    return None if is_whole(value) else f"must be a whole number, not {shown(value)}"


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, not {shown(value)}"


def _time(value: object) -> str | None:
    return None if is_finite(value) else f"must be a finite number, not {shown(value)}"


def _seconds(value: object) -> str | None:
    good = is_finite(value) and value >= 0
    return None if good else f"must be seconds, 0 or more, not {shown(value)}"


def _page(value: object) -> str | None:
    good = is_whole(value) and 0 < value <= PAGE
    return None if good else f"must be a whole number from 1 to {PAGE}, not {shown(value)}"


def _list(value: object) -> str | None:
    return None if isinstance(value, list) else f"must be a list, not {shown(value)}"


def _table(value: object) -> str | None:
    return None if isinstance(value, dict) else f"must be a table, not {shown(value)}"


def _fields(value: object) -> str | None:
    if (fault := _table(value)) is not None:
        return fault
    try:
        plain_json(value)
    except ValueError as error:
        return str(error)
    return None


def _group(value: object) -> str | None:
    """Check the name of a group: its id, or the scope of its key."""
    if isinstance(value, list) and len(value) == _SCOPE:
        return next(filter(None, map(_text, value)), None)
    return _text(value)


def _or_none(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


_ONE = {"group": _text}
QUESTIONS: Mapping[str, Mapping[str, Check]] = {
    "status": {"id": _text},
    "grow": {
        "id": _text, "number": _whole, "after": _whole, "kept": _whole, "text": _text,
        "below": _text,
    },
    "typing": {"block": _text, "place": _or_none(_table)},
    "broadcast": {"template": _table, "rooms": _list},
    "submit_many": {
        "envelopes": _list, "group": _or_none(_text), "not_before": _or_none(_time),
        "priority": _text,
    },
    "group": {"what": _group},
    "groups": {"instance": _text, "after": _text, "limit": _page},
    "failed": {"group": _text, "after": _text, "limit": _page},
    "pause": _ONE,
    "resume": _ONE,
    "cancel": _ONE,
    "retry": _ONE,
    "find_instance": {"instance": _text},
    "remove_instance": {"instance": _text, "drain": _seconds},
    "suspension": {"instance": _text, "suspension": _or_none(_table)},
}  # fmt: skip
"""The questions, by their `do`, with the fields of each."""
ENDED: Mapping[str, Check] = {
    "id": _text,
    "ended": _text,
    "text": _text,
    "extra": _or_none(_fields),
}
"""The fields of `grow` if the stream has ended."""
SUSPENSION: Mapping[str, Check] = {"why": _text, "by": _text, "since": _time}
"""The fields of a suspension."""
PLACE: Mapping[str, Check] = {
    "external_room_id": _text,
    "thread_id": _or_none(_text),
    "reply_to": _or_none(_text),
    "message_id": _or_none(_text),
    "user_id": _or_none(_text),
    "team_id": _or_none(_text),
    "direct": _flag,
}
"""The fields of the place of a typing sign; only the room is required."""
_TABLES: Mapping[str, Sequence[tuple[str, Mapping[str, Check], Sequence[str]]]] = {
    "typing": [("place", PLACE, ("external_room_id",))],
    "suspension": [("suspension", SUSPENSION, tuple(SUSPENSION))],
}
"""Tables within a question: the fields of each, and its required fields."""


def question(asked: str) -> Mapping[str, Any]:
    """The question, as a table. Raises `Invalid` with every mistake and its place."""
    if _brackets(asked) > MOST and _brackets(_STRING.sub("", asked)) > MOST:
        raise Invalid([Problem("asked", f"has more than {MOST:,} tables and lists")])
    try:
        plain = json.loads(asked)
    except (ValueError, RecursionError) as error:
        raise Invalid([Problem("asked", f"is not JSON: {type(error).__name__}")]) from None
    if not isinstance(plain, dict):
        raise Invalid([Problem("asked", f"must be a table, not {shown(plain)}")])
    do = plain.get("do")
    if not isinstance(do, str) or do not in QUESTIONS:
        raise Invalid([Problem("do", f"{shown(do)} is not known to the owner's release")])
    fields = ENDED if do == "grow" and "ended" in plain else QUESTIONS[do]
    problems = _problems("", plain, fields, fields)
    for name, known, needed in _TABLES.get(do, ()) if not problems else ():
        if plain[name] is not None:
            problems += _problems(f"{name}.", plain[name], known, needed)
            more = sorted(plain[name].keys() - known.keys())[:_MOST_TOLD]
            problems += [Problem(f"{name}.{each}", "is not known") for each in more]
    if problems:
        raise Invalid(problems)
    return plain


def _brackets(asked: str) -> int:
    return asked.count("{") + asked.count("[")


def _problems(
    place: str, plain: Mapping[str, Any], fields: Mapping[str, Check], needed: Any
) -> list[Problem]:
    problems = [Problem(f"{place}{name}", "is missing") for name in needed if name not in plain]
    for name, check in fields.items():
        if name in plain and (fault := check(plain[name])) is not None:
            problems.append(Problem(f"{place}{name}", fault))
    return problems
