"""Which room a line lives in, enforced: imports run one way, and each effect has its module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway_core

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core/src/gateway_core"
PLUGINS = sorted((ROOT / "plugins").glob("*/src/*/**/*.py"))
EMULATORS = sorted((ROOT / "contrib/src/gateway_contrib/emulators").rglob("*.py"))
CONTRIB = sorted((ROOT / "contrib/src/gateway_contrib").rglob("*.py"))

LAYERS = (
    # A module imports from its own line or from those above it, at run time.
    {"envelopes", "fields", "making", "verdicts", "errors", "instances", "redaction"},
    {"hookspecs"},
    {
        "admission",
        "backoff",
        "checks",
        "circuit",
        "codec",
        "deadlines",
        "elapsed",
        "flights",
        "steps",
        "windows",
        "idempotency",
        "ids",
        "lanes",
        "limiter",
        "limits",
        "mistakes",
        "groups",
        "partitioning",
        "pressure",
        "privacy",
        "queues",
        "retries",
        "revisions",
        "rooms",
        "settling",
        "shedding",
        "slots",
        "targets",
        "statistics",
        "status",
        "waiting",
        "text",
        "tokens",
    },
    {"boundary", "clock", "telemetry"},
    {"meters", "observing", "spans"},
    {"watch"},
    {"channel_hooks", "defaults", "inspection", "plugins"},
    {
        "accounts",
        "config",
        "crew",
        "failures",
        "journal",
        "keeping",
        "memory",
        "outbox",
        "previews",
        "sessions",
        "tickets",
        "tries",
    },
    {"arrivals", "attempts", "endings", "turns", "workers"},
    {"partition"},
    {"roster", "supervision"},
    {"asking", "capacity", "earlier", "outside", "streams"},
    {"intake"},
    {"loading", "timetable"},
    {"paging"},
    {"places"},
    {"submission"},
    {"inquiries", "sending"},
    {"gateway"},
)
APART = {"http": 0, "testing": len(LAYERS)}
"""What adapters and tests use: the last layer that each may import; core imports neither."""

PURE = {*LAYERS[0], *LAYERS[1], *LAYERS[2]}
PLUGGY = {"hookspecs", "plugins"}
NURSERIES = {"partition", "gateway", "http", "testing"}
CLOCKS_AND_DICE = {"time", "random", "uuid", "secrets", "datetime", "asyncio", "threading"}
FACES = {
    "gateway_core",
    "gateway_core.http",
    "gateway_core.telemetry",
    "gateway_core.testing",
    "gateway_core.text",
}


def room(path: Path) -> str:
    """The module of core that a file belongs to; a package counts as one."""
    first = path.relative_to(CORE).parts[0]
    return first.removesuffix(".py")


def layer(name: str) -> int | None:
    return next((n for n, names in enumerate(LAYERS) if name in names), None)


def rooms() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(CORE.rglob("*.py")):
        found.setdefault(room(path), []).append(path)
    found.pop("__init__")
    return found


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Every (module, name) that a file imports at run time, not for type checkers only."""
    for node in ast.walk(_running(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from ((node.module or "", alias.name) for alias in node.names)


def _running(tree: ast.Module) -> ast.Module:
    class Drop(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:
            test = node.test
            checking = isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
            return None if checking else self.generic_visit(node)

    return Drop().visit(tree)


def core_imports(path: Path) -> Iterator[str]:
    """The modules of core that a file imports, by their first name."""
    for module, name in imports(path):
        if module == "gateway_core":
            yield name or ""
        elif module.startswith("gateway_core."):
            yield module.split(".")[1]


@pytest.mark.parametrize("name", rooms())
def test_core_imports_run_one_way(name):
    place = APART.get(name, layer(name))
    assert place is not None, f"{name} has no place in LAYERS"
    for path in rooms()[name]:
        for target in set(core_imports(path)) - {name}:
            below = layer(target)
            known = below is not None or target in APART
            assert known, f"{path.name} imports {target!r} from gateway_core itself"
            allowed = name == "testing" if target in APART else below <= place
            assert allowed, f"{name} imports {target}, which stands after it"


@pytest.mark.parametrize("name", rooms())
def test_only_two_modules_of_core_touch_pluggy(name):
    touching = {p.name for p in rooms()[name] for m, _ in imports(p) if m.split(".")[0] == "pluggy"}
    assert name in PLUGGY or not touching


@pytest.mark.parametrize("name", rooms())
def test_nurseries_are_opened_where_things_wait_and_nowhere_else(name):
    opening = {
        path.name
        for path in rooms()[name]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "open_nursery"
    }
    assert name in NURSERIES or not opening


@pytest.mark.parametrize("name", sorted(PURE & set(rooms())))
def test_pure_modules_have_no_clock_dice_or_loop_of_their_own(name):
    forbidden = CLOCKS_AND_DICE | {"trio"}
    for path in rooms()[name]:
        whole = {
            module for module, target in imports(path) if module in forbidden and target != "Random"
        }
        assert not whole, f"{path.name} imports {whole}"


@pytest.mark.parametrize("name", sorted(PURE & set(rooms())))
def test_pure_modules_never_await(name):
    waiting = (ast.Await, ast.AsyncWith, ast.AsyncFor)
    for path in rooms()[name]:
        nodes = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, waiting)
        ]
        assert not nodes, f"{path.name}:{nodes[0].lineno} waits"


@pytest.mark.parametrize("path", [*PLUGINS, *CONTRIB], ids=lambda p: str(p.relative_to(ROOT)))
def test_plugins_and_contrib_import_public_names_only(path):
    own = path.relative_to(ROOT).parts[path.relative_to(ROOT).parts.index("src") + 1]
    for module, name in imports(path):
        if module.split(".")[0] == "gateway_core":
            assert module in FACES, f"{path.name} imports {module}"
            assert name is not None or module != "gateway_core.contract.hookspecs"
            assert module != "gateway_core" or name in gateway_core.__all__, f"{name} is not public"
        elif module.startswith(("gateway_plugin_", "gateway_contrib")):
            assert module.split(".")[0] == own, f"{path.name} imports {module}"
        assert module.split(".")[0] != "pluggy", f"{path.name} touches pluggy"


@pytest.mark.parametrize("path", [*PLUGINS, *EMULATORS], ids=lambda p: str(p.relative_to(ROOT)))
def test_adapters_and_emulators_have_no_clock_or_dice_of_their_own(path):
    whole = {module for module, name in imports(path) if module in CLOCKS_AND_DICE - {"datetime"}}
    seeded = {module for module, name in imports(path) if (module, name) == ("random", "Random")}
    assert not whole - seeded, f"{path.name} imports {whole}"


def test_every_layer_is_of_modules_that_exist():
    assert set().union(*LAYERS, APART) == set(rooms())


def test_core_names_no_channel():
    """Adding a channel changes nothing in core, so core knows none by name."""
    names = {"telegram", "slack", "discord"}
    for path in CORE.rglob("*.py"):
        if room(path) == "testing":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value.lower() not in names, f"{path.name}:{node.lineno}"
