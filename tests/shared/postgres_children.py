"""Starts processes on one outbox, which tests kill, or stop and continue."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import postgres_child


class Child:
    """A process that runs `postgres_child`."""

    def __init__(self, process):
        self.process = process

    def ask(self, line):
        self.process.stdin.write(f"{line}\n")
        return self.heard()

    def heard(self):
        return self.process.stdout.readline().strip()


@contextmanager
def child(server, schema, lease, accounts="whole", account="bot"):
    words = [sys.executable, postgres_child.__file__, server.url(), schema, str(lease), accounts]
    words.append(account)
    with subprocess.Popen(words, stdin=-1, stdout=-1, text=True, bufsize=1) as process:
        try:
            yield Child(process)
        finally:
            process.kill()


def stop(process):
    """Stop the process; all of its threads have stopped when this returns."""
    process.send_signal(signal.SIGSTOP)
    tasks = list(Path(f"/proc/{process.pid}/task").iterdir())
    while any("State:\tT" not in (task / "status").read_text() for task in tasks):
        os.sched_yield()
