"""Checks a poll, or the kind that `extra` names, before the envelope is accepted. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway_core.authors import Edit, Problem, Send
from gateway_plugin_telegram.kinds.polls import poll_problems
from gateway_plugin_telegram.kinds.table import FORMS, UNTHREADED, Kind, kinds_in
from gateway_plugin_telegram.settings import TelegramSettings


def kind_problems(settings: TelegramSettings, envelope: Send | Edit) -> Iterator[Problem]:
    """Every problem, with its place; an edit cannot make a message of such a kind."""
    extra = envelope.extra or {}
    named = kinds_in(extra)
    if isinstance(envelope, Edit):
        for kind in named:
            yield Problem(
                f"extra.{kind.name}", "an edit cannot turn a message into one: send a new message"
            )
        return
    if envelope.poll is not None:
        yield from poll_problems(settings, envelope.poll)
    first = "poll" if envelope.poll is not None else named[0].name if named else ""
    for kind in named if envelope.poll is not None else named[1:]:
        yield Problem(f"extra.{kind.name}", f"a message cannot be this and a {first} at once")
    for kind in named:
        yield from _fields(kind, extra[kind.name])
        yield from _beside(kind, envelope)


def _fields(kind: Kind, value: object) -> Iterator[Problem]:
    place, given = f"extra.{kind.name}", kind.given(value)
    if not isinstance(given, Mapping):
        words = "a table" if kind.main is None else f"a table, or its {kind.main} alone"
        yield Problem(place, f"must be {words}, not {type(value).__name__}")
        return
    for name in sorted(kind.needed - given.keys()):
        yield Problem(f"{place}.{name}", f"is missing: {kind.method} needs it")
    for name, one in given.items():
        if name not in kind.fields:
            yield Problem(f"{place}.{name}", f"{kind.method} has no such parameter")
            continue
        wanted, fits = FORMS[kind.fields[name]]
        if not fits(one):
            yield Problem(f"{place}.{name}", f"must be {wanted}")


def _beside(kind: Kind, envelope: Send) -> Iterator[Problem]:
    for name in sorted(kind.lacks & (envelope.extra or {}).keys()):
        yield Problem(f"extra.{name}", f"{kind.method} has no such parameter")
    if kind.name in UNTHREADED and envelope.thread_id is not None:
        yield Problem("thread_id", f"{kind.method} takes no topic")
    if kind.name == "checklist" and not (envelope.extra or {}).get("business_connection_id"):
        yield Problem("extra.business_connection_id", f"is missing: {kind.method} needs it")
