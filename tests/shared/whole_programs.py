"""Runs the programs of the how-to pages in processes of their own, against emulators.

A policy that is installed beside the program notes the gateway's envelopes and how they ended.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import attrs
import trio
from signalled import has_heard

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```\w+\n(?P<code># (?P<name>[\w]+\.\w+)\n.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = ROOT / "tests/integration/clients/elsewhere.py"
NOTING = """
import json, os
from gateway_core.authors import hookimpl

GATEWAY_CONTRACT = 1

def note(what, envelope, word=None):
    with open(os.environ["NOTES"], "a") as lines:
        lines.write(json.dumps([what, f"{envelope.external_room_id} {envelope.key}", word]) + "\\n")

@hookimpl
def admit(envelope, pressure):
    note("handed", envelope)

@hookimpl
def after_refusal(envelope, error):
    note("refused", envelope, type(error).__name__)

@hookimpl
def after_disposition(envelope, receipt):
    note("ended", envelope, receipt.disposition)
"""


def files_of(page: str, folder: Path, url: str) -> None:
    """Write the page's files to the folder, with the emulator's address in the configuration."""
    for found in FENCE.finditer((ROOT / f"docs/how-to/{page}.md").read_text()):
        code = found["code"]
        if found["name"] == "gateway.toml":
            code = re.sub(r"^base_url.*\n", "", code, flags=re.MULTILINE)
            code = re.sub(r"^token = ", f'base_url = "{url}"\ntoken = ', code, flags=re.MULTILINE)
        (folder / found["name"]).write_text(code)


def install_noting(folder: Path) -> Path:
    """Install the policy that notes, as a distribution in a folder for the program's path."""
    (info := folder / "noting-1.dist-info").mkdir(parents=True)
    (folder / "noting.py").write_text(NOTING)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noting\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[gateway_policy]\nnoting = noting\n")
    return folder


@attrs.define(eq=False)
class Program:
    """A program's process, and its output."""

    notes: Path
    process: trio.Process
    said: bytearray = attrs.field(factory=bytearray)

    def noted(self) -> list[list[str]]:
        """The notes: envelopes handed to the gateway, refused ones, and how the others ended."""
        if not self.notes.exists():
            return []
        lines = self.notes.read_text().splitlines()
        return [json.loads(line) for line in lines]

    def ids(self, what: str) -> set[str]:
        return {envelope for kind, envelope, _ in self.noted() if kind == what}

    def dispositions(self) -> Counter[str]:
        return Counter(word for kind, _, word in self.noted() if kind == "ended")

    def lost(self) -> set[str]:
        """Envelopes that were accepted, but without a note of their end."""
        return self.ids("handed") - self.ids("refused") - self.ids("ended")

    async def press(self, number: int, times: int = 1) -> None:
        """Send the signal `times` times; as in a terminal, the whole group gets a Ctrl-C."""
        for n in range(times):
            await trio.sleep(0.3 if n else 0)
            while n and not has_heard(self.process.pid):  # noqa: ASYNC110 - another process
                await trio.sleep(0.01)
            if self.process.poll() is not None:
                break
            if number == signal.SIGINT:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)

    async def until(self, condition) -> None:
        """Wait until the condition holds; fails if the process ends before."""
        while not condition():
            assert self.process.poll() is None, self.said.decode()
            await trio.sleep(0.02)

    def told(self) -> str:
        return self.said.decode()


async def start(command: list[str], folder: Path, nursery: trio.Nursery, **environ: str) -> Program:
    """Start the command in the folder as the leader of a process group, with the noting policy."""
    beside = install_noting(folder / "beside")
    path = os.pathsep.join([str(beside), os.environ.get("PYTHONPATH", "")])
    notes = folder / "notes"
    environ = {
        **os.environ,
        "PYTHONPATH": path,
        "NOTES": str(notes),
        "PYTHONFAULTHANDLER": "1",
        **environ,
    }

    async def runs(task_status: trio.TaskStatus[trio.Process]) -> None:
        await trio.run_process(
            command, cwd=folder, env=environ, stdout=-1, stderr=-1, capture_stdout=False,
            capture_stderr=False, check=False, start_new_session=True, task_status=task_status,
            deliver_cancel=_kill_all,
        )  # fmt: skip

    process = await nursery.start(runs)
    program = Program(notes, process)
    for stream in (process.stdout, process.stderr):
        nursery.start_soon(_read, stream, program.said)
    return program


async def _kill_all(leader: trio.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)


async def _read(stream: trio.abc.ReceiveStream, said: bytearray) -> None:
    async for chunk in stream:
        said += chunk


def client_command(program: str, url: str, loop: str = "asyncio") -> list[str]:
    """A command that runs a page's program, with its SDK set to the platform's address."""
    return [sys.executable, str(ELSEWHERE), url, program, *([loop] if loop != "asyncio" else [])]
