"""What an adapter would make of a text: its parts, their sizes, and what they cost.

The adapters' own hooks are asked, as they are installed: no session, no network, no policies.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from html import unescape
from importlib.metadata import entry_points
from typing import Any

import attrs

from gateway_core import Instance, Limit, Part, Send

ADAPTERS = "gateway_plugin"
"""The entry-point group of adapters; an entry's name is the channel."""

TOKENS: Mapping[str, str] = {
    "telegram": "123456789:any-well-formed-token",
    "slack": "xoxb-any-well-formed-token",
    "discord": "any.well-formed.token",
}
"""What an account needs to be one; nobody ever sees these."""

ROOMS: Mapping[str, str] = {
    "telegram": "123456789",
    "slack": "C0000000000",
    "discord": "100000000000000000",
}
"""A room where none is named: on Telegram a chat with one person."""


def _characters(text: str) -> int:
    return len(text)


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


@attrs.frozen
class Measure:
    """How a channel counts a text as it is sent, and how it is shown there."""

    unit: str
    size: Callable[[str], int]
    shown: Callable[[str], str] = str


MEASURES: Mapping[str, Measure] = {
    "text_limit": Measure("characters", _characters),
    "max_length": Measure("UTF-16 units", _units),
    "part_bytes": Measure("bytes", _bytes, unescape),
}
"""By the setting that holds the limit. Elsewhere characters are told, and no limit."""

UNLIMITED = Measure("characters", _characters)


@attrs.frozen(kw_only=True)
class Piece:
    """One part: its text as shown, how it measures, and when it is out, in seconds."""

    text: str
    size: int
    span: tuple[int, int]
    degraded: tuple[str, ...]
    at: float


@attrs.frozen(kw_only=True)
class Budget:
    """A bucket that the sends draw on, and how many of its tokens they take."""

    bucket: str
    count: int
    per: float
    pace: str
    tokens: int


@attrs.frozen(kw_only=True)
class Explained:
    """The plan of a text on one account.

    unit     what sizes are told in; `limit` likewise, None where the settings name none
    refused  why the gateway would not take the text; empty: it would
    """

    channel: str
    instance: str
    room: str
    unit: str
    limit: int | None
    pieces: tuple[Piece, ...]
    budgets: tuple[Budget, ...]
    refused: tuple[str, ...] = ()

    @property
    def last_at(self) -> float:
        """Seconds until the last part starts, on an account that was idle."""
        return self.pieces[-1].at if self.pieces else 0.0


def seconds(time: float) -> str:
    """A time for people, to the hundredth."""
    return f"{round(time, 2):g} s"


def explain(instance: Instance, envelope: Send, *, max_parts: int) -> Explained:
    """The plan of `envelope`, as the adapter of the instance's channel makes it."""
    room = envelope.external_room_id
    known = {"instance": instance, "envelope": envelope, "mode": "as_asked"}
    problems = _ask(instance.channel, "validate", known) or ()
    refused = [str(problem) for problem in problems]
    parts: Sequence[Part] = () if refused else _parts(instance, envelope, known)
    if not refused and not parts:
        refused.append("text: leaves nothing to send")
    if len(parts) > max_parts:
        refused.append(f"text: needs {len(parts)} messages, at most {max_parts}")
    asked = {"instance": instance, "room": room, "thread": None, "operation": "send"}
    limits: Sequence[Limit] = _ask(instance.channel, "rate_limit", asked) or ()
    limit, measure = _measure(instance.settings)
    return Explained(
        channel=instance.channel,
        instance=instance.id,
        room=room,
        unit=measure.unit,
        limit=limit,
        pieces=_pieces(parts, starts(limits, len(parts)), measure),
        budgets=tuple(
            Budget(bucket=x.bucket, count=x.count, per=x.per, pace=x.pace, tokens=len(parts))
            for x in limits
        ),
        refused=tuple(refused),
    )


def _parts(instance: Instance, envelope: Send, known: Mapping[str, Any]) -> Sequence[Part]:
    """The adapter's plan; like core, the whole text where it plans nothing."""
    plan: Sequence[Part] | None = _ask(instance.channel, "chunk", known)
    if plan is not None:
        return plan
    return (Part(payload={"text": envelope.text}, span=(0, len(envelope.text))),)


def _ask(channel: str, hook: str, known: Mapping[str, Any]) -> Any:
    """The adapter's answer, given what it lists; None where it has no such hook."""
    (point,) = entry_points(group=ADAPTERS, name=channel)
    function = getattr(point.load(), hook, None)
    if function is None:
        return None
    return function(**{name: known[name] for name in inspect.signature(function).parameters})


def _measure(settings: Any) -> tuple[int | None, Measure]:
    for field, measure in MEASURES.items():
        limit = getattr(settings, field, None)
        if isinstance(limit, int):
            return limit, measure
    return None, UNLIMITED


def _pieces(parts: Sequence[Part], times: Sequence[float], measure: Measure) -> tuple[Piece, ...]:
    texts = [str(part.payload.get("text", part.payload.get("content", ""))) for part in parts]
    return tuple(
        Piece(
            text=measure.shown(text),
            size=measure.size(text),
            span=part.span,
            degraded=part.degraded,
            at=at,
        )
        for part, text, at in zip(parts, texts, times, strict=True)
    )


def starts(limits: Sequence[Limit], count: int) -> list[float]:
    """When each of `count` sends may start, in seconds, on an idle account.

    One after another and answered at once: what the platform takes to answer comes on top.
    """
    times: list[float] = []
    while len(times) < count:
        earliest = [_earliest(limit, times) for limit in limits]
        times.append(max([0.0, *times[-1:], *earliest]))
    return times


def _earliest(limit: Limit, times: Sequence[float]) -> float:
    """When the limit lets the next one pass, after those at `times`."""
    if limit.pace == "even":
        return times[-1] + limit.per / limit.count if times else 0.0
    return times[-limit.count] + limit.per if len(times) >= limit.count else 0.0
