"""Commands as operators run them: in processes of their own."""

import json
import subprocess
import sys
from functools import partial

import pytest
import trio

COMMANDS = """
import json, os, sys
from contextlib import redirect_stdout, suppress
from gateway_contrib.cli.app import main

with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), suppress(SystemExit):
    main(["outbox", "list", "--help"])
for line in sys.stdin:
    words, out, err = json.loads(line)
    child = os.fork()
    if not child:
        with open(out, "w") as sys.stdout, open(err, "w") as sys.stderr:
            code = main(["outbox", *words])
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs each command in a process of its own; what they import, it has imported before."""


@pytest.fixture
def often(monkeypatch):
    """The owner looks ten times as often for what is asked; the test is not about how soon."""
    _look_each(0.1, monkeypatch)


@pytest.fixture
def seldom(monkeypatch):
    """The owner looks once a minute for what is asked: hours of virtual time have fewer looks."""
    _look_each(60.0, monkeypatch)


def _look_each(seconds, monkeypatch):
    for module in ("durable.committer", "sqlite.outbox", "postgres.outbox"):
        monkeypatch.setattr(f"gateway_contrib.{module}.POLL", seconds)


@pytest.fixture(scope="session")
def commands():
    """That process, to write to and read from."""
    command = [sys.executable, "-c", COMMANDS]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, bufsize=1) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def gateway_command(commands, tmp_path):
    """In a process of its own: a second connection, as operators have it."""
    out, err = tmp_path / "out", tmp_path / "err"

    def ask(*words):
        print(json.dumps([words, str(out), str(err)]), file=commands.stdin)
        return int(commands.stdout.readline()), out.read_text(), err.read_text()

    return partial(trio.to_thread.run_sync, ask)
