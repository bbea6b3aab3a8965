"""Tables that fit their page: cells that know their column, for `_static/pages.css`.

A table of three columns and more becomes a list of blocks on a narrow page, and each cell then
shows the heading of its column. One of more than six gets smaller letters.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Any

from docutils import nodes
from sphinx.writers.html5 import HTML5Translator

BLOCKS, MANY = 3, 7
"""Columns from which a table becomes blocks on a narrow page, and has smaller letters on each."""
SHORT = 20
"""Characters up to which a name in a cell is never broken."""
NUMBER = re.compile(r"-|[-+]?[\d,.]+(?: ?[%x]| [µm]?s| [kKMGT]?B)?")
"""A number with its unit, or the dash of one that does not exist."""
NUMBERS = 0.75
"""Share of a column's cells from which it is one of numbers, and those stand at its right edge."""
JOINT = re.compile(r"(?<=\w)([._/])(?=\w)")
"""After these a long name in a cell is broken, before it is broken anywhere."""


def setup(app: Any) -> dict[str, bool]:
    """Sphinx's entry."""
    app.set_translator("html", Translator)
    app.connect("doctree-resolved", lambda _app, tree, _name: mark(tree))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mark(tree: nodes.document) -> None:
    """Give each table its classes, and each cell of its body the heading of its column."""
    for table in tree.findall(nodes.tgroup):
        for name in table.findall(nodes.literal):
            name["classes"].append("short" if len(name.astext()) <= SHORT else "long")
        rows = [[*row.findall(nodes.entry)] for row in table.findall(nodes.row)]
        headed = [*table.findall(nodes.thead)]
        headings = [cell.astext() for cell in rows[0]] if headed else []
        columns = int(table["cols"])
        if columns >= BLOCKS and any(headings):
            table.parent["classes"].append("as-blocks")
        if columns >= MANY:
            table.parent["classes"].append("many-columns")
        for heading, *cells in zip_longest(headings, *rows[len(headed) :]):
            _mark_column([cell for cell in cells if cell is not None], heading or "")


def _mark_column(cells: list[nodes.entry], heading: str) -> None:
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell.astext())]
    for cell in cells:
        cell["column"] = heading
    if len(numbers) >= NUMBERS * len(cells):
        for cell in numbers:
            cell["classes"].append("number")


class Translator(HTML5Translator):
    """Sphinx's, whose cells name their column and whose long names there break at their joints."""

    def visit_entry(self, node: nodes.Element) -> None:
        """As Docutils writes it, with one attribute more."""
        before = len(self.body)
        super().visit_entry(node)
        if column := node.get("column"):
            told = f' data-column="{self.attval(column)}"'
            self.body[before] = self.body[before].replace("<td", f"<td{told}", 1)

    def visit_Text(self, node: nodes.Text) -> None:  # noqa: N802 (docutils names it)
        """As Sphinx writes it; a long name in a cell may be broken after its joints."""
        before = len(self.body)
        super().visit_Text(node)
        if isinstance(node.parent, nodes.literal) and "long" in node.parent["classes"]:
            self.body[before:] = [JOINT.sub(r"\1<wbr>", text) for text in self.body[before:]]
