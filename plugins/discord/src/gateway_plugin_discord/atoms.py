"""Styled text as atoms for Discord: stretches of one style in one line, each written once.

What stands between two atoms depends on these two alone, so the cost of any stretch of whole atoms
is a difference of two sums, and only what is cut at its ends is written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import attrs

from gateway_core.text import Block, Document, Kind, Span, Style
from gateway_plugin_discord.dialect import (
    APART,
    CLOSERS,
    MARKS,
    code,
    escape,
    fence,
    fenced,
    target,
)

_NATIVE_HEADINGS = 3
"""Levels that Discord has; deeper headings, and those in lists, are bold."""

_STYLES = frozenset(MARKS.values())

_STRUCK = frozenset((MARKS[style],) * 2 for style in (Style.STRIKE, Style.SPOILER))

Mark = tuple[str, str]
"""What opens a style and what closes it."""


class Atom(NamedTuple):
    """`start..end` of the visible text, of which `body..end` is written by `write`.

    lead   what begins its line where it stands first; `again` the same where a part begins inside
    stack  the marks around it, the outermost first
    """

    start: int
    body: int
    end: int
    write: Callable[[str], str]
    stack: tuple[Mark, ...] = ()
    lead: str = ""
    again: str = ""
    quote: int = 0
    first: bool = False

    def opened(self, since: int = 0) -> str:
        """What opens its marks but the `since` outermost."""
        return "".join([mark[0] for mark in self.stack[since:]])

    def closed(self, since: int = 0) -> str:
        """What closes its marks but the `since` outermost."""
        return "".join([mark[1] for mark in reversed(self.stack[since:])])


@attrs.define(eq=False)
class Atomizer:
    """Makes the atoms of a document."""

    document: Document
    previews: bool
    mentions: bool
    escape: Callable[[str], str] = attrs.field(init=False)
    escape_struck: Callable[[str], str] = attrs.field(init=False)
    marks: dict[Span, Mark | None] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.escape = partial(escape, mentions=self.mentions)
        self.escape_struck = partial(escape, mentions=self.mentions, struck=True)

    def _text(self, span: Span) -> str:
        return self.document.text[span.start : span.end]

    def _literal(self, span: Span) -> bool:
        """Whether a span is written without escapes: code, or an address that is its own text."""
        return span.style is Style.CODE or self._bare(span)

    def _bare(self, span: Span) -> bool:
        same = span.style is Style.LINK and len(span.value) == span.end - span.start
        return same and span.value == self._text(span)

    def atoms(self) -> Iterator[Atom]:
        """The atoms in order."""
        for before, block in pairwise((None, *self.document.blocks)):
            if block is None:
                continue
            if _restarts(before, block):
                # Discord counts on from a list's first number; as text it stays what it is.
                block = block._replace(marker=block.marker.replace(".", "\\."))  # noqa: PLW2901
            if block.kind in (Kind.CODE, Kind.TABLE):
                yield self._solid(block)
            else:
                yield from self._flow(block)

    def _solid(self, block: Block) -> Atom:
        """A code block, or a table as one; white space alone cannot be fenced."""
        prefix = "> " if block.quote else ""
        write = fenced if not prefix else partial(_quoted, prefix=prefix)
        blank = not self.document.text[block.start : block.end].strip()
        marks: Mark = ("", "") if blank else (fence(block.language) + prefix, f"\n{prefix}```")
        place = (block.start, block.start, block.end)
        return Atom(*place, write, (marks,), prefix, prefix, block.quote, first=True)

    def _flow(self, block: Block) -> Iterator[Atom]:
        """The lines of a paragraph, a heading or an item."""
        prefix = "> " if block.quote else ""
        lead, again, around = _leads(block)
        line = (prefix + again, block.quote)
        start, head = block.start, prefix + lead
        for low, high in _lines(self.document.text, block.body, block.end):
            first, *others = self._pieces(low, high, around)
            yield Atom(start, *first, head, *line, first=True)
            yield from [Atom(piece.begin, *piece, "", *line) for piece in others]
            start, head = high + 1, prefix + again

    def _pieces(self, low: int, high: int, around: tuple[Mark, ...]) -> list[_Piece]:
        """Stretches of one style in a line; white space between two styles has what both have."""
        if low == high:
            return [_Piece(low, high, self.escape, ())]
        spans = [s for s in self.document.nesting.touching(low, high) if s.style is not Style.QUOTE]
        if around:
            spans = [span for span in spans if span.style is not Style.BOLD]
        if not spans:
            return [_Piece(low, high, self.escape, around)]
        edges = {low, high}
        for span in spans:
            edges |= {max(span.start, low), min(span.end, high)}
        pieces = [
            self._piece(begin, end, active, around)
            for begin, end, active in _swept(spans, sorted(edges))
        ]
        return list(_spaced(self.document.text, pieces))

    def _piece(
        self, begin: int, end: int, active: Sequence[Span], around: tuple[Mark, ...]
    ) -> _Piece:
        stack = around + tuple(mark for span in active if (mark := self._mark(span)))
        literal = next((span for span in active if self._literal(span)), None)
        if literal is None:
            struck = not _STRUCK.isdisjoint(stack)
            return _Piece(begin, end, self.escape_struck if struck else self.escape, stack)
        if not CLOSERS.isdisjoint(self.document.text[begin:end]):
            stack = tuple(mark for mark in stack if mark[0] not in _STYLES)
        return _Piece(begin, end, self._literally(literal), stack)

    def _literally(self, span: Span) -> Callable[[str], str]:
        """Previews come of bare addresses, and end where Discord sees that they end."""
        if span.style is Style.CODE:
            return code
        free = self.document.text[span.end : span.end + 1] in ("", " ", "\n")
        return str if self.previews and free else _bracketed

    def _mark(self, span: Span) -> Mark | None:
        if span not in self.marks:
            self.marks[span] = self._made(span)
        return self.marks[span]

    def _made(self, span: Span) -> Mark | None:
        if span.style is not Style.LINK:
            mark = MARKS.get(span.style)
            return (mark, mark) if mark else None
        text = self._text(span)
        if not span.value or self._bare(span):
            return None
        address = target(span.value, preview=self.previews)
        if "://" in text or "[" in text or "]" in text:
            return ("", f" ({address})")
        return ("[", f"]({address})")


class _Piece(NamedTuple):
    begin: int
    end: int
    write: Callable[[str], str]
    stack: tuple[Mark, ...]


def _swept(
    spans: Sequence[Span], edges: Sequence[int]
) -> Iterator[tuple[int, int, Sequence[Span]]]:
    """Each stretch between two edges with the spans that it stands in, the outermost first."""
    active: list[Span] = []
    following = 0
    for begin, end in pairwise(edges):
        active = [span for span in active if span.end > begin]
        while following < len(spans) and spans[following].start <= begin:
            active.append(spans[following])
            following += 1
        yield begin, end, active


def _leads(block: Block) -> tuple[str, str, tuple[Mark, ...]]:
    """What begins the first line, what begins further ones, and marks around all of it."""
    bold = (MARKS[Style.BOLD],) * 2
    if block.kind is Kind.HEADING:
        native = block.level <= _NATIVE_HEADINGS and not block.depth and not block.marker
        sign = "#" * block.level + " "
        return (sign, sign, ()) if native else (_marker(block), "  " * block.depth, (bold,))
    return _marker(block), "  " * block.depth, ()


def _restarts(before: Block | None, block: Block) -> bool:
    """Whether a numbered item does not go on counting where it follows another."""
    numbers = [b.marker.removesuffix(". ") for b in (before, block) if b is not None]
    if before is None or before.depth != block.depth or not all(n.isdigit() for n in numbers):
        return False
    return int(numbers[0]) + 1 != int(numbers[1])


def _marker(block: Block) -> str:
    """Discord's own list markers; a task has its box behind the bullet."""
    if not block.marker:
        return "  " * block.depth
    sign = block.marker if block.marker[0].isdigit() else "- "
    box = block.marker if block.marker[0] in "☐☑" else ""
    return "  " * (block.depth - 1) + sign + box


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The lines of a stretch, without their line feeds; one that is empty if it is."""
    while (feed := text.find("\n", start, end)) >= 0:
        yield start, feed
        start = feed + 1
    yield start, end


def _spaced(text: str, pieces: Sequence[_Piece]) -> Iterator[_Piece]:
    """The pieces with white space at a change of style taken out of the marks.

    Discord's italics may neither begin nor end with a space.
    """
    for index, piece in enumerate(pieces):
        begin, end, write, stack = piece
        before = pieces[index - 1].stack if index else ()
        after = pieces[index + 1].stack if index + 1 < len(pieces) else ()
        content = text[begin:end]
        head = len(content) - len(content.lstrip(" ")) if stack != before else 0
        tail = len(content) - len(content.rstrip(" ")) if stack != after else 0
        if head == len(content) and head:
            yield _Piece(
                begin, end, write, stack[: min(common(stack, before), common(stack, after))]
            )
            continue
        if write is code or _writes_link(stack) or head + tail == 0:
            yield piece
            continue
        if head:
            yield _Piece(begin, begin + head, write, stack[: common(stack, before)])
        yield _Piece(begin + head, end - tail, write, stack)
        if tail:
            yield _Piece(end - tail, end, write, stack[: common(stack, after)])


def _writes_link(stack: Sequence[Mark]) -> bool:
    return any(mark[0] == "[" for mark in stack)


def common(one: Sequence[Mark], other: Sequence[Mark]) -> int:
    """How many marks two stacks share from the outside."""
    count = 0
    for mark, same in zip(one, other, strict=False):
        if mark != same:
            break
        count += 1
    return count


def joint(before: Atom, written: str, atom: Atom, gap: int) -> str:
    """What stands between two neighbours; `gap` line feeds where the second begins a line."""
    if atom.first:
        same = atom.quote and atom.quote == before.quote
        feeds = ("\n> " if same else "\n") * (gap - 1) + "\n"
        return f"{before.closed()}{feeds}{atom.lead}{atom.opened()}"
    shared = common(before.stack, atom.stack)
    closed, opened = before.closed(shared), atom.opened(shared)
    touching = (closed or written)[-1:] == opened[:1] != ""
    return f"{closed}{APART if touching else ''}{opened}"


def _bracketed(address: str) -> str:
    return f"<{address}>"


def _quoted(text: str, prefix: str) -> str:
    return fenced(text).replace("\n", f"\n{prefix}")
