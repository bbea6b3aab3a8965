"""The map shows every package and module of core, in its own words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core/src/gateway_core"
DESIGN = (ROOT / "docs/explanation/design.md").read_text()


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

*Imports `top`.*

### top

Performs.

*Imports `base`.*

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
        ("top/attic/box/hat.py", '"""A hat."""', "hat.py: the map shows packages, a folder in one"),
        ("base/floor.py", '"""A."""\nimport gateway_core.top', "packages import each other"),
    ],
)
def test_what_is_not_on_the_map_fails_the_build(from_code, small, file, text, words):
    (small / file).parent.mkdir(parents=True, exist_ok=True)
    (small / file).write_text(text)
    with pytest.raises(ValueError, match=words):
        list(from_code.house_of(small, ORDER, {}))


def test_a_folder_in_a_package_stands_among_its_modules(from_code, small):
    (small / "top/attic").mkdir()
    (small / "top/attic/__init__.py").write_text('"""Keeps. Dust."""\n')
    (small / "top/attic/beam.py").write_text('"""A beam."""\nimport gateway_core.base.floor\n')
    lines = list(from_code.house_of(small, ORDER, {}))
    assert ["| `attic` | Keeps. |", "| `attic/beam` | A beam. |"] == [
        line for line in lines if "attic" in line
    ]


def test_a_package_of_the_order_that_is_gone_fails_the_build(from_code, small):
    with pytest.raises(ValueError, match=r"not both in ORDER .*\['roof'\]"):
        list(from_code.house_of(small, ("roof", *ORDER), {}))


def modules() -> list[Path]:
    return sorted(CORE.rglob("*.py"))


def test_the_page_shows_every_package_and_module_of_core(from_code):
    page = from_code.fill(DESIGN)
    shown = set(re.findall(r"^### (\w+)$|^\| `(?:\w+/)?(\w+)` \|", page, re.MULTILINE))
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
        expected = f"may import {' and '.join(f'`{name}`' for name in apart[package])} alone."
    elif package in (order[0], order[-1]):
        expected = "imports no package." if package == order[0] else "may import every package."
    else:
        expected = f"may import `{order[order.index(package) - 1]}` and below."
    doc = ast.get_docstring(ast.parse((CORE / package / "__init__.py").read_text()))
    assert expected in doc
