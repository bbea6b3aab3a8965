"""Every snippet of the README and the tutorial is run; those of the other pages must be whole.

Python runs in a folder with the page's files, on a virtual clock, against emulators in memory.
The tutorial's commands run for real in tests/integration/test_tutorial.py; the README's two are
targets of the Makefile.
"""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from gateway_contrib.emulators.slack import SlackEmulator
from gateway_core import load_config
from gateway_core.testing import open_network

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (?P<name>[\w/]+\.\w+)\n")
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
RUN = ("README.md", "docs/tutorial/first-message.md")
LANGUAGES = {"python", "toml", "sh", "text"}
SLACK = ("https://slack.com", "http://127.0.0.1:8081")
TOKEN = "xoxb-1234-tutorial"


@attrs.frozen
class Snippet:
    """A fenced piece of a page; `name` is the file that its first line says it is, or empty."""

    page: str
    line: int
    language: str
    code: str

    @property
    def name(self) -> str:
        named = NAMED.match(self.code)
        return named["name"] if named else ""


def snippets(page: Path) -> list[Snippet]:
    text = page.read_text()
    where = str(page.relative_to(ROOT))
    return [
        Snippet(where, text.count("\n", 0, found.start()) + 2, found["language"], found["code"])
        for found in FENCE.finditer(text)
    ]


ALL = [snippet for page in PAGES for snippet in snippets(page)]
PROGRAMS = [s for s in ALL if s.page in RUN and "trio.run(" in s.code]


def place(snippet: Snippet) -> str:
    return f"{snippet.page}:{snippet.line}"


@attrs.define
class World:
    """What a page's programs run in: a folder with its files, and Slack in memory."""

    folder: Path
    slack: SlackEmulator

    async def inside(self, main, *args):
        async with open_network() as network:
            for url in SLACK:
                network.mount(url, self.slack.app)
            await main(*args)


@contextmanager
def in_folder(page: str, folder: Path, monkeypatch):
    """The page's files in a folder that programs start in."""
    for snippet in ALL:
        if snippet.page == page and snippet.name:
            (folder / snippet.name).write_text(snippet.code)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("SLACK_TOKEN", TOKEN)
    known = set(sys.modules)
    yield World(folder, SlackEmulator(tokens={TOKEN}))
    for name in set(sys.modules) - known:
        if (folder / f"{name}.py").exists():
            del sys.modules[name]


@pytest.fixture
def world(request, tmp_path, monkeypatch):
    """The folder and platform of the page named by the test's parameter, beneath `trio.run`."""
    with in_folder(request.param, tmp_path, monkeypatch) as world:
        real = trio.run

        def autojumping(main, *args):
            clock = trio.testing.MockClock(autojump_threshold=0)
            return real(world.inside, main, *args, clock=clock)

        monkeypatch.setattr(trio, "run", autojumping)
        yield world


EXPECTED = {
    "main.py": ("", {"C024BE91L": ["Deployed v2.3, verified"]}),
    "hello.py": ("delivered ", {"C024BE91L": ["Deployed v2.3"]}),
    "many.py": (
        "C0AAAAAAA delivered\nC0BBBBBBB delivered\n" * 3,
        {room: [f"{room}: line {n}" for n in range(3)] for room in ("C0AAAAAAA", "C0BBBBBBB")},
    ),
    "refused.py": (
        "not accepted: text: is empty\naccepted, but: expired\n",
        {"C024BE91L": ["soon gone"]},
    ),
    "with_courtesy.py": ("", {"D0CODE": ["Your code is 271828"]}),
}
"""What each program prints beside its log, and what then stands in the rooms."""


@pytest.mark.parametrize(
    ("world", "snippet"),
    [(s.page, s) for s in PROGRAMS],
    indirect=["world"],
    ids=map(place, PROGRAMS),
)
def test_a_program_of_the_docs_does_what_its_page_says(world, snippet, capsys):
    runpy.run_path(str(world.folder / snippet.name), run_name="__main__")
    printed, rooms = EXPECTED[snippet.name]
    assert printed in capsys.readouterr().out
    found = {name: [m.text for m in world.slack.rooms.conversation(name)] for name in rooms}
    assert rooms == found


def test_every_program_of_the_run_pages_is_expected():
    assert set(EXPECTED) == {snippet.name for snippet in PROGRAMS}


@pytest.mark.parametrize("snippet", ALL, ids=map(place, ALL))
def test_snippets_are_whole(snippet):
    """Their language is one of ours; Python compiles, TOML parses, commands exist."""
    assert snippet.language in LANGUAGES
    if snippet.language == "python":
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile(snippet.code, place(snippet), "exec", flags=flags)
    elif snippet.language == "toml":
        tomllib.loads(snippet.code)


@pytest.mark.parametrize("page", RUN)
def test_configurations_of_the_docs_load(page, tmp_path, monkeypatch):
    with in_folder(page, tmp_path, monkeypatch):
        config = load_config("gateway.toml")
    assert ["support-bot"] == [instance.id for instance in config.instances]


def test_make_targets_named_in_the_docs_exist():
    named = {
        word
        for snippet in ALL
        if snippet.language == "sh"
        for word in re.findall(r"^make (\w+)", snippet.code, re.MULTILINE)
    }
    assert {"demo", "test", "check", "docs"} <= named
    for target in named:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0, target
