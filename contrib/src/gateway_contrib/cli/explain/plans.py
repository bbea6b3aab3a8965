"""Plans a text without sending it: its parts, their sizes, and their costs.

This uses the gateway's own `preview`, with the installed policies and adapters, but without a
session and without a network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from gateway_contrib.cli.painting.seen import Line
from gateway_contrib.cli.painting.shapes import seen
from gateway_core import File, GatewayConfig, Instance, Limit, Part, Send, preview

TOKENS: Mapping[str, str] = {
    "telegram": "123456789:any-well-formed-token",
    "slack": "xoxb-any-well-formed-token",
    "discord": "any.well-formed.token",
}
"""Tokens that make an account valid; they are never sent or shown."""

ROOMS: Mapping[str, str] = {
    "telegram": "123456789",
    "slack": "C0000000000",
    "discord": "100000000000000000",
}
"""The room if none is given: on Telegram a chat with one person."""


def _characters(text: str) -> int:
    return len(text)


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


@attrs.frozen
class Measure:
    """How a channel counts the size of a text that is sent."""

    unit: str
    size: Callable[[str], int]


MEASURES: Mapping[str, Measure] = {
    "text_limit": Measure("characters", _characters),
    "max_length": Measure("UTF-16 units", _units),
    "part_bytes": Measure("bytes", _bytes),
}
"""By the name of the setting with the limit. Other channels show characters, and no limit."""

UNLIMITED = Measure("characters", _characters)


def _written(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False))


BOUNDS: Mapping[str, tuple[str, Callable[[Any], int], int]] = {
    "entities": ("entities", len, 100),
    "blocks": ("characters of blocks", _written, 12_000),
}
"""Further bounds, by the field of a payload that they apply to: unit, size, limit."""


@attrs.frozen(kw_only=True)
class Bound:
    """How far a part fills one of its platform's bounds."""

    unit: str
    size: int
    limit: int

    @property
    def share(self) -> float:
        """The filled share of the bound, 0 to 1."""
        return self.size / self.limit


@attrs.frozen(kw_only=True)
class Attached:
    """A file of a part; `kind` is the kind as which the channel sends the file."""

    name: str
    kind: str
    size: int
    width: int
    height: int
    alt: str
    spoiler: bool

    @property
    def said(self) -> str:
        """The file in a line."""
        sides = f"{self.width} × {self.height}" if self.width else ""  # noqa: RUF001 - between sides
        size = f"{self.size:,} bytes" if self.size else ""
        return ", ".join(filter(None, (f"{self.kind} {self.name}", sides, size)))


@attrs.frozen(kw_only=True)
class Piece:
    """One part: its text as a reader sees it, its size, and when it is out, in seconds.

    bounds   every bound that applies to the part; the bound that the part fills most comes first
    payload  the content as the platform would get it
    """

    text: str
    size: int
    bounds: tuple[Bound, ...]
    span: tuple[int, int]
    degraded: tuple[str, ...]
    at: float
    payload: Mapping[str, Any]
    files: tuple[Attached, ...] = ()

    @property
    def files_first(self) -> bool:
        """Whether the text is a caption, below its files."""
        return "media" in self.payload

    @property
    def lines(self) -> Sequence[Line]:
        """The lines that a reader sees, with their styles."""
        return seen(self.payload if _is_known(self.payload) else {"text": self.text})


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

    room     where the text goes, and `text`: the text that is sent; `asked_room` and `asked_text`:
             those that were asked for, before policies changed them
    unit     the unit of sizes and of `limit`, which is None if the settings name no limit
    refused  why the gateway would refuse the text; empty: it would accept the text
    """

    channel: str
    instance: str
    room: str
    text: str
    asked_room: str
    asked_text: str
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
    """The time for people to read, in hundredths of a second."""
    return f"{round(time, 2):g} s"


def later(time: float) -> str:
    """When something has happened, for people to read."""
    return f"after {seconds(time)}" if time else "at once"


def explain(instance: Instance, envelope: Send, config: GatewayConfig) -> Explained:
    """The plan of `envelope`, as a gateway with that configuration would make it."""
    ahead = preview(instance, envelope, config=config)
    limit, measure = _measure(instance.settings)
    sent = ahead.envelope
    assert isinstance(sent, Send)  # noqa: S101 - policies may not make another of it
    costs = [part.cost for part in ahead.parts]
    times = starts(ahead.limits, costs)
    return Explained(
        channel=instance.channel,
        instance=instance.id,
        room=sent.external_room_id,
        text=sent.text,
        asked_room=envelope.external_room_id,
        asked_text=envelope.text,
        unit=measure.unit,
        limit=limit,
        pieces=tuple(
            _piece(part, at, *_bound_of(part, instance.settings, measure, limit), sent)
            for part, at in zip(ahead.parts, times, strict=True)
        ),
        budgets=tuple(
            Budget(bucket=x.bucket, count=x.count, per=x.per, pace=x.pace, tokens=sum(costs))
            for x in ahead.limits
        ),
        refused=tuple(map(str, ahead.problems)),
    )


def _measure(settings: Any) -> tuple[int | None, Measure]:
    for field, measure in MEASURES.items():
        limit = getattr(settings, field, None)
        if isinstance(limit, int):
            return limit, measure
    return None, UNLIMITED


def _bound_of(
    part: Part, settings: Any, measure: Measure, limit: int | None
) -> tuple[Measure, int | None]:
    """The measure and the limit of the part's text: a caption has its own."""
    if "media" not in part.payload:
        return measure, limit
    return Measure("characters", _characters), getattr(settings, "caption_limit", None)


def _piece(part: Part, at: float, measure: Measure, limit: int | None, envelope: Send) -> Piece:
    content = part.payload
    if not _is_known(content):
        content = {"text": _nearest(content, envelope.text[slice(*part.span)])}
    texts = (content.get(name) for name in ("text", "content", "caption"))
    sent = str(next((text for text in texts if text is not None), ""))
    bounds = [
        Bound(unit=unit, size=size(part.payload[field]), limit=most)
        for field, (unit, size, most) in BOUNDS.items()
        if field in part.payload
    ]
    if limit is not None:
        bounds.insert(0, Bound(unit=measure.unit, size=measure.size(sent), limit=limit))
    return Piece(
        text="\n".join(line.text for line in seen(content)),
        size=measure.size(sent),
        bounds=tuple(sorted(bounds, key=lambda bound: -bound.share)),
        span=part.span,
        degraded=part.degraded,
        at=at,
        payload=part.payload,
        files=tuple(
            _attached(part, number, envelope.files[place])
            for number, place in enumerate(part.files)
        ),
    )


def _is_known(payload: Mapping[str, Any]) -> bool:
    """Whether the payload has a field of its text that pictures are drawn from."""
    return not payload.keys().isdisjoint(("text", "content", "mrkdwn", "blocks", "media"))


def _nearest(payload: Mapping[str, Any], source: str) -> str:
    """The text of a payload of any other form: the one that has most of the source's words."""
    words = set(source.split())
    shared = {text: len(words & set(text.split())) for text in _texts_in(payload)}
    return max(shared, key=lambda text: (shared[text], len(text)), default="")


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(each)


def _attached(part: Part, number: int, file: File) -> Attached:
    media = part.payload.get("media") or ()
    return Attached(
        name=file.name or file.url or "",
        kind=media[number]["type"] if number < len(media) else file.kind.replace("other", "file"),
        size=file.size,
        width=file.width,
        height=file.height,
        alt=file.alt,
        spoiler=file.spoiler,
    )


def starts(limits: Sequence[Limit], costs: Sequence[int]) -> list[float]:
    """When each send may start on an idle account, in seconds; `costs` are the sends' tokens.

    The sends run one after another and are answered at once. The platform's response times would
    have to be added.
    """
    times: list[float] = []
    spent: list[float] = []  # when each token was taken
    for cost in costs:
        earliest = [_earliest(limit, spent, cost) for limit in limits]
        times.append(max([0.0, *times[-1:], *earliest]))
        spent += [times[-1]] * cost
    return times


def _earliest(limit: Limit, spent: Sequence[float], cost: int) -> float:
    """When the limit lets a send of `cost` tokens pass, after tokens were spent at these times."""
    ticks = 0.0
    if limit.pace == "even" or limit.count == 1:
        for at in spent:
            ticks = max(ticks, at) + limit.per / limit.count
    count = limit.most or limit.count
    if limit.count == 1 or (limit.pace == "even" and limit.most is None):
        return ticks
    still = max(0, count - cost)  # tokens that may be spent within the window before it
    return max(ticks, spent[-still - 1] + limit.per if len(spent) > still else 0.0)
