"""Finds a text's last block as the parser reads it: its kind, and which of its signs are loose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from gateway_core.text.reading.canvas import SURROGATE
from gateway_core.text.reading.events import events_of

_CONTAINERS: Final = frozenset(("Item", "List", "BlockQuote"))
_SPANS: Final = frozenset(("Emphasis", "Strong", "Strikethrough", "Link", "Image"))
_WORDS: Final = frozenset(("Paragraph", "Heading"))
_CELLS: Final = ({"Start": "TableCell"}, {"End": "TableCell"})
"""Events that say nothing here, and that a table of short rows has thousands of."""

Told: TypeAlias = tuple[str | dict[str, Any], dict[str, int]]
"""An event as the parser gives it."""
Event: TypeAlias = tuple[str, Any, int, int]
"""An event's name (`Start`, `End`, or an event that stands alone), value, and place in UTF-8."""


class Leaf(NamedTuple):
    """The last block that contains no other blocks, `start..end` of the text; 0..0: no words.

    kind     `Words`, `CodeBlock`, `Table`, `HtmlBlock`, `Rule`, or empty: there is none
    columns  number of a table's columns
    loose    stretches of words in no style, code or link; a sign there has found no partner
    texts    stretches of words in no code, in styles and links as well
    sealed   whether the block ends with code or HTML
    """

    kind: str
    start: int = 0
    end: int = 0
    columns: int = 0
    loose: tuple[tuple[int, int], ...] = ()
    texts: tuple[tuple[int, int], ...] = ()
    sealed: bool = False


def last_leaf(source: str) -> Leaf:
    """The last block of `source`. Nothing is raised."""
    try:
        octets = source.encode()
    except UnicodeEncodeError:
        source = SURROGATE.sub("\ufffd", source)
        octets = source.encode()
    leaf = _in_octets([told for told in events_of(source) if told[0] not in _CELLS])
    return leaf if len(octets) == len(source) else _in_characters(leaf, octets)


def _told(told: Told) -> Event:
    event, where = told
    name, value = (event, None) if isinstance(event, str) else next(iter(event.items()))
    return name, value, where["start"], where["end"]


def _name(value: Any) -> str:
    return value if isinstance(value, str) else next(iter(value))


def _in_octets(events: list[Told]) -> Leaf:
    last = len(events) - 1
    while last >= 0:
        name, value, start, end = _told(events[last])
        if name != "End" or _name(value) not in _CONTAINERS:
            break
        last -= 1
    if last < 0 or name in ("Start", "TaskListMarker"):
        return Leaf("")
    kind = _name(value) if name == "End" else name
    if kind == "Table":
        return Leaf(kind, start, end, _columns(events, last))
    if kind in ("CodeBlock", "HtmlBlock", "Rule"):
        return Leaf(kind, start, end)
    return _words([*_inner(events, last - (kind in _WORDS))])


def _columns(events: list[Told], last: int) -> int:
    for event, _ in reversed(events[:last]):
        if isinstance(event, dict) and isinstance(event.get("Start"), dict):
            columns: tuple[str, ...] | None = event["Start"].get("Table")
            if columns is not None:
                return len(columns)
    return 0


def _inner(events: list[Told], last: int) -> Iterator[tuple[Event, int]]:
    """The events in the last block, the last first, each with the number of styles around it."""
    depth = 0
    for place in range(last, -1, -1):
        event = _told(events[place])
        name, value = event[:2]
        if name in ("Start", "End"):
            if _name(value) not in _SPANS:
                return
            depth += 1 if name == "End" else -1
        elif name == "TaskListMarker":
            return
        yield event, depth


def _words(inner: list[tuple[Event, int]]) -> Leaf:
    inner.reverse()
    texts = [(event, depth) for event, depth in inner if event[0] == "Text"]
    return Leaf(
        "Words",
        min((event[2] for event, _ in inner), default=0),
        max((event[3] for event, _ in inner), default=0),
        loose=_joined(event[2:] for event, depth in texts if depth == 0),
        texts=_joined(event[2:] for event, _ in texts),
        sealed=bool(inner) and inner[-1][0][0] in ("Code", "InlineHtml"),
    )


def _joined(stretches: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The stretches, with those that touch joined."""
    joined: list[tuple[int, int]] = []
    for start, end in stretches:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)


def _in_characters(leaf: Leaf, octets: bytes) -> Leaf:
    """The leaf with its places counted in characters."""
    places = {leaf.start, leaf.end}
    places.update(place for stretch in (*leaf.loose, *leaf.texts) for place in stretch)
    at: dict[int, int] = {}
    last = count = 0
    for place in sorted(places):
        count += len(octets[last:place].decode(errors="replace"))
        last = place
        at[place] = count
    return leaf._replace(
        start=at[leaf.start],
        end=at[leaf.end],
        loose=tuple((at[start], at[end]) for start, end in leaf.loose),
        texts=tuple((at[start], at[end]) for start, end in leaf.texts),
    )
