"""The glossary has a sentence for each word that modules of core share."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core/src/gateway_core"
GLOSSARY = (ROOT / "docs/glossary.md").read_text()
WORDS = re.findall(r"^\| ([^|]+?) \| [^|]*[.] \|$", GLOSSARY, re.MULTILINE)
"""First columns, as they are written."""
NOT_USED = {"handler", "manager", "helper", "util", "processor", "context", "data", "info", "core"}


def modules() -> list[Path]:
    return sorted(CORE.rglob("*.py"))


def words() -> list[str]:
    """Every word that the glossary explains, without what stands in parentheses."""
    return [w.strip() for row in WORDS for w in re.sub(r" \(.*?\)", "", row).split(", ")]


def shared_classes() -> set[str]:
    """Classes of core that two other modules import; the tree of errors explains those itself."""
    apart = {"text", "http", "testing"}
    inside = [p for p in modules() if not apart & {*p.relative_to(CORE).parts}]
    inside = [p for p in inside if p.parent != CORE and p.stem not in {"__init__", "errors"}]
    trees = {path: ast.parse(path.read_text()) for path in inside}
    made = {n.name for tree in trees.values() for n in tree.body if isinstance(n, ast.ClassDef)}
    users = Counter(
        alias.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )
    return {name for name in made if users[name] > 1}


def test_a_word_stands_once_in_the_glossary_with_a_sentence():
    rows = [line for line in GLOSSARY.splitlines() if re.match(r"\| (?!word|---)", line)]
    assert len(rows) == len(WORDS)
    assert len(words()) == len(set(words()))


def test_the_glossary_has_every_class_that_two_modules_share():
    """By all of its name's words, or by the last of them: a `PacedBucket` is a bucket."""
    known = set(words())
    lacking = set()
    for name in shared_classes():
        split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
        last = split.split()[-1]
        if not {split, last, split.removesuffix("s"), last.removesuffix("s")} & known:
            lacking.add(name)
    assert set() == lacking


def test_no_name_is_one_of_the_words_that_are_not_used():
    names = {path.stem for path in modules()} | {p.parent.name for p in modules()}
    assert set() == NOT_USED & (names | set(words()))
