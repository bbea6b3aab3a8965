"""The tutorial as its reader does it: its commands, typed one after the other, on real sockets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from ports import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tutorial/first-message.md"
FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (?P<name>\w+\.\w+)\n")
PORT = "8081"
BOUND = 120
"""Seconds in which the whole tutorial is through on a machine that is busy with other things."""


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 - loopback, http
        return response.read().decode()


def wait_until_served(url: str, by: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + BOUND
    while by.poll() is None and time.monotonic() < end:
        try:
            fetch(url)
        except OSError:
            time.sleep(0.05)  # noqa: TID251 - another process, real sockets
        else:
            return
    pytest.fail(f"nothing answers at {url}; the emulator's exit code: {by.returncode}")


@pytest.fixture
def page(tmp_path):
    """The page's blocks with a free port instead of the one it names; its files are written."""
    text = PAGE.read_text().replace(PORT, port := str(free_port()))
    blocks = [(found["language"], found["code"]) for found in FENCE.finditer(text)]
    for _, code in blocks:
        if named := NAMED.match(code):
            (tmp_path / named["name"]).write_text(code)
    return tmp_path, port, [code for language, code in blocks if language == "sh"]


@pytest.fixture
def environment():
    """The reader's: the programs of this environment come first on the path."""
    here = str(Path(sys.executable).parent)
    assert shutil.which("gateway", path=here), "the command line is installed beside Python"
    return {**os.environ, "PATH": f"{here}:{os.environ['PATH']}"}


@pytest.fixture
def emulator(page, environment):
    """What the reader's first terminal runs, until the test is over."""
    folder, port, commands = page
    words = commands[0].split()
    assert ["gateway", "emulate", "slack", "--port", port] == words
    process = subprocess.Popen(words, cwd=folder, env=environment)
    try:
        wait_until_served(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(BOUND)


def test_the_tutorials_commands_do_what_it_says(page, emulator, environment):
    folder, _, commands = page
    script = "set -e\n" + "\n".join(commands[1:])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert "delivered" in done.stdout
    shown = fetch(emulator)
    assert "Hello from the command line" in shown
    assert "Deployed v2.3" in shown
    slow, fast = map(int, re.findall(r"the code took (\d+) s", done.stdout))
    assert fast < slow


def test_the_tutorial_needs_no_more_than_the_demo():
    """What its page says has made the environment, and that this target makes all it uses."""
    assert "`make demo` has made all of that" in PAGE.read_text()
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^demo: \$\(RUN\)$", makefile, re.MULTILINE)
    [editable] = re.findall(r"^EDITABLE := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert "-e plugins/slack" in editable
    assert "contrib[cli,emulators" in editable
