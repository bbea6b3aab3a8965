"""The pages about testing a bot, to the letter: their tests, and their commands by curl."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from amounts import one_of_three
from ports import free_port

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (?P<name>\w+\.py)\n")
PAGES = {"test-a-telegram-bot": 6, "test-a-slack-app": 5, "test-a-discord-bot": 4}
"""How many tests each page has."""
PORT = "8081"
BOUND = 120
"""Seconds that a page's tests, or its commands, may take."""
REFUSED = {
    "test-a-telegram-bot": "Too Many Requests: retry after 30",
    "test-a-slack-app": "ratelimited",
    "test-a-discord-bot": "You are being rate limited.",
}


def blocks(page):
    text = (ROOT / f"docs/how-to/{page}.md").read_text()
    return [(found["language"], found["code"]) for found in FENCE.finditer(text)]


@pytest.mark.parametrize("page", one_of_three(PAGES))
def test_the_tests_of_a_page_pass(page, tmp_path):
    """Under the reader's pytest: no option, no conftest but the page's own."""
    for language, code in blocks(page):
        if language == "python":
            (tmp_path / NAMED.match(code)["name"]).write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert f"{PAGES[page]} passed" in done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_do_what_it_says(page, tmp_path):
    shell = [code for language, code in blocks(page) if language == "sh"]
    [serving] = [code for code in shell if code.startswith("gateway emulate")]
    [asking] = [code for code in shell if code.startswith("api=")]
    port = str(free_port())
    here = str(Path(sys.executable).parent)
    environ = {**os.environ, "PATH": f"{here}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        serving.replace(PORT, port).split(),
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "is emulated at" in process.stdout.readline()
        done = subprocess.run(
            ["bash", "-ec", asking.replace(PORT, port)],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
        )
    finally:
        process.terminate()
        _, log = process.communicate(timeout=BOUND)
    assert 0 == done.returncode, done.stderr
    first, _, rest = done.stdout.partition('"failures": ["answer 429"]')
    assert "Hello" in first
    assert REFUSED[page] in rest
    assert "30" in rest
    shown, _, again = rest.partition("[{")[2].partition("}]")
    assert '"text": "Hello"' in shown
    assert "Deployed" not in rest
    assert '"counters": {}' in again
    assert ["200", "429"] == [line.split()[2] for line in log.splitlines()[:-1]]
