"""Builds the styled text of a Markdown document from a parser's events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from gateway_core.text.document import Kind, Style
from gateway_core.text.links import web_address, written_out
from gateway_core.text.reading.canvas import Canvas
from gateway_core.text.tables import Table

RULE: Final = "─" * 8
BOXES: Final = {True: "☑ ", False: "☐ "}
BULLET: Final = "• "

Steps: TypeAlias = Mapping[str, Callable[[Any, Any, int], None]]
"""What to do at each event, by the event's name; called with builder, event's value and place."""


# Enum members as globals: in CPython 3.11 finding one in its class takes longer than a call.
_PARAGRAPH: Final = Kind.PARAGRAPH
_HEADING: Final = Kind.HEADING
_SOLID: Final = Kind.CODE
_TABLE: Final = Kind.TABLE
_CODE: Final = Style.CODE
_LINK: Final = Style.LINK

_STYLED: Final = {"Emphasis": Style.ITALIC, "Strong": Style.BOLD, "Strikethrough": Style.STRIKE}


class Builder(Canvas):
    """Turns a document's events into its visible characters, styles and blocks."""

    def __init__(self, *, clean: bool) -> None:
        super().__init__(clean=clean)
        self.begun: dict[Style, tuple[int, int]] = {}
        self.inner: dict[Style, int] = {}
        self.links: list[tuple[str, int]] = []
        self.quoted = self.quotes = self.quote_from = self.quote_span = 0
        self.events: Iterator[tuple[str | dict[str, Any], dict[str, int]]] = iter(())

    def read(self, events: Iterable[Any]) -> None:
        """Read pyromark's events: each is a name, or a name with a value; places are in UTF-8."""
        self.events = iter(events)
        pieces, origins, clean = self.pieces, self.origins, self.clean
        for event, where in self.events:
            start = where["start"]
            if isinstance(event, str):
                if event == "SoftBreak":
                    self.write("\n", start)
                else:
                    _ALONE[event](self, None, start)
                continue
            kind, value = event.popitem()
            if kind == "Text":
                text: str = value
                if clean and self.open:  # does what `write` does, without calling it
                    pieces.append(text)
                    origins.append(start)
                else:
                    self.write(text, start)
            elif kind == "Start":
                self._begin(value, start)
            elif kind == "End":
                self._end(value)
            elif kind == "Code":
                self._code(value, start)
            else:
                _ALONE[kind](self, value, start)

    def _begin(self, value: Any, start: int) -> None:
        inner: Any = None
        if isinstance(value, str):
            name = value
        else:
            name, inner = value.popitem()
        if name == "Paragraph":
            self._begin_paragraph(None, start)
        elif name == "Item":
            self._begin_item(None, start)
        elif name in _STYLED:
            self._begin_style(_STYLED[name], start)
        else:
            _BEGINS[name](self, inner, start)

    def _end(self, value: Any) -> None:
        name: str = value if isinstance(value, str) else next(iter(value))
        if name == "Paragraph":
            self._end_paragraph(name)
        elif name == "Item":
            self._end_item(name)
        elif name in _STYLED:
            self._end_style(_STYLED[name])
        elif name in _ENDS:
            _ENDS[name](self, name)

    def _line_feed(self, _: Any, origin: int) -> None:
        self.write("\n", origin)

    def _code(self, text: str, origin: int) -> None:
        if not self.open:
            self.begin(origin)
        start = len(self.pieces)
        self.write(text, origin)
        if len(self.pieces) > start:
            self.spans.append((start, len(self.pieces), _CODE, ""))

    def _rule(self, _: Any, origin: int) -> None:
        self.finish()
        self.kind = Kind.RULE
        self.write(RULE, origin)
        self.finish()

    def _task(self, done: bool, _: int) -> None:
        self.marker = BOXES[done]

    # -- blocks

    def _begin_paragraph(self, _: Any, origin: int) -> None:
        """Begin a paragraph; the block's origin is that of the outermost construct around it."""
        if self.open:
            self.finish()
        if self.origin is None:
            self.origin = origin

    def _end_paragraph(self, _: str) -> None:
        if self.open:
            self.finish()
        self.kind = _PARAGRAPH

    def _begin_heading(self, value: Any, origin: int) -> None:
        self._begin_paragraph(None, origin)
        self.kind, self.level = _HEADING, int(value["level"][1])

    def _begin_code(self, value: Any, origin: int) -> None:
        self._flush(origin)
        self.kind, self.language = _SOLID, _language(value)

    def _end_lines(self, _: str) -> None:
        """End code or HTML; if it has only white space, it is dropped."""
        if self.open:
            self._trim()
            if "".join(self.pieces[self.before :]).isspace():
                self.take_back()
                self.reset()
            else:
                self.finish()
        self.kind = _PARAGRAPH

    def _trim(self) -> None:
        """Remove the last line feed of code or HTML, which only ends its last line."""
        last = len(self.pieces) - 1
        while last > self.body and not self.pieces[last]:
            last -= 1
        self.pieces[last] = self.pieces[last].removesuffix("\n")

    def _flush(self, origin: int) -> None:
        """Put a list, item, code or table on a line of its own, not after a list item's marker."""
        if self.open or self.marker:
            self.finish()
        if self.origin is None:
            self.origin = origin

    def _begin_list(self, value: Any, origin: int) -> None:
        self._flush(origin)
        self.lists.append(value)

    def _end_list(self, _: str) -> None:
        self.lists.pop()

    def _begin_item(self, _: Any, origin: int) -> None:
        self._flush(origin)
        number = self.lists[-1]
        if number is None:
            self.marker = BULLET
        else:
            self.marker = f"{number}. "
            self.lists[-1] = number + 1

    def _end_item(self, _: str) -> None:
        if self.open or self.marker:
            self.finish()

    def _begin_quote(self, _: Any, origin: int) -> None:
        self._begin_paragraph(None, origin)
        self.quoted += 1
        if self.quoted > 1:
            if self.quoted == 2:  # noqa: PLR2004 - the first that stands in another
                self.lose("nested quote joined with its outer one")
            return
        self.quotes += 1
        self.quote, self.quote_from = self.quotes, len(self.blocks)
        self.quote_span = len(self.spans)
        self.spans.append(None)

    def _end_quote(self, _: str) -> None:
        self.quoted -= 1
        if self.quoted == 0:
            if len(self.blocks) > self.quote_from:
                start = self.blocks[self.quote_from][0]
                self.spans[self.quote_span] = (start, len(self.pieces), Style.QUOTE, "")
            self.quote = 0

    # -- styles

    def _begin_style(self, style: Style, origin: int) -> None:
        """Begin a style; styles of one kind do not nest, only the outermost counts."""
        if not self.open:
            self.begin(origin)
        if style in self.begun:
            self.inner[style] = self.inner.get(style, 0) + 1
            return
        self.begun[style] = (len(self.pieces), len(self.spans))
        self.spans.append(None)
        self.pieces.append("")
        self.origins.append(origin)

    def _end_style(self, style: Style, value: str = "", *, counts: bool = True) -> None:
        if self.inner and self.inner.get(style):
            self.inner[style] -= 1
            return
        start, index = self.begun.pop(style)
        if counts and self.holds(start):
            self.spans[index] = (start, len(self.pieces), style, value)

    def _begin_link(self, value: Any, origin: int) -> None:
        self._begin_style(_LINK, origin)
        self.links.append((value["dest_url"], len(self.pieces)))

    def _begin_image(self, value: Any, origin: int) -> None:
        self._begin_link(value, origin)
        self.lose("image shown as a link")

    def _end_link(self, name: str) -> None:
        destination, since = self.links.pop()
        empty = name == "Image" and not self.holds(since)
        if self.links and self.links[0][0]:  # in another, whose text is asked for once
            if empty:
                self.add(destination)
            self._end_style(_LINK)
            return
        text = "".join(self.pieces[since:])
        address = "" if text == destination else web_address(destination)
        if empty:
            self.add(destination)
        elif (not address or self.table) and text != destination:
            self._write_out(text, destination)
        self._end_style(_LINK, address, counts=address != "")

    def _write_out(self, text: str, destination: str) -> None:
        if words := written_out(text, destination):
            self.lose("link written out")
            self.add(words)

    # -- tables

    def _begin_table(self, aligns: tuple[str, ...], origin: int) -> None:
        self._flush(origin)
        self.kind = _TABLE
        self.begin(origin)
        self.table = Table(aligns)
        kept = (self.pieces, self.origins, len(self.spans))
        self._read_table(self.table)
        self.pieces, self.origins, spans = kept
        del self.spans[spans:]
        self._lay_out(self.table)
        self.table = None
        self.finish()

    def _read_table(self, table: Table) -> None:
        """Read a table's cells, of which only characters and links count."""
        clean = self.clean
        for event, where in self.events:
            start = where["start"]
            if isinstance(event, str):
                _ALONE[event](self, None, start)
                continue
            kind, value = event.popitem()
            if kind == "Text" or kind == "Code":  # noqa: PLR1714 - a tuple takes longer
                text: str = value
                if clean:
                    self.pieces.append(text)
                    self.origins.append(start)
                else:
                    self.write(text, start)
            elif kind == "Start":
                self._begin_in_table(table, value, start)
            elif kind == "End":
                if value == "Table":
                    return
                if value == "Link" or value == "Image":  # noqa: PLR1714 - likewise
                    self._end_link(value)
            else:
                _ALONE[kind](self, value, start)

    def _begin_in_table(self, table: Table, value: Any, origin: int) -> None:
        if value == "TableCell":
            self.pieces, self.origins = table.begin_cell(origin)
        elif not isinstance(value, str):
            name, inner = value.popitem()
            _BEGINS[name](self, inner, origin)
        elif value == "TableRow" or value == "TableHead":  # noqa: PLR1714 - likewise
            table.begin_row(origin)

    def _lay_out(self, table: Table) -> None:
        """Write a table's rows, each as one piece; the rule belongs to the header."""
        first = len(self.pieces)
        lines, rows = table.laid_out()
        self.pieces += [f"{line}\n" for line in lines[:-1]]
        self.pieces.append(lines[-1])
        self.origins += table.origins
        if lines[1:]:
            self.body = first + 1
        self.rows += [(first + row, length, known) for row, length, known in rows]
        self.degraded += [(first + row, words) for row, words in table.degraded]
        self.degraded.append((self.start, "table shown in monospace"))


def _language(value: Any) -> str:
    """The first word of a fence's info string."""
    words = value["Fenced"].split(maxsplit=1) if isinstance(value, dict) else []
    return words[0] if words else ""


# What to do at the other events; the most frequent events are handled above, which takes less time.
# After the class, since a compiled class has no methods yet in its body.

_ALONE: Final[Steps] = {
    "Html": Canvas.write,
    "InlineHtml": Canvas.write,
    "HardBreak": Builder._line_feed,
    "Rule": Builder._rule,
    "TaskListMarker": Builder._task,
}
_BEGINS: Final[Steps] = {
    "Link": Builder._begin_link,
    "Image": Builder._begin_image,
    "HtmlBlock": Builder._begin_paragraph,
    "Heading": Builder._begin_heading,
    "CodeBlock": Builder._begin_code,
    "BlockQuote": Builder._begin_quote,
    "List": Builder._begin_list,
    "Table": Builder._begin_table,
}
_ENDS: Final[Mapping[str, Callable[[Any, str], None]]] = {
    "Link": Builder._end_link,
    "Image": Builder._end_link,
    "HtmlBlock": Builder._end_lines,
    "Heading": Builder._end_paragraph,
    "CodeBlock": Builder._end_lines,
    "BlockQuote": Builder._end_quote,
    "List": Builder._end_list,
}
