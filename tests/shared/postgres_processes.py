"""Gateways in processes of their own on one outbox in PostgreSQL, to ask and to kill."""

import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial

import postgres_gateways
import trio

LEASE = 5.0


class Child:
    """A gateway in a process of its own."""

    def __init__(self, process):
        self.process = process

    async def ask(self, line=None):
        """The process's answer to the line, without its log."""
        if line is not None:
            self.process.stdin.write(f"{line}\n")
        read = partial(trio.to_thread.run_sync, self.process.stdout.readline)
        while (heard := await read(abandon_on_cancel=True)).startswith("2"):
            pass
        return heard.strip()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def child(server, schema, role):
    words = [sys.executable, postgres_gateways.__file__, server.url(), schema, str(LEASE), role]
    with subprocess.Popen(words, stdin=-1, stdout=-1, text=True, bufsize=1) as process:
        try:
            yield Child(process)
        finally:
            process.kill()
