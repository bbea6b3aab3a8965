"""Runs programs that send, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from signalled import has_heard

SHARED = Path(__file__).parent
BOUND = 90
"""Seconds after which a program counts as hanging."""
MESSAGES = 5

ASYNCIO = """
import asyncio
from written import given, note
from gateway_core.aio import open_gateway

async def accept(gateway):
    for n in range(5):
        await gateway.enqueue("bot", "room", str(n))
        note("accepted", n)
    print("ready", flush=True)
"""
IN_A_BLOCK = (
    ASYNCIO
    + """
async def main():
    async with open_gateway(**given()) as gateway:
        await accept(gateway)
        await asyncio.sleep(1e6)
"""
)
BLOCKING = """
import os, signal, sys, threading, time
from written import given, note
from gateway_core.blocking import open_gateway

gateway = open_gateway(**given())

def accept(name=""):
    for n in range(5):
        gateway.enqueue("bot", "room", f"{name}{n}")
        note("accepted", f"{name}{n}")
    print("ready", flush=True)
"""


class Program:
    """A program that runs in a folder of its own."""

    def __init__(self, folder, code, **environ):
        (folder / "program.py").write_text(textwrap.dedent(code))
        self.folder = folder
        path = os.pathsep.join([str(SHARED), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "program.py"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def until_ready(self):
        for line in self.process.stdout:
            if line == "ready\n":
                return self
        raise AssertionError(self.process.communicate())

    def press(self, times, apart=0.15):
        """Press Ctrl-C `times` times.

        Not in the moment in which the program is about to wait: CPython looks for signals before it
        lets go of its lock, and then sleeps on if one comes until it really waits.
        """
        for _ in range(times):
            time.sleep(apart)  # noqa: TID251 - a person's
            end = time.monotonic() + BOUND
            while not has_heard(self.process.pid) and time.monotonic() < end:
                time.sleep(0.01)  # noqa: TID251 - another process
            self.process.send_signal(signal.SIGINT)

    def end(self):
        """Wait for the end; returns the exit code. `out` and `said` have stdout and stderr."""
        try:
            out, self.said = self.process.communicate(timeout=BOUND)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGABRT)  # the stacks of all
            _, said = self.process.communicate()
            raise AssertionError(f"it hangs:\n{said}") from None
        self.out = out
        return self.process.returncode

    def lines(self, name):
        file = self.folder / name
        return sorted(file.read_text().split()) if file.exists() else []

    def lost(self):
        return sorted(set(self.lines("accepted")) - set(self.lines("delivered")))
