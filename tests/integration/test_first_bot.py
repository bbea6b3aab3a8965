"""The tutorial about a bot as its reader does it: an emulator, a bot and a person, as processes.

aiogram is the one of this environment, in the version that the page installs.
"""

from __future__ import annotations

import os
import re
import runpy
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest
from ports import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tutorial/first-bot.md"
FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (?P<name>\w+\.\w+)\n")
PORT, OUTBOX = "8081", "/tmp/first-bot.db"  # noqa: S108 - the page's; the test has one of its own
COUNT = re.compile(r"(?<=count=)\d+|(?<=stored=)\d+|(?<=unfinished=)\d+|^\d{4}-[\d-]+ [\d:]+")
BOUND = 120
"""Seconds in which anything that is waited for comes, on a machine that is busy."""


class Reader:
    """Types what the page says, and looks for what it shows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port, outbox = str(free_port()), str(folder / "outbox.db")
        text = PAGE.read_text()
        (folder / "bot").mkdir()
        assert f"sqlite://{OUTBOX}" in text
        self.blocks = [
            (found["language"], found["code"].replace(PORT, port).replace(OUTBOX, outbox))
            for found in FENCE.finditer(text)
        ]
        for _, code in self.blocks:
            if named := NAMED.match(code):
                (folder / "bot" / named["name"]).write_text(code)

    @contextmanager
    def program(self, command, *, number=signal.SIGINT):
        """A program that goes on; what it has said is `said`, a line for each."""
        words = command.split()
        here = Path(sys.executable).parent
        log = self.folder / f"{len(list(self.folder.iterdir()))}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [here / words[0], *words[1:]],
                cwd=self.folder / "bot",
                env={**os.environ, "PYTHONWARNINGS": "default"},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        process.said = lambda: log.read_text().splitlines()
        try:
            yield process
        finally:
            process.send_signal(number)
            try:
                process.wait(BOUND)
            finally:
                process.kill()

    def person(self, command):
        """What it prints."""
        done = subprocess.run(
            [sys.executable, *command.split()[1:]],
            cwd=self.folder / "bot",
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        return done.stdout

    def look(self):
        """What the person's program shows, without a process for each of many looks."""
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as shown:
            patch.setattr(sys, "argv", ["person.py", "look"])
            runpy.run_path(str(self.folder / "bot/person.py"))
        return shown.getvalue()

    def until(self, holds, by=None):
        end = time.monotonic() + BOUND
        while not holds():
            assert time.monotonic() < end, by and by.said()
            assert by is None or by.poll() is None, by.said()
            time.sleep(0.1)  # noqa: TID251 - other processes, real sockets


@pytest.fixture
def reader(tmp_path):
    return Reader(tmp_path)


def without_counts(line):
    return COUNT.sub("…", line)


def test_the_page_installs_the_version_of_aiogram_that_it_is_tested_with():
    assert f"pip install aiogram=={version('aiogram')}\n" in PAGE.read_text()


def test_the_bot_of_the_page_answers_keeps_order_and_survives_a_restart(reader):
    shell = [code for language, code in reader.blocks if language == "sh"]
    shown = [code for language, code in reader.blocks if language == "text"]
    emulate, begin, *_ = [c for c in shell if c.startswith(("gateway emulate", "python bot.py"))]
    doing = [line for c in shell for line in c.splitlines() if line.startswith("python person.py")]
    says = ["say deploy", "look", "press v2.3", "look", "say count", "look"]
    assert [f"python person.py {words}" for words in says] == doing
    address, listens, asked, deployed, left, recovered, all_of_it = shown
    look = doing[-1]
    with reader.program(emulate, number=signal.SIGTERM) as emulator:
        reader.until(lambda: address.strip() in emulator.said(), emulator)
        with reader.program(begin) as bot:
            reader.until(lambda: listens.strip() in bot.said(), bot)
            assert listens.splitlines() == bot.said()
            reader.person(doing[0])
            reader.until(lambda: reader.look() == asked, bot)
            assert asked == reader.person(look)
            reader.person(doing[2])
            reader.until(lambda: reader.look() == deployed, bot)
            reader.person(doing[4])
            reader.until(lambda: "3 of 10" in reader.look(), bot)
        assert 0 == bot.returncode, bot.said()
        assert "10 of 10" not in reader.look()
        assert [*map(without_counts, left.splitlines())] == [*map(without_counts, bot.said()[1:])]
        with reader.program(begin) as bot:
            reader.until(lambda: listens.strip() in bot.said(), bot)
            assert [*map(without_counts, recovered.splitlines())] == [
                *map(without_counts, bot.said()[:2])
            ]
            reader.until(lambda: "10 of 10" in reader.look(), bot)
            assert all_of_it == reader.person(look)
