"""The styled text of a Markdown document, built from a parser's events."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from gateway_core.text.document import Block, Kind, Span, Style
from gateway_core.text.links import web_address, written_out
from gateway_core.text.tables import aligned

SURROGATE = re.compile("[\ud800-\udfff]")
CLEANED: dict[int, str | None] = {
    **dict.fromkeys([*range(0x20), 0x7F], " "),
    **dict.fromkeys([0x0D, *range(0x2028, 0x202F)]),
    0x0A: "\n",
}
"""What control and bidirectional formatting characters become."""

_DEEPEST = 8
"""List levels that are indented; deeper ones look like this one."""

_INLINE = {"Emphasis": Style.ITALIC, "Strong": Style.BOLD, "Strikethrough": Style.STRIKE}
NESTED_QUOTE = 2
RULE = "─" * 8
BOXES = {True: "☑ ", False: "☐ "}
BULLET = "• "


class Builder:
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
        self.links: list[tuple[str, int]] = []
        self.lists: list[int | None] = []
        self.quotes = self.quoted = self.quote = self.quote_from = 0
        self.marker = ""
        self.origin: int | None = None
        self.table: _Table | None = None
        self.start = self.body = 0
        self.before = (0, 0, 0)
        self._reset()

    def _reset(self) -> None:
        self.open = False
        self.kind = Kind.PARAGRAPH
        self.level = 0
        self.language = ""

    def handlers(self) -> dict[str, Callable[[Any, int], None]]:
        """What to do at each of pyromark's events, by its name: its value, its place in UTF-8."""
        begins, ends = self._begins(), self._ends()

        def begin(tag: Any, origin: int) -> None:
            if isinstance(tag, str):
                begins[tag](None, origin)
            else:
                for name, value in tag.items():
                    begins[name](value, origin)

        def end(tag: Any, origin: int) -> None:
            ends[tag if isinstance(tag, str) else next(iter(tag))](tag, origin)

        return {
            "Text": self.write,
            "Html": self.write,
            "InlineHtml": self.write,
            "Code": self._code,
            "SoftBreak": self._line_feed,
            "HardBreak": self._line_feed,
            "Start": begin,
            "End": end,
            "Rule": self._rule,
            "TaskListMarker": self._task,
        }

    def _begins(self) -> dict[str, Callable[[Any, int], None]]:
        return {
            **{name: partial(self._begin_style, style) for name, style in _INLINE.items()},
            "Link": self._begin_link,
            "Image": self._begin_image,
            "Paragraph": self._begin_paragraph,
            "HtmlBlock": self._begin_paragraph,
            "Heading": self._begin_heading,
            "CodeBlock": self._begin_code,
            "BlockQuote": self._begin_quote,
            "List": self._begin_list,
            "Item": self._begin_item,
            "Table": self._begin_table,
            "TableHead": self._begin_row,
            "TableRow": self._begin_row,
            "TableCell": self._begin_cell,
        }

    def _ends(self) -> dict[str, Callable[[Any, int], None]]:
        return {
            **{name: partial(self._end_style, style) for name, style in _INLINE.items()},
            "Link": self._end_link,
            "Image": self._end_link,
            "Paragraph": self._end_paragraph,
            "HtmlBlock": self._end_lines,
            "Heading": self._end_paragraph,
            "CodeBlock": self._end_lines,
            "BlockQuote": self._end_quote,
            "List": self._end_list,
            "Item": self._end_item,
            "Table": self._end_table,
            "TableHead": _nothing,
            "TableRow": _nothing,
            "TableCell": _nothing,
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
        return text.translate(CLEANED)

    def _line_feed(self, _: str, origin: int) -> None:
        self.write("\n", origin)

    def _code(self, text: str, origin: int) -> None:
        if not self.open:
            self._open(origin)
        start = self.length
        self.write(text, origin)
        self.spans.append(Span(start, self.length, Style.CODE))

    # -- blocks

    def _open(self, origin: int) -> None:
        """Write what stands before a block's first character: the gap, indentation, marker."""
        self.open = True
        self.before = (len(self.pieces), len(self.marks), self.length)
        lead = self._gap() if self.blocks else ""
        self.start = self.length + len(lead)
        self.marks.append((self.start, origin if self.origin is None else self.origin))
        if self.lists:
            lead += self._indentation() + self.marker
        if lead:
            self.pieces.append(lead)
            self.length += len(lead)
        self.body = self.length
        self.origin = None

    def _depth(self) -> int:
        return min(len(self.lists), _DEEPEST)

    def _indentation(self) -> str:
        """Of a list's level; what goes on in an item stands where its text does."""
        if self.kind is not Kind.PARAGRAPH and self.kind is not Kind.HEADING:
            return ""
        return "  " * (self._depth() - 1 if self.marker else self._depth())

    def _gap(self) -> str:
        """One line feed or two between the last block and the one that begins."""
        last = self.blocks[-1]
        if self.kind is Kind.HEADING:
            return "\n\n"
        if last.quote != self.quote:
            return "\n\n" if last.quote and self.quote else "\n"
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
            depth = self._depth() if self.lists else 0
            place = (self.start, self.body, self.length)
            kind = (self.kind, self.level, self.language, self.quote, depth, self.marker)
            self.blocks.append(Block._make((*place, *kind)))
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

    def _from(self, origin: int) -> None:
        """The next block's place in the source is that of the outermost construct around it."""
        if self.open:
            self._close()
        if self.origin is None:
            self.origin = origin

    def _begin_paragraph(self, _: Any, origin: int) -> None:
        self._from(origin)

    def _begin_heading(self, value: Any, origin: int) -> None:
        self._from(origin)
        self.kind, self.level = Kind.HEADING, int(value["level"][1])

    def _begin_code(self, value: Any, origin: int) -> None:
        self._flush(origin)
        self.kind, self.language = Kind.CODE, _language(value)

    def _flush(self, origin: int) -> None:
        """A list, an item, code or a table does not stand behind a marker: it has its own line."""
        if self.open or self.marker:
            self._close()
        self._from(origin)

    def _begin_list(self, value: Any, origin: int) -> None:
        self._flush(origin)
        self.lists.append(value)

    def _begin_item(self, _: Any, origin: int) -> None:
        self._flush(origin)
        number = self.lists[-1]
        self.marker = BULLET if number is None else f"{number}. "
        if number is not None:
            self.lists[-1] = number + 1

    def _begin_quote(self, _: Any, origin: int) -> None:
        self._from(origin)
        self.quoted += 1
        if self.quoted == NESTED_QUOTE:
            self.degraded.append((self.length, "nested quote joined with its outer one"))
        if self.quoted == 1:
            self.quotes += 1
            self.quote, self.quote_from = self.quotes, len(self.blocks)

    def _end_paragraph(self, _: Any, __: int) -> None:
        if self.open:
            self._close()
        self.kind = Kind.PARAGRAPH

    def _end_lines(self, _: Any, __: int) -> None:
        if self.open:
            self._trim()
            if "".join(self.pieces[self.before[0] :]).isspace():
                self._take_back()
                self._reset()
            else:
                self._close()
        self.kind = Kind.PARAGRAPH

    def _end_item(self, _: Any, __: int) -> None:
        self._close()

    def _end_list(self, _: Any, __: int) -> None:
        if self.open:
            self._close()
        self.lists.pop()

    def _trim(self) -> None:
        """The last line feed of code and HTML ends its last line; it is no character of it."""
        last = self.pieces[-1]
        kept = last.removesuffix("\n")
        self.pieces[-1] = kept
        self.length -= len(last) - len(kept)

    def _end_quote(self, _: Any, __: int) -> None:
        if self.open:
            self._close()
        self.quoted -= 1
        if self.quoted == 0:
            if len(self.blocks) > self.quote_from:
                start = self.blocks[self.quote_from].start
                self.spans.append(Span(start, self.length, Style.QUOTE))
            self.quote = 0

    # -- styles

    def _begin_style(self, style: Style, _: Any, origin: int) -> None:
        """Styles of one kind do not nest: only the outermost counts."""
        if not self.open:
            self._open(origin)
        self.counts[style] += 1
        if self.counts[style] == 1:
            self.starts[style] = self.length
            self.marks.append((self.length, origin))

    def _end_style(self, style: Style, _: Any, __: int, value: str = "") -> None:
        self.counts[style] -= 1
        if self.counts[style] == 0 and self.length > self.starts[style]:
            self.spans.append(Span(self.starts[style], self.length, style, value))

    def _begin_link(self, value: Any, origin: int) -> None:
        self._begin_style(Style.LINK, value, origin)
        self.links.append((value["dest_url"], len(self.pieces)))

    def _begin_image(self, value: Any, origin: int) -> None:
        self._begin_link(value, origin)
        self.degraded.append((self.length, "image shown as a link"))

    def _end_link(self, tag: Any, origin: int) -> None:
        destination, since = self.links.pop()
        text = "".join(self.pieces[since:])
        address = "" if text == destination else web_address(destination)
        outer = self.links[0][0] if self.links else ""
        if not text and tag == "Image":
            self._add(destination)
        elif (not address or self.table) and not outer and text != destination:
            self._write_out(text, destination)
        if address:
            self._end_style(Style.LINK, tag, origin, address)
        else:
            self.counts[Style.LINK] -= 1

    def _write_out(self, text: str, destination: str) -> None:
        if words := written_out(text, destination):
            self.degraded.append((self.length, "link written out"))
            self._add(words)

    def _add(self, words: str) -> None:
        """Add visible characters that the source has elsewhere."""
        words = SURROGATE.sub("\ufffd", words).translate(CLEANED)
        self.pieces.append(words)
        self.length += len(words)

    # -- tables

    def _begin_table(self, aligns: tuple[str, ...], origin: int) -> None:
        self._flush(origin)
        self.kind = Kind.TABLE
        self._open(origin)
        kept = (self.pieces, self.length, len(self.spans), len(self.marks))
        self.table = _Table(aligns, *kept)

    def _begin_row(self, _: Any, origin: int) -> None:
        if self.table is not None:
            self.table.rows.append([])
            self.table.origins.append(origin)

    def _begin_cell(self, _: Any, __: int) -> None:
        if self.table is not None:
            self.pieces = []
            self.table.rows[-1].append(self.pieces)

    def _end_table(self, _: Any, __: int) -> None:
        table, self.table = self.table, None
        if table is None:
            return
        self.pieces, self.length = table.pieces, table.length
        del self.spans[table.spans :], self.marks[table.marks :]
        lines = table.lines()
        header = len(lines[0]) + len(lines[1]) + 2 if lines[2:] else 0
        self.body = self.start + header
        self.marks += table.places(lines, self.length)
        self._add("\n".join(lines))
        self.degraded.append((self.start, "table shown in monospace"))
        self._close()

    def close(self) -> str:
        """End what is open; the visible text."""
        self._close()
        return "".join(self.pieces)


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
        # The rule under the header comes from a row that the parser does not tell of.
        origins = [self.origins[0], self.origins[min(1, len(self.origins) - 1)], *self.origins[1:]]
        places = []
        for line, origin in zip(lines, origins, strict=True):
            places.append((start, origin))
            start += len(line) + 1
        return places


def _language(value: Any) -> str:
    """The first word of a fence's info string."""
    words = value["Fenced"].split(maxsplit=1) if isinstance(value, dict) else []
    return words[0] if words else ""


def _nothing(_: Any, __: int) -> None:
    """Rows and cells end where the next ones begin."""
