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
    [row] = [line for line in PAGE.read_text().splitlines() if line.startswith("| 1 |")]
    said = row.strip("| ").split("|")[1].split(";")
    places = [place for path in sorted(CLI.rglob("*.py")) for place in ones(path)]
    assert len(places) == len(said)
