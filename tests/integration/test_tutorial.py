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
ITS_OWN = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\b17\d{8}\.\d{6}\b|(?<=envelope=)[0-9a-f]+"
    r"|(?<=room=)[0-9a-f]+|(?<=seconds=)[\d.e-]+|(?<=took )\d+"
    r"|(?<=unfinished=)\d+"
)
"""What differs from run to run of what is printed."""
ACTIVATE = "source .venv/bin/activate"
CUT = "--- next command"
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
    """The page's blocks with a free port instead of the one it names; its files are written.

    The clone, in which nothing is done, and the folder that the page makes beside it.
    """
    text = PAGE.read_text().replace(PORT, port := str(free_port()))
    blocks = [(found["language"], found["code"]) for found in FENCE.finditer(text)]
    (clone := tmp_path / "clone").mkdir()
    (beside := tmp_path / "first-message").mkdir()
    for _, code in blocks:
        if named := NAMED.match(code):
            (beside / named["name"]).write_text(code)
    return clone, port, blocks


@pytest.fixture
def environment():
    """The reader's: the programs of this environment come first on the path."""
    here = str(Path(sys.executable).parent)
    assert shutil.which("gateway", path=here), "the command line is installed beside Python"
    return {**os.environ, "PATH": f"{here}:{os.environ['PATH']}"}


@pytest.fixture
def emulator(page, environment):
    """What the reader's first terminal runs, until the test is over."""
    folder, port, blocks = page
    [serving] = [code for _, code in blocks if "gateway emulate" in code]
    activate, words = serving.splitlines()
    assert ACTIVATE == activate
    process = subprocess.Popen(
        words.split(), cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert ("text", process.stdout.readline()) in blocks
        wait_until_served(f"http://127.0.0.1:{port}/", process)
        assert "Nothing arrived yet." in fetch(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.communicate(timeout=BOUND)


def second_terminal(blocks):
    """What the page types there, each with what it shows as printed (empty: it does not say)."""
    start = next(n for n, (_, code) in enumerate(blocks) if "mkdir" in code)
    after = [*blocks[start + 1 :], ("", "")]
    shown = [code if language == "text" else "" for language, code in after]
    return [
        (code.replace(f"{ACTIVATE}\n", "").replace("mkdir ", "mkdir -p "), told)
        for (language, code), told in zip(blocks[start:], shown, strict=True)
        if language == "sh"
    ]


def alike(printed: str) -> list[str]:
    """The lines without times, ids and hashes.

    On a machine that does other things besides, a message may come late and meet one 429.
    """
    lines = printed.splitlines()
    return [ITS_OWN.sub("…", line) for line in lines if "reason=rate_limited" not in line]


def test_the_tutorials_commands_print_what_it_shows(page, emulator, environment):
    folder, _, blocks = page
    typed = second_terminal(blocks)
    script = f"echo '{CUT}'\n".join(["set -e\nexec 2>&1\n", *(code for code, _ in typed)])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert 0 == done.returncode, done.stdout
    printed = done.stdout.split(f"{CUT}\n")[1:]
    assert [alike(told) for _, told in typed] == list(map(alike, printed))
    shown = fetch(emulator)
    assert "Hello from the command line" in shown
    assert "Deployed v2.3" in shown
    slow, fast = map(int, re.findall(r"the code took (\d+) s", done.stdout))
    assert fast < slow


def test_the_tutorials_last_page_shows_what_the_rooms_have(page, emulator, environment):
    """Side by side: a column for each room."""
    folder, _, blocks = page
    command = [sys.executable, "with_courtesy.py"]
    beside = folder.parent / "first-message"
    subprocess.run(
        command,
        cwd=beside,
        env={**environment, "SLACK_TOKEN": "xoxb-1"},
        capture_output=True,
        timeout=BOUND,
        check=True,
    )
    [pictured] = [code for language, code in blocks if code.startswith("C0WITHOUT (4)")]
    columns = zip(*(line.split("  ", 1) for line in pictured.splitlines()), strict=True)
    rooms = re.findall(r"<summary>(.*?)</summary>(.*?)</details>", fetch(emulator), re.DOTALL)
    found = [[name, *re.findall(r"<pre[^>]*>(.*?)</pre>", said)] for name, said in rooms]
    assert found == [[word.strip() for word in column] for column in columns]


def test_the_tutorial_needs_no_more_than_the_demo():
    """What its page says has made the environment, and that this target makes all it uses."""
    found = FENCE.finditer(PAGE.read_text())
    assert ["make demo\n"] == [f["code"] for f in found if f["code"].startswith("make")]
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^demo: \$\(RUN\)$", makefile, re.MULTILINE)
    [editable] = re.findall(r"^EDITABLE := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert "-e plugins/slack" in editable
    assert "contrib[cli,emulators" in editable
