"""The kinds of declarations that the schema is made of. Sans-I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import attrs

Severity = Literal["debug", "info", "warning", "error"]
MetricKind = Literal["counter", "gauge", "histogram"]
SpanKind = Literal["producer", "client"]


class Event(str):
    """The name of a log event, which knows its level, its fields and its meaning."""

    __slots__ = ("fields", "level", "meaning")

    def __new__(cls, name: str, level: Severity, meaning: str, fields: str = "") -> Self:
        """Declare the event; `fields` are words in one text."""
        event = super().__new__(cls, f"gateway.{name}")
        event.level, event.meaning, event.fields = level, meaning, tuple(fields.split())
        return event

    level: Severity
    meaning: str
    fields: tuple[str, ...]


class Several(float):
    """Many values of one histogram in one record: their sum, and how many are in each bucket.

    Only a histogram that is made for such records takes them (`Providers.several`).
    """

    __slots__ = ("counts", "least", "most")

    def __new__(cls, total: float, counts: Sequence[int], least: float, most: float) -> Self:
        """For values with the sum `total`, the smallest value `least` and the largest `most`."""
        several = super().__new__(cls, total)
        several.counts, several.least, several.most = tuple(counts), least, most
        return several

    counts: tuple[int, ...]
    least: float
    most: float


@attrs.frozen
class Attribute:
    """An attribute of metrics, spans or span events, and what its values can be."""

    name: str
    values: str
    meaning: str


@attrs.frozen
class Metric:
    """An instrument. Counters and gauges are observed; histograms are recorded, within `bounds`."""

    name: str
    unit: str
    kind: MetricKind
    attributes: tuple[Attribute, ...]
    meaning: str
    bounds: tuple[float, ...] = ()


@attrs.frozen
class SpanEvent:
    """Something that happens within a span."""

    name: str
    attributes: tuple[Attribute, ...]
    meaning: str


@attrs.frozen
class Span:
    """A kind of span; `{}` in its name stands for the attribute in braces."""

    name: str
    kind: SpanKind
    attributes: tuple[Attribute, ...]
    events: tuple[SpanEvent, ...]
    meaning: str
