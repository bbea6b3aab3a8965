"""From Markdown to styled text: one pass over pyromark's events (CommonMark and GFM's tables).

Raw HTML is text. A line break in a paragraph stays one, as people who write in a chat mean it.
Control and bidirectional formatting characters become what Telegram's server makes of them: tabs
and controls are spaces, carriage returns and U+2028 to U+202E are dropped. The work is linear.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pyromark

from gateway_core.text.document import Block, Document, Kind, Span, Style
from gateway_core.text.links import bare_addresses, web_address, written_out
from gateway_core.text.nesting import Nesting
from gateway_core.text.tables import aligned

_OPTIONS = pyromark.Options
_MARKDOWN = pyromark.Markdown(
    options=_OPTIONS.ENABLE_TABLES | _OPTIONS.ENABLE_STRIKETHROUGH | _OPTIONS.ENABLE_TASKLISTS
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNCLEAN = re.compile("[\x00-\x09\x0b-\x1f\x7f\u2028-\u202e]")
_CLEANED: dict[int, str | None] = {
    **dict.fromkeys([*range(0x20), 0x7F], " "),
    **dict.fromkeys([0x0D, *range(0x2028, 0x202F)]),
    0x0A: "\n",
}
_DEEPEST = 8
"""List levels that are indented; deeper ones look like this one."""

_INLINE = {"Emphasis": Style.ITALIC, "Strong": Style.BOLD, "Strikethrough": Style.STRIKE}
NESTED_QUOTE = 2
RULE = "─" * 8
BOXES = {True: "☑ ", False: "☐ "}
BULLET = "• "


def parse(source: str) -> Document:
    """The styled text of a Markdown `source`. Any text can be parsed; nothing is raised.

    Lone surrogates become U+FFFD, one for one.
    """
    source = _SURROGATE.sub("\ufffd", source)
    builder = _Builder(clean=_UNCLEAN.search(source) is None)
    handlers = builder.handlers()
    for event, where in _MARKDOWN.events_with_range(source):
        if isinstance(event, dict):
            for kind, value in event.items():
                handlers[kind](value, where["start"])
        else:
            handlers[event](event, where["start"])
    document = builder.document(source)
    return document if document.text.strip() else _as_it_is(source)


def _as_it_is(source: str) -> Document:
    """A source of which nothing would be seen (an empty fence, definitions) is shown itself."""
    text = source.translate(_CLEANED)
    return Document(source=source, text=text, blocks=(Block(0, 0, len(text), Kind.PARAGRAPH),))


class _Builder:
    """The document so far. A block is written when its first character comes, not before."""

    def __init__(self, *, clean: bool) -> None:
        self.clean = clean
        self.pieces: list[str] = []
        self.length = 0
        self.spans: list[Span] = []
        self.blocks: list[Block] = []
        self.marks: list[tuple[int, int]] = []
        self.degraded: list[tuple[int, str]] = []
        self.counts = dict.fromkeys([*Style], 0)
        self.starts: dict[Style, int] = {}
        self.links: list[tuple[str, str, int]] = []
        self.lists: list[int | None] = []
        self.quotes = self.quote = self.quote_from = 0
        self.marker = ""
        self.origin: int | None = None
        self.table: _Table | None = None
        self._reset()

    def _reset(self) -> None:
        self.open = False
        self.kind = Kind.PARAGRAPH
        self.level = 0
        self.language = ""
        self.start = self.body = 0
        self.before = (0, 0, 0)

    def handlers(self) -> dict[str, Callable[[Any, int], None]]:
        """What to do at each of pyromark's events, by its name."""
        return {
            "Text": self.write,
            "Html": self.write,
            "InlineHtml": self.write,
            "Code": self._code,
            "SoftBreak": self._line_feed,
            "HardBreak": self._line_feed,
            "Start": self._begin,
            "End": self._end,
            "Rule": self._rule,
            "TaskListMarker": self._task,
        }

    # -- characters

    def write(self, text: str, origin: int) -> None:
        """Add visible characters that stand at `origin` in the source."""
        if not self.clean:
            text = self._cleaned(text)
        if not text:
            return
        if not self.open:
            self._open(origin)
        self.marks.append((self.length, origin))
        self.pieces.append(text)
        self.length += len(text)

    def _cleaned(self, text: str) -> str:
        if self.kind is Kind.CODE:
            text = text.replace("\t", "    ")
        return text.translate(_CLEANED)

    def _line_feed(self, _: str, origin: int) -> None:
        self.write("\n", origin)

    def _code(self, text: str, origin: int) -> None:
        self._style(Style.CODE, origin)
        self.write(text, origin)
        self._unstyle(Style.CODE)

    # -- blocks

    def _open(self, origin: int) -> None:
        """Write what stands before a block's first character: the gap, indentation, marker."""
        self.open = True
        self.before = (len(self.pieces), len(self.marks), self.length)
        depth = min(len(self.lists), _DEEPEST)
        gap = self._gap() if self.blocks else ""
        self.start = self.length + len(gap)
        self.marks.append((self.start, origin if self.origin is None else self.origin))
        lead = ""
        if depth and self.kind in (Kind.PARAGRAPH, Kind.HEADING):
            lead = "  " * (depth if not self.marker else depth - 1)
        lead = gap + lead + self.marker
        self.pieces.append(lead)
        self.length += len(lead)
        self.body = self.length
        self.origin = None

    def _gap(self) -> str:
        """One line feed or two between the last block and the one that begins."""
        last = self.blocks[-1]
        if last.quote != self.quote:
            return "\n\n" if last.quote and self.quote else "\n"
        if self.kind is Kind.HEADING:
            return "\n\n"
        if last.kind is not Kind.PARAGRAPH or self.kind is not Kind.PARAGRAPH:
            return "\n"
        return "\n" if self.lists else "\n\n"

    def _close(self) -> None:
        """End the open block, if there is one."""
        if self.marker and not self.open:
            self.kind = Kind.PARAGRAPH
            self._open(self.origin or 0)
        if self.open and self.length == self.body and not self.marker:
            self._take_back()
        elif self.open:
            depth = min(len(self.lists), _DEEPEST)
            place = (self.start, self.body, self.length, self.kind, self.level, self.language)
            self.blocks.append(Block(*place, self.quote, depth, self.marker))
            self.marker = ""
        self._reset()

    def _take_back(self) -> None:
        """A block that turned out to be empty was never there."""
        pieces, marks, self.length = self.before
        del self.pieces[pieces:], self.marks[marks:]

    def _rule(self, _: str, origin: int) -> None:
        self._close()
        self.kind = Kind.RULE
        self.write(RULE, origin)
        self._close()

    def _task(self, done: bool, _: int) -> None:
        self.marker = BOXES[done]

    # -- constructs

    def _begin(self, tag: Any, origin: int) -> None:
        name, value = next(iter(tag.items())) if isinstance(tag, dict) else (tag, None)
        if name in _INLINE:
            self._style(_INLINE[name], origin)
        elif name in ("Link", "Image"):
            self._begin_link(name, value, origin)
        elif name in ("TableHead", "TableRow", "TableCell"):
            self._in_table(name, origin)
        else:
            self._begin_block(name, value, origin)

    def _begin_block(self, name: str, value: Any, origin: int) -> None:
        if name != "Paragraph" or self.open:
            self._close_before(name)
        if self.origin is None:
            self.origin = origin
        match name:
            case "Heading":
                self.kind, self.level = Kind.HEADING, int(value["level"][1])
            case "CodeBlock":
                self.kind, self.language = Kind.CODE, _language(value)
            case "BlockQuote":
                self._begin_quote()
            case "List":
                self.lists.append(value)
            case "Item":
                self._begin_item()
            case "Table":
                self._begin_table(value, origin)

    def _close_before(self, name: str) -> None:
        """A marker waits for the block that it belongs to; a list or an item is none."""
        if self.open or (self.marker and name in ("List", "Item", "Table", "CodeBlock")):
            self._close()

    def _begin_item(self) -> None:
        number = self.lists[-1]
        self.marker = BULLET if number is None else f"{number}. "
        if number is not None:
            self.lists[-1] = number + 1

    def _begin_quote(self) -> None:
        self.counts[Style.QUOTE] += 1
        if self.counts[Style.QUOTE] == NESTED_QUOTE:
            self.degraded.append((self.length, "nested quote joined with its outer one"))
        if self.counts[Style.QUOTE] == 1:
            self.quotes += 1
            self.quote, self.quote_from = self.quotes, len(self.blocks)

    def _end(self, tag: Any, _: int) -> None:
        name = next(iter(tag)) if isinstance(tag, dict) else tag
        if name in _INLINE:
            self._unstyle(_INLINE[name])
        elif name in ("Link", "Image"):
            self._end_link()
        elif name in ("TableHead", "TableRow", "TableCell"):
            return
        else:
            self._end_block(name)

    def _end_block(self, name: str) -> None:
        if name == "Table":
            self._end_table()
        if self.open and (self.kind is Kind.CODE or name == "HtmlBlock"):
            self._trim()
        if self.open or name == "Item":
            self._close()
        if name == "List":
            self.lists.pop()
        elif name == "BlockQuote":
            self._end_quote()
        self.kind = Kind.PARAGRAPH

    def _trim(self) -> None:
        """The last line feed of code and HTML ends its last line; it is no character of it."""
        last = self.pieces[-1]
        kept = last.removesuffix("\n")
        self.pieces[-1] = kept
        self.length -= len(last) - len(kept)

    def _end_quote(self) -> None:
        self.counts[Style.QUOTE] -= 1
        if self.counts[Style.QUOTE] == 0:
            if len(self.blocks) > self.quote_from:
                start = self.blocks[self.quote_from].start
                self.spans.append(Span(start, self.length, Style.QUOTE))
            self.quote = 0

    # -- styles

    def _style(self, style: Style, origin: int) -> None:
        """Styles of one kind do not nest: only the outermost counts."""
        if not self.open:
            self._open(origin)
        self.counts[style] += 1
        if self.counts[style] == 1:
            self.starts[style] = self.length
            self.marks.append((self.length, origin))

    def _unstyle(self, style: Style, value: str = "") -> None:
        self.counts[style] -= 1
        if self.counts[style] == 0 and self.length > self.starts[style]:
            self.spans.append(Span(self.starts[style], self.length, style, value))

    def _begin_link(self, name: str, value: Any, origin: int) -> None:
        self._style(Style.LINK, origin)
        self.links.append((name, value["dest_url"], len(self.pieces)))
        if name == "Image":
            self.degraded.append((self.length, "image shown as a link"))

    def _end_link(self) -> None:
        name, destination, since = self.links.pop()
        text = "".join(self.pieces[since:])
        address = "" if text == destination else web_address(destination)
        outer = self.links[0][1] if self.links else ""
        if not text and name == "Image":
            self._add(destination)
        elif (not address or self.table) and not outer and text != destination:
            self._write_out(text, destination)
        self._unstyle(Style.LINK, address)

    def _write_out(self, text: str, destination: str) -> None:
        if words := written_out(text, destination):
            self.degraded.append((self.length, "link written out"))
            self._add(words)

    def _add(self, words: str) -> None:
        """Add visible characters that the source has elsewhere."""
        words = _SURROGATE.sub("\ufffd", words).translate(_CLEANED)
        self.pieces.append(words)
        self.length += len(words)

    # -- tables

    def _begin_table(self, aligns: tuple[str, ...], origin: int) -> None:
        self.kind = Kind.TABLE
        self._open(origin)
        kept = (self.pieces, self.length, len(self.spans), len(self.marks))
        self.table = _Table(aligns, *kept)

    def _in_table(self, name: str, origin: int) -> None:
        if self.table is None:
            return
        self.pieces = []
        if name == "TableCell":
            self.table.rows[-1].append(self.pieces)
        else:
            self.table.rows.append([])
            self.table.origins.append(origin)

    def _end_table(self) -> None:
        table, self.table = self.table, None
        if table is None:
            return
        self.pieces, self.length = table.pieces, table.length
        del self.spans[table.spans :], self.marks[table.marks :]
        lines = table.lines()
        header = len(lines[0]) + len(lines[1]) + 2
        self.body = self.start + header
        self.marks += table.places(lines, self.length)
        self._add("\n".join(lines))
        self.degraded.append((self.start, "table shown in monospace"))

    def document(self, source: str) -> Document:
        """The finished document of `source`."""
        self._close()
        text = "".join(self.pieces)
        self.spans.sort(key=_outermost_first)
        if bare := list(_bare_links(text, self.spans, self.blocks)):
            self.spans = sorted([*self.spans, *bare], key=_outermost_first)
        marks = self.marks if source.isascii() else _in_code_points(self.marks, source)
        return Document(
            source=source,
            text=text,
            spans=tuple(self.spans),
            blocks=tuple(self.blocks),
            marks=((0, 0), *marks),
            degraded=tuple(self.degraded),
        )


class _Table:
    """A table while its cells are read: they are laid out when the widths are known."""

    def __init__(
        self, aligns: tuple[str, ...], pieces: list[str], length: int, spans: int, marks: int
    ) -> None:
        self.aligns = aligns
        self.pieces, self.length, self.spans, self.marks = pieces, length, spans, marks
        self.rows: list[list[list[str]]] = []
        self.origins: list[int] = []

    def lines(self) -> list[str]:
        """The aligned lines; white space in a cell is one space, for a row is one line."""
        rows = [[" ".join("".join(cell).split()) for cell in row] for row in self.rows]
        return aligned(rows, self.aligns)

    def places(self, lines: list[str], start: int) -> list[tuple[int, int]]:
        """Where each row begins, in the text and in the source."""
        origins = [self.origins[0], *self.origins]
        places = []
        for line, origin in zip(lines, origins, strict=True):
            places.append((start, origin))
            start += len(line) + 1
        return places


def _language(value: Any) -> str:
    """The first word of a fence's info string."""
    words = value["Fenced"].split(maxsplit=1) if isinstance(value, dict) else []
    return words[0] if words else ""


def _outermost_first(span: Span) -> tuple[int, int]:
    return span.start, -span.end


def _bare_links(text: str, spans: list[Span], blocks: list[Block]) -> Iterator[Span]:
    """Addresses in the text that are links by themselves: whole in their style, in no code."""
    nesting = Nesting(spans)
    solid = [block[:3] for block in blocks if block.kind in (Kind.CODE, Kind.TABLE)]
    solids = Nesting([(start, end) for start, _, end in solid])
    for start, end in bare_addresses(text):
        around = nesting.touching(start, end)
        if not solids.touching(start, end) and all(_holds(span, start, end) for span in around):
            yield Span(start, end, Style.LINK, text[start:end])


def _holds(span: Span, start: int, end: int) -> bool:
    """Whether a span is a style all around a stretch."""
    whole = span.start <= start and end <= span.end
    return whole and span.style is not Style.CODE and span.style is not Style.LINK


def _in_code_points(marks: list[tuple[int, int]], source: str) -> list[tuple[int, int]]:
    """The marks with their places in the source's UTF-8 turned into places in its text."""
    octets = source.encode()
    converted = []
    last = count = 0
    for place, origin in marks:
        if origin >= last:
            count += len(octets[last:origin].decode())
        else:
            count -= len(octets[origin:last].decode())
        last = origin
        converted.append((place, count))
    return converted
