"""Styled text as atoms for Discord: stretches of one style in one line, each written once.

What stands between two atoms depends on these two alone, so the cost of any stretch of whole atoms
is a difference of two sums, and only what is cut at its ends is written anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import attrs

from gateway_core.text import Block, Document, Kind, Span, Style
from gateway_plugin_discord.dialect import (
    APART,
    CLOSERS,
    MARKS,
    code,
    escaping,
    fence,
    fenced,
    target,
)

# Members in names of their own: CPython 3.11 takes longer to find one in its class than to call.
_CODE, _LINK, _QUOTE = Style.CODE, Style.LINK, Style.QUOTE
_HEADING, _SOLID = Kind.HEADING, (Kind.CODE, Kind.TABLE)
_BOLD = (MARKS[Style.BOLD],) * 2

_NATIVE_HEADINGS = 3
"""Levels that Discord has; deeper headings, and those in lists, are bold."""

_ENDS_WORDS = re.compile(r"[^\[]*?\]\(")

_STYLES = frozenset(MARKS.values())

_MARKED = {style: (mark, mark) for style, mark in MARKS.items()}

_STRUCK = frozenset((_MARKED[Style.STRIKE], _MARKED[Style.SPOILER]))

_new = tuple.__new__
"""Makes a named tuple, at a third of what its class takes."""

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
        return "".join([mark[0] for mark in self.stack[since:]]) if self.stack else ""

    def closed(self, since: int = 0) -> str:
        """What closes its marks but the `since` outermost."""
        return "".join([mark[1] for mark in self.stack[since:][::-1]]) if self.stack else ""


class _Look(NamedTuple):
    """How a span is written: its marks, or what writes it without escapes."""

    start: int
    end: int
    mark: Mark | None
    literally: Callable[[str], str] | None


class _Piece(NamedTuple):
    begin: int
    end: int
    write: Callable[[str], str]
    stack: tuple[Mark, ...]


def maskable(text: str) -> bool:
    """Whether a link of these words can be a masked one; else its address is written behind."""
    return not ("://" in text or "[" in text or "]" in text)


def masked_from(document: Document) -> int:
    """The first place from which links can be masked: the last code that ends a link's words.

    Discord looks for the end of a link's words through code, where no backslash can stop it.
    """
    if "](" not in document.text:
        return 0
    solid = [block for block in document.blocks if block.kind in _SOLID]
    coded = [span for span in document.spans if span.style is _CODE]
    places = [(block.start, block.end) for block in solid]
    places += [(span.start, span.end) for span in coded]
    return max((a for a, b in places if _ENDS_WORDS.match(document.text, a, b)), default=0)


@attrs.define(eq=False)
class Atomizer:
    """Makes the atoms of a document.

    Invariant: lines are asked for in order, each once. `looks` holds those that begin before the
    end of the last line and may reach behind it, the outermost first; `following` come later.
    """

    document: Document
    previews: bool
    mentions: bool
    escape: Callable[[str], str] = attrs.field(init=False)
    escape_struck: Callable[[str], str] | None = attrs.field(init=False)
    looks: list[_Look] = attrs.field(init=False, factory=list)
    following: list[_Look] = attrs.field(init=False)
    masked_from: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.escape = escaping(mentions=self.mentions)
        self.masked_from = masked_from(self.document)
        looks = [self._look(span) for span in self.document.spans if span[2] is not _QUOTE]
        struck = not _STRUCK.isdisjoint([look[2] for look in looks])
        self.escape_struck = escaping(mentions=self.mentions, struck=True) if struck else None
        self.following = looks[::-1]

    def _look(self, span: Span) -> _Look:
        start, end, style, value = span
        if style is _CODE:
            return _new(_Look, (start, end, None, code))
        if style is not _LINK:
            return _new(_Look, (start, end, _MARKED[style], None))
        text = self.document.text[start:end]
        if not value or value == text:
            return _Look(start, end, None, self._bare(end) if value else None)
        address = target(value, preview=self.previews)
        if start < self.masked_from or not maskable(text):
            return _Look(start, end, ("", f" ({address})"), None)
        return _Look(start, end, ("[", f"]({address})"), None)

    def _bare(self, end: int) -> Callable[[str], str]:
        """Previews come of bare addresses, and end where Discord sees that they end."""
        free = self.document.text[end : end + 1] in ("", " ", "\n")
        return str if self.previews and free else _bracketed

    def atoms(self) -> list[Atom]:
        """The atoms in order."""
        made: list[Atom] = []
        before: Block | None = None
        for block in self.document.blocks:
            shown = block
            if before is not None and block.marker[:1].isdigit() and _restarts(before, block):
                # Discord counts on from a list's first number; as text it stays what it is.
                shown = block._replace(marker=block.marker.replace(".", "\\."))
            if block.kind in _SOLID:
                made.append(self._solid(shown))
            else:
                self._flow(shown, made)
            before = shown
        return made

    def _solid(self, block: Block) -> Atom:
        """A code block, or a table as one; white space alone cannot be fenced."""
        prefix = "> " if block.quote else ""
        write = fenced if not prefix else partial(_quoted, prefix=prefix)
        blank = not self.document.text[block.start : block.end].strip()
        marks: Mark = ("", "") if blank else (fence(block.language) + prefix, f"\n{prefix}```")
        place = (block.start, block.start, block.end)
        return Atom(*place, write, (marks,), prefix, prefix, block.quote, first=True)

    def _flow(self, block: Block, made: list[Atom]) -> None:
        """Add the lines of a paragraph, a heading or an item."""
        lead, again, around = _leads(block)
        quote = block.quote
        if quote:
            lead, again = f"> {lead}", f"> {again}"
        start = block.start
        for low, high in _lines(self.document.text, block.body, block.end):
            if self.looks:
                self.looks = [look for look in self.looks if look[1] > low]
            if not self.looks and not (self.following and self.following[-1][0] < high):
                # Most lines have no style of their own.
                stack = around if low < high else ()
                atom = (start, low, high, self.escape, stack, lead, again, quote, True)
                made.append(_new(Atom, atom))
                start, lead = high + 1, again
                continue
            first = True
            for begin, end, write, stack in self._pieces(low, high, around):
                place = start if first else begin
                atom = (place, begin, end, write, stack, lead, again, quote, first)
                made.append(_new(Atom, atom))
                lead, first = "", False
            start, lead = high + 1, again

    def _touching(self, low: int, high: int) -> list[_Look]:
        """The looks with characters in the line, the outermost first."""
        following = self.following
        while following and following[-1][0] < high:
            look = following.pop()
            if look[1] > low:
                self.looks.append(look)
        return self.looks

    def _pieces(self, low: int, high: int, around: tuple[Mark, ...]) -> Sequence[_Piece]:
        """Stretches of one style in a line; white space between two styles has what both have."""
        looks = self._touching(low, high)
        if around:
            looks = [look for look in looks if look.mark not in around]
        if not looks or low == high:
            return [_new(_Piece, (low, high, self.escape, around if low < high else ()))]
        apart = len(looks) == 1 or all(one[1] <= next_[0] for one, next_ in pairwise(looks))
        stretches = _one_by_one(looks, low, high) if apart else _swept(looks, low, high)
        pieces = [self._piece(begin, end, active, around) for begin, end, active in stretches]
        return _spaced(self.document.text, pieces)

    def _piece(
        self, begin: int, end: int, active: Sequence[_Look], around: tuple[Mark, ...]
    ) -> _Piece:
        if not active:
            return _new(_Piece, (begin, end, self.escape, around))
        stack = (*around, *[mark for _, _, mark, _ in active if mark])
        write = next((look.literally for look in active if look.literally), None)
        if write is None:
            struck = self.escape_struck and not _STRUCK.isdisjoint(stack)
            write = self.escape_struck if struck else self.escape
        elif stack and not CLOSERS.isdisjoint(self.document.text[begin:end]):
            stack = tuple(mark for mark in stack if mark[0] not in _STYLES)
        return _new(_Piece, (begin, end, write, stack))


_Stretch: TypeAlias = tuple[int, int, Sequence[_Look]]
"""What stands in the same spans, the outermost first."""


def _one_by_one(looks: Sequence[_Look], low: int, high: int) -> list[_Stretch]:
    """The stretches of a line whose spans neither nest nor overlap, as in most lines."""
    found: list[_Stretch] = []
    at = low
    for look in looks:
        begin, end = max(look[0], low), min(look[1], high)
        if begin > at:
            found.append((at, begin, ()))
        found.append((begin, end, (look,)))
        at = end
    if at < high:
        found.append((at, high, ()))
    return found


def _swept(looks: Sequence[_Look], low: int, high: int) -> Iterator[_Stretch]:
    """The stretches of any line."""
    edges = {low, high}
    for begin, end, _, _ in looks:
        edges |= {max(begin, low), min(end, high)}
    active: list[_Look] = []
    following = 0
    for begin, end in pairwise(sorted(edges)):
        if active:
            active = [look for look in active if look.end > begin]
        while following < len(looks) and looks[following].start <= begin:
            active.append(looks[following])
            following += 1
        yield begin, end, active


def is_native(block: Block) -> bool:
    """Whether a heading is one on Discord, too; others are bold."""
    return block.level <= _NATIVE_HEADINGS and not block.depth and not block.marker


def _leads(block: Block) -> tuple[str, str, tuple[Mark, ...]]:
    """What begins the first line, what begins further ones, and marks around all of it."""
    if block.kind is _HEADING:
        sign = "#" * block.level + " "
        return (
            (sign, sign, ()) if is_native(block) else (_marker(block), "  " * block.depth, (_BOLD,))
        )
    return _marker(block), "  " * block.depth, ()


def _restarts(before: Block, block: Block) -> bool:
    """Whether a numbered item does not go on counting where it follows another, or follows text."""
    if before.depth != block.depth or not before.marker[:1].isdigit():
        return False
    number = before.marker[:-2]
    return not number.isdigit() or int(number) + 1 != int(block.marker[:-2])


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


def _spaced(text: str, pieces: Sequence[_Piece]) -> Sequence[_Piece]:
    """The pieces with white space at a change of style taken out of the marks.

    Discord's italics may neither begin nor end with a space.
    """
    found: list[_Piece] = []
    for index, piece in enumerate(pieces):
        begin, end, _, stack = piece
        if not stack or (text[begin] != " " and text[end - 1] != " "):
            found.append(piece)
            continue
        before = pieces[index - 1].stack if index else ()
        after = pieces[index + 1].stack if index + 1 < len(pieces) else ()
        kept = stack[: common(stack, before)], stack[: common(stack, after)]
        found.extend(_trimmed(text, piece, *kept))
    return found


def _trimmed(
    text: str, piece: _Piece, before: tuple[Mark, ...], after: tuple[Mark, ...]
) -> Iterator[_Piece]:
    """A piece and the white space around it, which has what it shares with its neighbours."""
    begin, end, write, stack = piece
    content = text[begin:end]
    head = len(content) - len(content.lstrip(" ")) if stack != before else 0
    tail = len(content) - len(content.rstrip(" ")) if stack != after else 0
    if head == len(content) and head:
        yield _Piece(begin, end, write, min(before, after, key=len))
    elif write is code or _writes_link(stack):
        yield piece
    else:
        if head:
            yield _Piece(begin, begin + head, write, before)
        yield _Piece(begin + head, end - tail, write, stack)
        if tail:
            yield _Piece(end - tail, end, write, after)


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
        feeds = "\n"
        if gap > 1:
            same = atom.quote and atom.quote == before.quote
            feeds = ("\n> " if same else "\n") * (gap - 1) + "\n"
        closed = before.closed() if before.stack else ""
        return f"{closed}{feeds}{atom.lead}{atom.opened() if atom.stack else ''}"
    if before.stack == atom.stack:
        return APART if before.write is atom.write is code else ""
    shared = common(before.stack, atom.stack)
    closed, opened = before.closed(shared), atom.opened(shared)
    touching = (closed or written)[-1:] == opened[:1] != ""
    return f"{closed}{APART if touching else ''}{opened}"


def _bracketed(address: str) -> str:
    return f"<{address}>"


def _quoted(text: str, prefix: str) -> str:
    return fenced(text).replace("\n", f"\n{prefix}")
