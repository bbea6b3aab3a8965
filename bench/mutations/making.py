"""Chooses the mutations: `build/mutations/bin/python -m bench.mutations.making --root . >chosen`.

It needs cosmic-ray, whose operators make the mutations, and prints a line of JSON for each.

A place is chosen by the digest of its module, definition and line, not by its number, so that a
change elsewhere does not change the choice. Left out are annotations, which never run; the marks
between parameters; exceptions whose name has a dot, which cosmic-ray cannot replace; changes that
are not valid Python; and `is` for `==` or the reverse, which give the same results here.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import parso.python.tree  # noqa: F401 - cosmic-ray imports it in a circle otherwise
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from bench.mutations.modules import modules

DOTTED = ("atom_expr", "power", "trailer")
"""Syntax nodes around an exception's name that the operator for exceptions cannot replace."""
SAYS_THE_SAME = ("_Eq_Is", "_NotEq_IsNot", "_Is_Eq", "_IsNot_NotEq")


class Place(NamedTuple):
    """A place that can be mutated; `turn` counts equal lines above it in the module."""

    module: str
    definition: str
    text: str
    column: int
    turn: int


def digest(seed: str, *words: object) -> bytes:
    return hashlib.sha256(json.dumps([seed, *words]).encode()).digest()


def annotated(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where each annotation of a module starts and ends."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in found
        if node is not None
    ]


def candidates(source: str) -> Iterator[tuple[Any, str, int]]:
    """Each mutation that the operators can make: its position, operator and number."""
    tree, out = get_ast(source), annotated(source)
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments() or name.endswith(SAYS_THE_SAME):
            continue
        number = 0
        for node in ast_nodes(tree):
            for start, _ in operator().mutation_positions(node):
                out_of_reach = node.type == "operator" and node.get_next_leaf() == ","
                if name.endswith("/ExceptionReplacer"):
                    out_of_reach = node.get_leaf_for_position(start).parent.type in DOTTED
                if not out_of_reach and not any(first <= start < last for first, last in out):
                    yield (start, ASTQuery(node).get_definition_name() or ""), name, number
                number += 1


def places(module: str, source: str) -> dict[Place, list[tuple[str, int, int]]]:
    """The mutations of each place: operator, number, line."""
    lines, found = source.splitlines(), defaultdict(list)
    for ((line, column), definition), name, number in candidates(source):
        text = lines[line - 1].strip()
        # How many equal lines are above this line.
        turn = sum(1 for other in lines[: line - 1] if other.strip() == text)
        indent = len(lines[line - 1]) - len(lines[line - 1].lstrip())
        place = Place(module, definition, text, column - indent, turn)
        found[place].append((name, number, line))
    return found


def changed(before: str, after: str) -> tuple[str, str]:
    """The lines that differ, before and after the change."""
    old, new = before.splitlines(), after.splitlines()
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return " ".join(map(str.strip, old)), " ".join(map(str.strip, new))


def compiles(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--seed", default="1")
    parser.add_argument("--number", type=int, default=200)
    asked = parser.parse_args()
    every: list[tuple[bytes, Place, str, tuple[str, int, int]]] = []
    for module, tests in modules(asked.root):
        found = places(module, (asked.root / module).read_text())
        for place, ways in found.items():
            way = min(ways, key=lambda way: digest(asked.seed, *place, way[0]))
            every.append((digest(asked.seed, *place), place, tests, way))
    every.sort()
    for _, place, tests, (name, number, line) in sorted(
        every[: asked.number], key=lambda one: (one[1].module, one[3][2])
    ):
        source = (asked.root / place.module).read_text()
        mutated = mutate_code(source, get_operator(name)(), number)
        if not compiles(mutated):  # such as `not` before an assignment expression
            continue
        before, after = changed(source, mutated)
        print(json.dumps({
            "module": place.module, "tests": tests, "definition": place.definition, "line": line,
            "before": before, "after": after, "operator": name.removeprefix("core/"),
            "source": mutated, "of": len(every),
        }))  # fmt: skip


if __name__ == "__main__":
    main()
