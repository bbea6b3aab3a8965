"""The map shows every module of core, and the paths and the glossary name what exists."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core/src/gateway_core"
DESIGN = (ROOT / "docs/explanation/design.md").read_text()
GLOSSARY = (ROOT / "docs/glossary.md").read_text()
PATHS = dict(re.findall(r"^### (.+?)\n\n```text\n(.*?)^```", DESIGN, re.MULTILINE | re.DOTALL))


@pytest.fixture
def small(tmp_path):
    """A core of two packages, one above the other, and a door."""
    core = tmp_path / "gateway_core"
    for name, text in {
        "__init__.py": '"""The door."""\nfrom gateway_core.top.roof import Roof\n',
        "top/__init__.py": '"""Performs. Waits."""\n',
        "top/roof.py": '"""A roof: red.\n\nMore."""\nfrom gateway_core.base.floor import Floor\n',
        "base/__init__.py": '"""Decides."""\n',
        "base/floor.py": '"""A floor."""\n',
    }.items():
        (core / name).parent.mkdir(parents=True, exist_ok=True)
        (core / name).write_text(text)
    return core


ORDER = ("base", "top", "gateway_core")


def test_the_map_goes_from_the_top_down_with_the_first_sentences(from_code, small):
    expected = """\
```text
gateway_core
top
base
```

### gateway_core

The door.

*May import all below; imports `top`.*

### top

Performs.

*May import all below; imports `base`.*

| module | |
| --- | --- |
| `roof` | A roof: red. |

### base

Decides.

*Imports nothing of core.*

| module | |
| --- | --- |
| `floor` | A floor. |"""
    assert expected == "\n".join(from_code.house_of(small, ORDER, {}))


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("top/attic.py", "", "attic.py: its docstring does not begin with a sentence"),
        ("top/attic.py", '"""No sentence"""', "attic.py: its docstring does not begin"),
        ("cellar/__init__.py", '"""A cellar."""', r"not both in ORDER .*\['cellar'\]"),
        ("top/attic/beam.py", '"""A beam."""', "beam.py: the map shows packages and their modules"),
        ("base/floor.py", '"""A."""\nimport gateway_core.top', "packages import each other"),
    ],
)
def test_what_is_not_on_the_map_fails_the_build(from_code, small, file, text, words):
    (small / file).parent.mkdir(exist_ok=True)
    (small / file).write_text(text)
    with pytest.raises(ValueError, match=words):
        list(from_code.house_of(small, ORDER, {}))


def test_a_package_of_the_order_that_is_gone_fails_the_build(from_code, small):
    with pytest.raises(ValueError, match=r"not both in ORDER .*\['roof'\]"):
        list(from_code.house_of(small, ("roof", *ORDER), {}))


def test_the_page_shows_every_package_and_module_of_core(from_code):
    page = from_code.fill(DESIGN)
    shown = set(re.findall(r"^### (\w+)$|^\| `(\w+)` \|", page, re.MULTILINE))
    wanted = {path.parent.name if path.stem == "__init__" else path.stem for path in modules()}
    assert set() == wanted - {name for pair in shown for name in pair}
    order, _ = from_code.layers((ROOT / "tests/test_layering.py").read_text())
    headings = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    assert [*reversed(order)] == [name for name in headings if name in order]


@pytest.mark.parametrize("package", sorted(path.parent.name for path in CORE.glob("*/__init__.py")))
def test_a_package_says_what_it_may_import(from_code, package):
    """As the order says it: the one that stands below it, and all below that."""
    order, apart = from_code.layers((ROOT / "tests/test_layering.py").read_text())
    if package in apart:
        expected = f"May import {' and '.join(f'`{name}`' for name in apart[package])} alone."
    elif package in (order[0], order[-1]):
        expected = "Imports nothing of core." if package == order[0] else "May import every package"
    else:
        expected = f"May import `{order[order.index(package) - 1]}` and below."
    doc = ast.get_docstring(ast.parse((CORE / package / "__init__.py").read_text()))
    assert expected in doc


# -- the paths


def modules() -> list[Path]:
    return sorted(CORE.rglob("*.py"))


FUNCTIONS = {
    path.relative_to(CORE).with_suffix("").as_posix(): {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for path in modules()
}
NAME = re.compile(r"\b(?:(\w+)/)?(\w+)(?:\.(\w+))?")


def named(text: str) -> list[tuple[str, str]]:
    """Every (module, function) that a text names, by `package/module` or `module.function`."""
    found = NAME.findall(text)
    return [(f"{p}/{module}" if p else module, f) for p, module, f in found if p or f]


def strangers(text: str) -> list[tuple[str, str]]:
    """Those of them that core does not have."""
    known = FUNCTIONS
    return [(m, f) for m, f in named(text) if m not in known or (f and f not in known[m])]


def test_there_are_four_paths_of_at_most_fifteen_lines():
    assert 4 == len(PATHS)
    assert [] == [name for name, path in PATHS.items() if not 5 < len(path.splitlines()) <= 15]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_names_what_exists(path):
    assert len(named(PATHS[path])) > 10
    assert [] == strangers(PATHS[path])


def test_what_the_page_says_of_packages_and_modules_exists():
    spans = [span for span in re.findall(r"`([^`\n]+)`", DESIGN) if "/" in span]
    inside = [span for span in spans if not span.startswith(("tests/", "package/"))]
    assert inside
    assert [] == [wrong for span in inside for wrong in strangers(span)]


@pytest.mark.parametrize(
    "wrong", ["engine/flights", "engine/attempts.fly", "deliveries/attempts.make", "gateway.fly"]
)
def test_a_name_that_core_does_not_have_is_found(wrong):
    assert 1 == len(strangers(f"a path to {wrong} and on"))


# -- the glossary

WORDS = re.findall(r"^\| ([^|]+?) \| [^|]*[.] \|$", GLOSSARY, re.MULTILINE)
"""First columns, as they are written."""
NOT_USED = {"handler", "manager", "helper", "util", "processor", "context", "data", "info", "core"}


def words() -> list[str]:
    """Every word that the glossary explains, without what stands in parentheses."""
    return [w.strip() for row in WORDS for w in re.sub(r" \(.*?\)", "", row).split(", ")]


def shared_classes() -> set[str]:
    """Classes of core that two other modules import; the tree of errors explains those itself."""
    inside = [p for p in modules() if p.parent.name not in {"text", "http", "testing"}]
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
