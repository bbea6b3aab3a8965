"""Who knows one channel knows all: the same job has the same file name in each of the three.

A job that only some channels have gets a name of its own, which stands in no list here.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHANNELS = ("telegram", "slack", "discord")
ADAPTERS = {c: ROOT / f"plugins/{c}/src/gateway_plugin_{c}" for c in CHANNELS}
EMULATORS = {c: ROOT / "contrib/src/gateway_contrib/emulators" / c for c in CHANNELS}
DOZEN = 12

ADAPTER = {
    "__init__": "what it is",
    "hooks": "start here: the answer to each hook of the contract",
    "settings": "what an instance is configured with",
    "ids": "how rooms, threads and messages are named",
    "addresses": "where an incoming event came from",
    "checks": "what is wrong with an envelope, before it is accepted",
    "limits": "which limits an attempt draws on",
    "methods": "the platform's methods and the fields that each takes",
    "requests": "from an attempt to a request",
    "api": "the session: the only one that awaits the network",
    "errors": "the platform's error, and the verdict on it",
}
RENDERING = {
    "__init__": "what it is",
    "parts": "start here: from an envelope's text to its parts",
    "plain": "a plain text as it is sent, and its measure",
    "buttons": "buttons as the platform's own fields",
    "document": "a Markdown document as the platform shows it",
}
MARKS = {
    "__init__": "what it is",
    "calls": "how a reaction or a pin is called",
}
EMULATOR = {
    "__init__": "what it is",
    "emulator": "the ASGI application: tokens, limits, faults, then the method",
    "requests": "what a request says",
    "methods": "the methods that are served",
    "reactions": "what bots do to messages and around them",
    "content": "what of a posted message is accepted",
    "markup": "the platform's own markup, read",
    "world": "what is remembered",
    "limits": "what is allowed, and what of it is used up",
    "refusals": "how the platform says no",
}
INCOMING = {
    "__init__": "what it is",
    "people": "what users do, as events",
}
PLANS = {
    "adapters": (ADAPTERS, ADAPTER),
    "adapters, rendering": ({c: path / "rendering" for c, path in ADAPTERS.items()}, RENDERING),
    "adapters, marks": ({c: path / "marks" for c, path in ADAPTERS.items()}, MARKS),
    "emulators": (EMULATORS, EMULATOR),
    "emulators, incoming": ({c: path / "incoming" for c, path in EMULATORS.items()}, INCOMING),
}


def modules(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.py")}


def jobs(folder: Path) -> set[str]:
    """Each is a module, or a folder where it is a large one."""
    return modules(folder) | {path.parent.name for path in folder.glob("*/__init__.py")}


def shared(folders: Mapping[str, Path]) -> set[str]:
    """The names that every one of the folders has; a folder that all have is a plan of its own."""
    each = [jobs(folder) for folder in folders.values()]
    own = [jobs(folder) - modules(folder) for folder in folders.values()]
    return set.intersection(*each) - set.intersection(*own)


def folders_in(roots: Iterable[Path]) -> dict[str, Path]:
    """Every folder of Python at or under the roots, by its path."""
    found = {path.parent for root in roots for path in root.rglob("*.py")}
    return {str(path.relative_to(ROOT)): path for path in sorted(found)}


def crowded(folders: Mapping[str, Path]) -> dict[str, int]:
    """The folders of more than a dozen modules, and how many they have."""
    counts = {name: len(modules(folder)) for name, folder in folders.items()}
    return {name: count for name, count in counts.items() if count > DOZEN}


SOURCES = folders_in([*ADAPTERS.values(), *EMULATORS.values()])
TESTS = folders_in([ROOT / "tests/plugins", ROOT / "tests/contrib/emulators"])


@pytest.mark.parametrize("plan", PLANS)
def test_the_three_name_the_same_job_by_the_same_name(plan):
    """All of the plan in each, and nothing that all three have beside it."""
    folders, names = PLANS[plan]
    lacking = {channel: names.keys() - jobs(folder) for channel, folder in folders.items()}
    assert {channel: set() for channel in CHANNELS} == lacking
    assert names.keys() == shared(folders)


def test_no_folder_holds_more_than_a_dozen_modules():
    assert {} == crowded({**SOURCES, **TESTS})


@pytest.mark.parametrize("name", SOURCES)
def test_a_folder_says_what_it_is(name):
    docstring = ast.get_docstring(ast.parse((SOURCES[name] / "__init__.py").read_text()))
    assert docstring.split("\n")[0].endswith((".", "`."))


@pytest.mark.parametrize("channel", CHANNELS)
def test_what_is_compiled_is_there(channel):
    member = ROOT / "plugins" / channel
    build = tomllib.loads((member / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    named = build["targets"]["wheel"]["hooks"]["mypyc"]["include"]
    assert [] == [path for path in named if not (member / path).is_file()]
    assert sorted(named) == named


def test_these_tests_have_eyes(tmp_path):
    """A name of one's own for a job that all have, and a thirteenth file, are seen."""
    folders = {channel: tmp_path / channel for channel in CHANNELS}
    for channel, folder in folders.items():
        folder.mkdir()
        for name in ("hooks", "settings", "flood" if channel == "telegram" else "limits"):
            (folder / f"{name}.py").touch()
    assert {"hooks", "settings"} == shared(folders)
    assert {} == crowded(folders)
    for number in range(10):
        (folders["slack"] / f"more_{number}.py").touch()
    assert {"slack": 13} == crowded(folders)
