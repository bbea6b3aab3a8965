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
NUMBER = re.compile(r"[-+]?[\d,.]+(?: ?[%x]| [µm]?s| [kKMGT]?B)?")


def setup(app: Any) -> dict[str, bool]:
    """Sphinx's entry."""
    app.set_translator("html", Translator)
    app.connect("doctree-resolved", lambda _app, tree, _name: mark(tree))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mark(tree: nodes.document) -> None:
    """Give each table its classes, and each cell of its body the heading of its column."""
    for table in tree.findall(nodes.tgroup):
        for name in table.findall(nodes.literal):
            if len(name.astext()) <= SHORT:
                name["classes"].append("short")
        rows = [[*row.findall(nodes.entry)] for row in table.findall(nodes.row)]
        headed = [*table.findall(nodes.thead)]
        headings = [cell.astext() for cell in rows[0]] if headed else []
        columns = int(table["cols"])
        if columns >= BLOCKS and any(headings):
            table.parent["classes"].append("as-blocks")
        if columns >= MANY:
            table.parent["classes"].append("many-columns")
        for row in rows[len(headed) :]:
            for heading, cell in zip_longest(headings, row):
                if cell is not None:
                    _mark_cell(cell, heading)


def _mark_cell(cell: nodes.entry, heading: str | None) -> None:
    cell["column"] = heading or ""
    if NUMBER.fullmatch(cell.astext()):
        cell["classes"].append("number")


class Translator(HTML5Translator):
    """Sphinx's, whose cells name their column."""

    def visit_entry(self, node: nodes.Element) -> None:
        """As Docutils writes it, with one attribute more."""
        before = len(self.body)
        super().visit_entry(node)
        if column := node.get("column"):
            told = f' data-column="{self.attval(column)}"'
            self.body[before] = self.body[before].replace("<td", f"<td{told}", 1)
