"""The table of exit codes has every way in which the command line comes to 1."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLI = ROOT / "contrib/src/gateway_contrib/cli"
PAGE = ROOT / "docs/reference/cli.md"


def ones(path):
    """The places that end with exit code 1: `Ended(…, 1)`, and `return 0 if … else 1`."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name("Ended"), args=[_, ast.Constant(1)]):
                yield node
            case ast.Return(value=ast.IfExp(orelse=ast.Constant(1))):
                yield node


def test_each_way_to_exit_code_1_stands_in_the_table():
    table = PAGE.read_text().partition("| command | exit code 1 |")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split("|")[1] for line in table.splitlines()[2:]]
    said = [way for row in rows for way in row.split(";")]
    places = [place for path in sorted(CLI.rglob("*.py")) for place in ones(path)]
    assert len(places) == len(said)
