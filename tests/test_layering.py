"""Where a line lives, enforced: imports run down one list, and each effect has its place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core/src/gateway_core"
PLUGINS = sorted((ROOT / "plugins").glob("*/src/*/**/*.py"))
EMULATORS = sorted((ROOT / "contrib/src/gateway_contrib/emulators").rglob("*.py"))
CONTRIB = sorted((ROOT / "contrib/src/gateway_contrib").rglob("*.py"))

ORDER = (
    # Imports go down only: a package imports from those below it, which stand before it here.
    "contract",
    "backoff",
    "clock",
    "telemetry",
    "text",
    "deliveries",
    "ratelimits",
    "plugins",
    "accounts",
    "scheduling",
    "config",
    "outboxes",
    "files",
    "monitoring",
    "engine",
    "backlog",
    "sourcing",
    "submission",
    "answering",
    "streams",
    "groups",
    "producers",
    "spread",
    "config_file",
    "gateway",
    "bridge",
    "aio",
    "blocking",
    "authors",
    "settings",
    "gateway_core",
    "testing",
)
APART = {"http": {"contract"}, "text": {"contract"}}
"""Packages that know nothing of the engine, and all that they may import."""
FETCHES = "gateway_core.gateway.fetching"
"""The one module that lets core perform HTTP itself: for files of hosts that were allowed."""
DOORS = ("gateway_core", "gateway_core.authors", "gateway_core.outboxes", "gateway_core.settings")
"""What plugins and contrib import from, beside `text`, `http` and `testing`."""
BESIDE = ("gateway_core.text", "gateway_core.http", "gateway_core.testing")

SANS_IO = ("contract", "telemetry", "text", "deliveries", "ratelimits", "scheduling")
"""Packages that decide without waiting: no loop, clock or dice of their own."""
LOG_LOCK = {"threading": "gateway_core/telemetry/log_lock.py"}
"""The one lock among them: a program may fork while another thread logs."""
PLUGGY = {"contract/hookspecs.py", "plugins/loader.py"}
NURSERIES = {"engine", "gateway", "bridge", "http", "testing"}
CLOCKS_AND_DICE = {"time", "random", "uuid", "secrets", "datetime", "asyncio", "threading"}
OTHER_LOOPS = {"in_memory": {"asyncio"}, "thread": {"threading", "time"}}
"""Modules of the emulators that meet tests whose loop is not trio's, and what they need for it."""
MOST_FILES = 12
"""Modules of a folder, its `__init__` not counted."""

FILES = sorted(CORE.rglob("*.py"))
PACKAGES = sorted(path.parent for path in CORE.glob("*/__init__.py"))
FOLDERS = sorted(
    path.parent
    for root in (CORE, ROOT / "contrib/src/gateway_contrib")
    for path in root.rglob("__init__.py")
)


def module_of(path: Path) -> str:
    """The dotted name of a file of core."""
    parts = path.relative_to(CORE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def package_of(module: str) -> str:
    """The package of a module of core; a module directly in it is one of its own."""
    return [*module.split("."), "gateway_core"][1] if "." in module else "gateway_core"


SANS_IO_FILES = [path for path in FILES if package_of(module_of(path)) in SANS_IO]


class Source(NamedTuple):
    """What the laws ask of a file."""

    imports: tuple[tuple[str, str | None], ...]
    """Every (module, name) that it imports, for type checkers only as well."""
    waits: tuple[int, ...]
    """Lines that await something."""
    attributes: frozenset[str]
    strings: tuple[tuple[int, str], ...]
    """Its literals, each with its line."""


@cache
def read(path: Path) -> Source:
    """Each file is parsed once: several laws look at all of them."""
    imports: list[tuple[str, str | None]] = []
    waits, attributes, strings = [], set(), []
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                imports += ((alias.name, None) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                assert level == 0, f"{path}: relative import"
                imports += ((module or "", alias.name) for alias in names)
            case ast.Await() | ast.AsyncWith() | ast.AsyncFor():
                waits.append(node.lineno)
            case ast.Attribute(attr=name):
                attributes.add(name)
            case ast.Constant(value=str() as text):
                strings.append((node.lineno, text))
    return Source(tuple(imports), tuple(waits), frozenset(attributes), tuple(strings))


def imported(path: Path) -> set[str]:
    """The modules of core that a file imports."""
    found = set()
    for module, name in read(path).imports:
        if module.split(".")[0] == "gateway_core":
            inner = f"{module}.{name}"
            found.add(inner if inner in MODULES else module)
    return found


def may_import(package: str, below: str) -> bool:
    """Whether one package of core may import from another."""
    if package in APART:
        return below in APART[package]
    if below in APART and below not in ORDER:
        return package == "testing"
    return ORDER.index(below) < ORDER.index(package)


def test_imports_go_down_only():
    """Those for type checkers as well; `http` and `text` stand apart."""
    wrong = [
        f"{module} imports {target}"
        for module, path in MODULES.items()
        for target in imported(path)
        if package_of(target) != package_of(module)
        and not may_import(package_of(module), package_of(target))
        and (module, package_of(target)) != (FETCHES, "http")
    ]
    assert [] == wrong


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_package_has_a_cycle_inside(package):
    """Take away the modules that import none of the rest, again and again: none is left."""
    left = {name: path for name, path in MODULES.items() if package in path.parents}
    needs = {name: imported(path) & set(left) - {name} for name, path in left.items()}
    while free := {name for name, wanted in needs.items() if not wanted & set(needs)}:
        for name in free:
            del needs[name]
    assert {} == needs


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_folder_is_one_subject_of_a_dozen_files(folder):
    """Its `__init__` says in a sentence what that is."""
    files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= MOST_FILES, [path.name for path in files]
    doc = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert doc is not None
    assert doc.split("\n")[0].endswith(".")


def test_the_order_is_of_packages_that_exist():
    """And each of them has its place in it."""
    assert {package_of(name) for name in MODULES} == {*ORDER, *APART}


def test_only_two_modules_of_core_touch_pluggy():
    touching = {
        str(path.relative_to(CORE))
        for path in FILES
        if any(module.split(".")[0] == "pluggy" for module, _ in read(path).imports)
    }
    assert PLUGGY == touching


def test_nurseries_are_opened_where_things_wait_and_nowhere_else():
    opening = {
        module: package_of(module)
        for module, path in MODULES.items()
        if "open_nursery" in read(path).attributes
    }
    assert {} == {m: package for m, package in opening.items() if package not in NURSERIES}


def test_what_decides_has_no_clock_dice_or_loop_of_its_own():
    forbidden = CLOCKS_AND_DICE | {"trio"}
    wrong = [
        f"{path} imports {module}"
        for path in SANS_IO_FILES
        for module, name in read(path).imports
        if module in forbidden and name != "Random"
        if not str(path).endswith(LOG_LOCK.get(module, "?"))
    ]
    assert [] == wrong


def test_what_decides_never_awaits():
    assert [] == [f"{path}:{line}" for path in SANS_IO_FILES for line in read(path).waits]


def outside_the_doors(path: Path) -> Iterator[str]:
    """What is wrong with the imports of a file of a plugin or contrib."""
    own = path.relative_to(ROOT).parts[path.relative_to(ROOT).parts.index("src") + 1]
    for module, name in read(path).imports:
        top = module.split(".")[0]
        if top == "gateway_core":
            if module not in (*DOORS, *BESIDE):
                yield f"{path} imports {module}"
            elif name is None:
                yield f"{path} imports {module} as a whole"
            elif name not in import_module(module).__all__:
                yield f"{path} imports {name}, which is not public in {module}"
        elif (top.startswith("gateway_plugin_") or top == "gateway_contrib") and top != own:
            yield f"{path} imports {module}"
        elif top == "pluggy":
            yield f"{path} touches pluggy"


def test_plugins_and_contrib_import_from_the_doors_only():
    assert [] == [wrong for path in (*PLUGINS, *CONTRIB) for wrong in outside_the_doors(path)]


def test_adapters_and_emulators_have_no_clock_or_dice_of_their_own():
    wrong = [
        f"{path} imports {module}"
        for path in (*PLUGINS, *EMULATORS)
        for module, name in read(path).imports
        if module in CLOCKS_AND_DICE - {"datetime"} - OTHER_LOOPS.get(path.stem, set())
        and (module, name) != ("random", "Random")
    ]
    assert [] == wrong


def test_core_names_no_channel():
    """Adding a channel changes nothing in core, so core knows none by name."""
    names = {"telegram", "slack", "discord"}
    wrong = [
        f"{path.name}:{line}"
        for path in FILES
        if package_of(module_of(path)) != "testing"
        for line, text in read(path).strings
        if text.lower() in names
    ]
    assert [] == wrong
