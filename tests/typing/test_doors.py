"""The doors are wide enough: what a signature or a page names can be imported from one of them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import typing
from pathlib import Path

import pytest

from gateway_core import authors
from gateway_core.contract import hookspecs

ROOT = Path(__file__).parents[2]
DOORS = (
    "gateway_core",
    "gateway_core.aio",
    "gateway_core.authors",
    "gateway_core.blocking",
    "gateway_core.http",
    "gateway_core.outboxes",
    "gateway_core.aio",
    "gateway_core.blocking",
    "gateway_core.settings",
    "gateway_core.testing",
    "gateway_core.text",
)
WORD = re.compile(r"[A-Za-z_][\w.]*")
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("*/README.md"),
    *ROOT.glob("plugins/*/README.md"),
    *(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


# -- what hooks are given, and answer


def annotations(thing: object) -> dict[str, object]:
    """Those of a function, of the fields of a class, and of its public properties."""
    found = dict(getattr(thing, "__annotations__", {}))
    if isinstance(thing, type):
        for base in thing.__mro__[1:]:
            if base.__module__.startswith("gateway_core"):
                found |= base.__annotations__
        for name, member in vars(thing).items():
            if isinstance(member, property) and not name.startswith("_"):
                found[name] = member.fget.__annotations__["return"]
    return found


def names_in(annotation: object) -> set[str]:
    """The names that an annotation is written with; those in a `Literal` are words of its own."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return set(WORD.findall(re.sub(r"\'[^\']*\'|\"[^\"]*\"", "", text)))


def named_by(thing: object) -> dict[str, object]:
    """Of the gateway's own: by name, what the annotations of `thing` name."""
    module = inspect.getmodule(thing)
    return {
        name: vars(module)[name]
        for annotation in annotations(thing).values()
        for name in names_in(annotation)
        if name in vars(module) and is_ours(name, vars(module)[name])
    }


def is_ours(name: str, thing: object) -> bool:
    """Whether it is a class of the gateway's, or an alias: not a name of somebody else's."""
    if inspect.isclass(thing) and thing.__name__ == name:
        return thing.__module__.startswith("gateway_core")
    return not inspect.ismodule(thing) and name not in vars(typing)


def everything_named() -> dict[str, object]:
    """By the hooks, by what they name, and so on."""
    left = [thing for thing in vars(hookspecs).values() if hasattr(thing, "gateway_spec")]
    found: dict[str, object] = {}
    while left:
        thing = left.pop()
        new = named_by(thing) if inspect.isclass(thing) or callable(thing) else {}
        new |= {each.__name__: each for each in typing.get_args(thing) if inspect.isclass(each)}
        for name in new.keys() - found.keys():
            if is_ours(name, new[name]):
                found[name] = new[name]
                left.append(new[name])
    return found


NAMED = everything_named()


def test_a_few_names_are_found_where_hooks_name_them():
    """The walk goes from the hooks to their classes, to those of their fields, and to aliases."""
    some = {"Instance", "Envelope", "Vote", "Mode", "Session", "Json", "Level", "Priority"}
    some |= {
        "Send",
        "Target",
        "MessageRef",
        "PartRef",
        "KeyRef",
        "OnUnknown",
        "OnConflict",
        "OnFileError",
    }
    some |= {"Verdict", "Reason", "BucketReport", "Transform", "Dispatched", "PartReceipt"}
    assert set() == some - set(NAMED)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_authors_import_every_name_of_a_hook_from_their_door(name):
    if not name.startswith("_"):
        assert name in authors.__all__
        assert getattr(authors, name) is NAMED[name]


# -- what pages import


def imports(code: str) -> list[tuple[str, str]]:
    """Every (module, name) of the gateway's that a piece of Python imports."""
    return [
        (node.module, alias.name)
        for node in ast.walk(compile(code, "page", "exec", PAGE | ast.PyCF_ONLY_AST))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gateway_core")
        for alias in node.names
    ]


PAGE = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
IMPORTED = [
    (str(page.relative_to(ROOT)), module, name)
    for page in PAGES
    for code in FENCE.findall(page.read_text())
    for module, name in imports(code)
]


def test_pages_import_something():
    assert 20 < len(IMPORTED)


@pytest.mark.parametrize(("page", "module", "name"), sorted(set(IMPORTED)))
def test_pages_import_what_a_door_lists(page, module, name):
    assert module in DOORS, f"{page} imports from {module}"
    assert name in importlib.import_module(module).__all__, f"{page} imports {module}.{name}"


@pytest.mark.parametrize("module", DOORS)
def test_a_door_has_what_it_lists(module):
    """Each name once, in order, and there."""
    door = importlib.import_module(module)
    assert len(door.__all__) == len(set(door.__all__))
    assert [] == [name for name in door.__all__ if not hasattr(door, name)]
