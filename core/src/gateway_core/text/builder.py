"""The styled text of a Markdown document, built from a parser's events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeAlias

from gateway_core.text.canvas import Canvas
from gateway_core.text.document import Kind, Span, Style
from gateway_core.text.links import web_address, written_out
from gateway_core.text.tables import Row, Table

RULE = "─" * 8
BOXES = {True: "☑ ", False: "☐ "}
BULLET = "• "

Steps: TypeAlias = Mapping[str, Callable[[Any, Any, int], None]]
"""What to do at each event, by its name: with the builder, the event's value, its place."""


# Members in names of their own: CPython 3.11 takes longer to find one in its class than to call.
_PARAGRAPH, _HEADING, _SOLID, _TABLE = Kind.PARAGRAPH, Kind.HEADING, Kind.CODE, Kind.TABLE
_CODE, _LINK = Style.CODE, Style.LINK

_STYLED = {"Emphasis": Style.ITALIC, "Strong": Style.BOLD, "Strikethrough": Style.STRIKE}

_tuple = tuple.__new__
"""Makes a named tuple, at a third of what its class takes."""


class Builder(Canvas):
    """Turns a document's events into its visible characters, styles and blocks."""

    def __init__(self, *, clean: bool) -> None:
        super().__init__(clean=clean)
        self.counts = dict.fromkeys(Style, 0)
        self.begun: dict[Style, tuple[int, int]] = {}
        self.links: list[tuple[str, int]] = []
        self.rows: list[Row] = []
        self.quoted = self.quotes = self.quote_from = self.quote_span = 0
        self.events: Iterator[Any] = iter(())

    def read(self, events: Iterable[Any]) -> None:
        """Take in pyromark's events: each a name, or a name with a value; places are in UTF-8."""
        value: Any
        self.events = iter(events)
        begins, ends, mark, add = self.begins, self.ends, self.marks.append, self.pieces.append
        for event, where in self.events:
            kind, value = (event, "\n") if event.__class__ is str else event.popitem()
            if kind == "Text" or kind == "SoftBreak":  # noqa: PLR1714 - a tuple takes longer
                if self.plain and self.open:  # what `write` does, without asking it
                    mark((self.length, where["start"]))
                    add(value)
                    self.length += len(value)
                else:
                    self.write(value, where["start"])
            elif kind == "Start":
                if value.__class__ is not str:
                    name, inner = value.popitem()
                    begins[name](self, inner, where["start"])
                elif value in _STYLED:
                    self._begin_style(_STYLED[value], where["start"])
                else:
                    begins[value](self, None, where["start"])
            elif kind == "End":
                name = value if value.__class__ is str else next(iter(value))
                if name in _STYLED:
                    self._end_style(_STYLED[name])
                elif name in ends:
                    ends[name](self, name)
            else:
                self.alone[kind](self, value, where["start"])

    def _line_feed(self, _: Any, origin: int) -> None:
        self.write("\n", origin)

    def _code(self, text: str, origin: int) -> None:
        if not self.open:
            self.begin(origin)
        start = self.length
        self.write(text, origin)
        if self.length > start:
            self.spans.append(_tuple(Span, (start, self.length, _CODE, "")))

    def _rule(self, _: Any, origin: int) -> None:
        self.finish()
        self.kind = Kind.RULE
        self.write(RULE, origin)
        self.finish()

    def _task(self, done: bool, _: int) -> None:
        self.marker = BOXES[done]

    # -- blocks

    def _begin_paragraph(self, _: Any, origin: int) -> None:
        """The next block's place in the source is that of the outermost construct around it."""
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
        """Code and HTML: nothing but white space was never there."""
        if self.open:
            self._trim()
            if "".join(self.pieces[self.before[0] :]).isspace():
                self.take_back()
                self.reset()
            else:
                self.finish()
        self.kind = _PARAGRAPH

    def _trim(self) -> None:
        """The last line feed of code and HTML ends its last line; it is no character of it."""
        last = self.pieces[-1]
        kept = last.removesuffix("\n")
        self.pieces[-1] = kept
        self.length -= len(last) - len(kept)

    def _flush(self, origin: int) -> None:
        """A list, an item, code or a table does not stand behind a marker: it has its own line."""
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
                self.degraded.append((self.length, "nested quote joined with its outer one"))
            return
        self.quotes += 1
        self.quote, self.quote_from = self.quotes, len(self.blocks)
        self.quote_span = len(self.spans)
        self.spans.append(None)

    def _end_quote(self, _: str) -> None:
        self.quoted -= 1
        if self.quoted == 0:
            if len(self.blocks) > self.quote_from:
                start = self.blocks[self.quote_from].start
                self.spans[self.quote_span] = Span(start, self.length, Style.QUOTE)
            self.quote = 0

    # -- styles

    def _begin_style(self, style: Style, origin: int) -> None:
        """Styles of one kind do not nest: only the outermost counts."""
        if not self.open:
            self.begin(origin)
        self.counts[style] += 1
        if self.counts[style] == 1:
            self.begun[style] = (self.length, len(self.spans))
            self.spans.append(None)
            self.marks.append((self.length, origin))

    def _end_style(self, style: Style, value: str = "") -> None:
        self.counts[style] -= 1
        start, index = self.begun[style]
        if self.counts[style] == 0 and self.length > start:
            self.spans[index] = _tuple(Span, (start, self.length, style, value))

    def _begin_link(self, value: Any, origin: int) -> None:
        self._begin_style(_LINK, origin)
        self.links.append((value["dest_url"], len(self.pieces)))

    def _begin_image(self, value: Any, origin: int) -> None:
        self._begin_link(value, origin)
        self.degraded.append((self.length, "image shown as a link"))

    def _end_link(self, name: str) -> None:
        destination, since = self.links.pop()
        text = "".join(self.pieces[since:])
        address = "" if text == destination else web_address(destination)
        outer = self.links[0][0] if self.links else ""
        if not text and name == "Image":
            self.add(destination)
        elif (not address or self.table) and not outer and text != destination:
            self._write_out(text, destination)
        if address:
            self._end_style(_LINK, address)
        else:
            self.counts[_LINK] -= 1

    def _write_out(self, text: str, destination: str) -> None:
        if words := written_out(text, destination):
            self.degraded.append((self.length, "link written out"))
            self.add(words)

    # -- tables

    def _begin_table(self, aligns: tuple[str, ...], origin: int) -> None:
        self._flush(origin)
        self.kind = _TABLE
        self.begin(origin)
        kept = (self.pieces, self.length, len(self.spans), len(self.marks))
        self.table = Table(aligns, *kept)
        self._read_table(self.table)
        self._lay_out(self.table)

    def _read_table(self, table: Table) -> None:
        """Take in a table's cells. Of what is in one, links alone count besides characters."""
        value: Any
        for event, where in self.events:
            kind, value = (event, None) if event.__class__ is str else event.popitem()
            if kind in ("Text", "Code"):
                self.take(value, value if self.clean else self._cleaned(value), where["start"])
            elif kind == "Start":
                if value == "TableCell":
                    self.pieces = table.begin_cell(where["start"], self.length)
                elif value in ("TableRow", "TableHead"):
                    table.begin_row(where["start"])
                elif value.__class__ is not str:
                    name, inner = value.popitem()
                    self.begins[name](self, inner, where["start"])
            elif kind == "End":
                if value == "Table":
                    return
                if value in ("Link", "Image"):
                    self._end_link(value)
            else:
                self.alone[kind](self, value, where["start"])

    def _lay_out(self, table: Table) -> None:
        self.table = None
        lines, places, rows = table.laid_out(self.marks[table.marks :])
        self.pieces, self.length = table.pieces, table.length
        del self.spans[table.spans :], self.marks[table.marks :]
        header = len(lines[0]) + len(lines[1]) + 2 if lines[2:] else 0
        self.body = self.start + header
        self.marks += places
        self.rows += rows
        self.put("\n".join(lines))
        self.degraded.append((self.start, "table shown in monospace"))
        self.finish()

    # -- what to do at each event

    alone: ClassVar[Steps] = {
        "Html": Canvas.write,
        "InlineHtml": Canvas.write,
        "Code": _code,
        "SoftBreak": _line_feed,
        "HardBreak": _line_feed,
        "Rule": _rule,
        "TaskListMarker": _task,
    }
    begins: ClassVar[Steps] = {
        "Link": _begin_link,
        "Image": _begin_image,
        "Paragraph": _begin_paragraph,
        "HtmlBlock": _begin_paragraph,
        "Heading": _begin_heading,
        "CodeBlock": _begin_code,
        "BlockQuote": _begin_quote,
        "List": _begin_list,
        "Item": _begin_item,
        "Table": _begin_table,
    }
    ends: ClassVar[Mapping[str, Callable[[Any, str], None]]] = {
        "Link": _end_link,
        "Image": _end_link,
        "Paragraph": _end_paragraph,
        "HtmlBlock": _end_lines,
        "Heading": _end_paragraph,
        "CodeBlock": _end_lines,
        "BlockQuote": _end_quote,
        "List": _end_list,
        "Item": _end_item,
    }


def _language(value: Any) -> str:
    """The first word of a fence's info string."""
    words = value["Fenced"].split(maxsplit=1) if isinstance(value, dict) else []
    return words[0] if words else ""
