"""Where a line lives, enforced: imports run down one list, and each effect has its place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core/src/gateway_core"
PLUGINS = sorted((ROOT / "plugins").glob("*/src/*/**/*.py"))
EMULATORS = sorted((ROOT / "contrib/src/gateway_contrib/emulators").rglob("*.py"))
CONTRIB = sorted((ROOT / "contrib/src/gateway_contrib").rglob("*.py"))

ORDER = (
    # Imports go down only: a package imports from those below it, which stand before it here.
    "contract",
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
    "submission",
    "answering",
    "streams",
    "groups",
    "producers",
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
DOORS = ("gateway_core", "gateway_core.authors", "gateway_core.outboxes", "gateway_core.settings")
"""What plugins and contrib import from, beside `text`, `http` and `testing`."""
BESIDE = ("gateway_core.text", "gateway_core.http", "gateway_core.testing")

SANS_IO = ("contract", "telemetry", "text", "deliveries", "ratelimits", "scheduling")
"""Packages that decide without waiting: no loop, clock or dice of their own."""
PLUGGY = {"contract/hookspecs.py", "plugins/loader.py"}
NURSERIES = {"engine", "gateway", "bridge", "http", "testing"}
CLOCKS_AND_DICE = {"time", "random", "uuid", "secrets", "datetime", "asyncio", "threading"}
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


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Every (module, name) that a file imports, for type checkers only as well."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from ((node.module or "", alias.name) for alias in node.names)


def imported(path: Path) -> set[str]:
    """The modules of core that a file imports."""
    found = set()
    for module, name in imports(path):
        if module.split(".")[0] == "gateway_core":
            inner = f"{module}.{name}"
            found.add(inner if inner in MODULES else module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_imports_go_down_only(path):
    """Those for type checkers as well; `http` and `text` stand apart."""
    package = package_of(module_of(path))
    assert package in ORDER or package in APART, f"{package} has no place in ORDER"
    for target in imported(path):
        below = package_of(target)
        if below == package:
            continue
        if package in APART:
            assert below in APART[package], f"{package} stands apart, and imports {target}"
        elif below in APART and below not in ORDER:
            assert package == "testing", f"{package} imports {target}"
        else:
            assert ORDER.index(below) < ORDER.index(package), f"{package} imports {target}"


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
    assert {package_of(name) for name in MODULES} == {*ORDER, *APART}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_only_two_modules_of_core_touch_pluggy(path):
    touching = any(module.split(".")[0] == "pluggy" for module, _ in imports(path))
    assert not touching or str(path.relative_to(CORE)) in PLUGGY


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_nurseries_are_opened_where_things_wait_and_nowhere_else(path):
    opening = any(
        isinstance(node, ast.Attribute) and node.attr == "open_nursery"
        for node in ast.walk(ast.parse(path.read_text()))
    )
    assert not opening or package_of(module_of(path)) in NURSERIES


SANS_IO_FILES = [path for path in FILES if package_of(module_of(path)) in SANS_IO]


@pytest.mark.parametrize("path", SANS_IO_FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_what_decides_has_no_clock_dice_or_loop_of_its_own(path):
    forbidden = CLOCKS_AND_DICE | {"trio"}
    whole = {module for module, name in imports(path) if module in forbidden and name != "Random"}
    assert not whole, f"imports {whole}"


@pytest.mark.parametrize("path", SANS_IO_FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_what_decides_never_awaits(path):
    waiting = (ast.Await, ast.AsyncWith, ast.AsyncFor)
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, waiting)]
    assert not nodes, f"line {nodes[0].lineno} waits"


@pytest.mark.parametrize("path", [*PLUGINS, *CONTRIB], ids=lambda p: str(p.relative_to(ROOT)))
def test_plugins_and_contrib_import_from_the_doors_only(path):
    own = path.relative_to(ROOT).parts[path.relative_to(ROOT).parts.index("src") + 1]
    for module, name in imports(path):
        if module.split(".")[0] == "gateway_core":
            assert module in (*DOORS, *BESIDE), f"imports {module}"
            public = import_module(module).__all__
            assert name is not None, f"imports {module} as a whole"
            assert name in public, f"{name} is not public in {module}"
        elif module.startswith(("gateway_plugin_", "gateway_contrib")):
            assert module.split(".")[0] == own, f"imports {module}"
        assert module.split(".")[0] != "pluggy", "touches pluggy"


@pytest.mark.parametrize("path", [*PLUGINS, *EMULATORS], ids=lambda p: str(p.relative_to(ROOT)))
def test_adapters_and_emulators_have_no_clock_or_dice_of_their_own(path):
    whole = {module for module, name in imports(path) if module in CLOCKS_AND_DICE - {"datetime"}}
    seeded = {module for module, name in imports(path) if (module, name) == ("random", "Random")}
    assert not whole - seeded, f"{path.name} imports {whole}"


def test_core_names_no_channel():
    """Adding a channel changes nothing in core, so core knows none by name."""
    names = {"telegram", "slack", "discord"}
    for path in FILES:
        if package_of(module_of(path)) == "testing":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value.lower() not in names, f"{path.name}:{node.lineno}"
