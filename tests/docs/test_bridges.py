"""The programs of the pages about asyncio and code that blocks run in processes, on an emulator.

Those that answer events run in tests/integration/test_answering_servers.py.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from ports import free_port

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```\w+\n(?P<code># (?P<name>[\w]+\.\w+)\n.*?)^```$", re.MULTILINE | re.DOTALL)
BOUND = 60
PORT = "8081"

ANSWERED = [
    "Let me think.",
    "I thought about six times seven: 42.",
    "I thought about nothing at all: 42.",
]
HOOKS = """
import asyncio
from hooks import Bot

async def main():
    bot = Bot()
    await asyncio.ensure_future(bot.starts())
    await bot.gateway.enqueue("support-bot", "C024BE91L", "from a hook")
    await asyncio.ensure_future(bot.ends())

asyncio.run(main())
"""
TASKS = """
import os, sys, types

class Signal:
    def __init__(self):
        self.receivers = []
    def connect(self, receiver, weak=True):
        self.receivers.append(receiver)
    def send(self):
        for receiver in self.receivers:
            receiver(sender=None)

class Celery:
    def __init__(self, name, broker):
        self.task = lambda function: function

celery, signals = types.ModuleType("celery"), types.ModuleType("celery.signals")
celery.Celery = Celery
signals.worker_process_init, signals.worker_process_shutdown = Signal(), Signal()
sys.modules |= {"celery": celery, "celery.signals": signals}
import tasks

if (pid := os.fork()) == 0:
    signals.worker_process_init.send()
    assert tasks.announce("C024BE91L", "from a task", "key")
    tasks.gateway.enqueue("support-bot", "C024BE91L", "at the end")
    signals.worker_process_shutdown.send()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""


def fetch(url, *, data=None):
    with urllib.request.urlopen(url, data=data, timeout=30) as response:  # noqa: S310 - loopback
        return response.read().decode()


def until_served(url, by):
    end = time.monotonic() + BOUND
    while by.poll() is None and time.monotonic() < end:
        try:
            return fetch(url)
        except urllib.error.HTTPError:
            return ""
        except OSError:
            time.sleep(0.05)  # noqa: TID251 - another process, real sockets
    return pytest.fail(f"nothing answers at {url}; the server's exit code: {by.returncode}")


@pytest.fixture(scope="module")
def environment():
    here = Path(sys.executable).parent
    return {
        **os.environ,
        "PATH": f"{here}:{os.environ['PATH']}",
        "SLACK_TOKEN": "xoxb-1234-tutorial",
    }


@pytest.fixture(scope="module")
def emulator(environment, tmp_path_factory):
    """The port of the emulator that the pages name."""
    port = str(free_port())
    words = ["gateway", "emulate", "slack", "--port", port]
    folder = tmp_path_factory.mktemp("emulator")
    process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        until_served(f"http://127.0.0.1:{port}/", process)
        yield port
    finally:
        process.terminate()
        process.wait(BOUND)


@pytest.fixture
def slack(tmp_path, emulator):
    """The pages' files, and how often a text stands on the emulator that did not before."""
    for found in FENCE.finditer((ROOT / "README.md").read_text()):
        (tmp_path / found["name"]).write_text(found["code"])
    for page in ("asyncio", "blocking"):
        text = (ROOT / f"docs/how-to/{page}.md").read_text().replace(PORT, emulator)
        assert f"gateway emulate slack --port {emulator}" in text
        for found in FENCE.finditer(text):
            (tmp_path / found["name"]).write_text(found["code"])
    programs = FENCE.finditer((ROOT / "README.md").read_text())
    front = {found["name"]: found["code"] for found in programs}
    (tmp_path / "front.py").write_text(front["bot.py"])

    def shown():
        return re.sub(r"<[^>]+>", "", fetch(f"http://127.0.0.1:{emulator}/"))

    before = shown()
    return lambda text: shown().count(text) - before.count(text)


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("bot", None, ["Deployed v2.3, verified", "and announced"]),
        ("front", None, ["Deployed v2.3, checked"]),
        ("deploy", None, ["Deployed v2.3, verified"]),
        ("answers", None, ANSWERED),
        ("answering", None, ANSWERED),
        ("hooked", HOOKS, ["from a hook"]),
        ("working", TASKS, ["from a task", "at the end"]),
    ],
)
def test_a_program_of_the_pages_sends(slack, tmp_path, environment, name, code, expected):
    if code is not None:
        (tmp_path / f"{name}.py").write_text(code)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", f"{name}.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, timeout=BOUND, check=False
    )
    assert 0 == done.returncode, done.stderr.decode()
    assert [] == [text for text in expected if slack(text) < 1]


def test_the_application_of_the_page_answers_and_ends_at_sigterm(slack, tmp_path, environment):
    port = free_port()
    command = [sys.executable, "-m", "hypercorn", "app:app", "--bind", f"127.0.0.1:{port}"]
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    try:
        until_served(f"http://127.0.0.1:{port}/", server)
        answer = fetch(f"http://127.0.0.1:{port}/deployed", data=b"")
        assert '{"disposition":"delivered"}' == answer
    finally:
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=BOUND)
    assert 0 == server.returncode, said.decode()
    assert 1 <= slack("Deployed v2.4")


@pytest.fixture
def tested(tmp_path, environment):
    """Runs files of the page about applications' tests, as pytest does."""
    text = (ROOT / "docs/how-to/test-your-application.md").read_text()
    for found in re.finditer(
        r"^```python\n(# ([\w/]+\.py)\n.*?)^```$", text, re.MULTILINE | re.DOTALL
    ):
        file = tmp_path / found[2]
        file.parent.mkdir(exist_ok=True)
        file.write_text(found[1])

    def run(*names, ini="filterwarnings = error"):
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
        words = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", *names]
        command = [sys.executable, "-m", "pytest", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, timeout=BOUND, check=False
        )
        return done.stdout.decode()

    return run


def test_the_tests_of_the_page_pass(tested):
    files = ("test_under_trio.py", "test_plain.py", "limited")
    assert "5 passed" in (said := tested("-p", "no:asyncio", *files)), said


def test_the_tests_of_the_page_pass_under_pytest_asyncio(tested):
    pytest.importorskip("pytest_asyncio")
    loop = "asyncio_default_fixture_loop_scope = function\nfilterwarnings = error"
    assert "2 passed" in (said := tested("test_under_asyncio.py", ini=loop)), said
