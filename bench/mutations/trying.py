"""Runs tests on a mutated copy of the workspace, each time in a process forked for it.

The process that forks has imported everything that all tests import, but nothing of the gateway, so
that a run costs only what its tests cost. A run is bounded in processor time, memory and time,
since a mutation may loop forever, or take more and more memory.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import apsw
import attrs
import cattrs
import httptools
import hypothesis
import pluggy
import pytest
import trio
import trio.testing

IMPORTED = (apsw, attrs, cattrs, httptools, hypothesis, pluggy, trio, trio.testing)
COPIED = ("core", "plugins", "contrib", "tests", "bench", "docs", "pyproject.toml", "README.md")
SOURCES = (
    "core/src", "contrib/src", "plugins/telegram/src", "plugins/slack/src", "plugins/discord/src",
)  # fmt: skip
MEMORY = 4 << 30
OPTIONS = (
    "-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",  # for modules imported before the fork
)  # fmt: skip
LONGEST = 300.0
"""Seconds after which a run that takes no processor time is given up."""


class Outcome(NamedTuple):
    """How the tests ended; `code` is pytest's exit code, or None if the run was given up."""

    code: int | None
    processor: float
    said: str


@contextmanager
def workspace(root: Path) -> Iterator[Path]:
    """A copy of the files that the tests need, which mutations may change."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as made:
        copy = Path(made)
        for name in COPIED:
            if (root / name).is_dir():
                shutil.copytree(
                    root / name,
                    copy / name,
                    ignore=shutil.ignore_patterns("_build", "__pycache__", ".hypothesis"),
                )
            else:
                shutil.copy(root / name, copy / name)
        yield copy


@contextmanager
def mutated(path: Path, source: str) -> Iterator[None]:
    """Replace the module's source for the block, and have it compiled anew."""
    before = path.read_text()
    compiled = list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))
    for file in compiled:
        file.unlink()
    path.write_text(source)
    try:
        yield
    finally:
        path.write_text(before)


def run_tests(copy: Path, tests: Sequence[str], processor: int, *, keep: bool = False) -> Outcome:
    """Run the tests in a process of its own; `keep`: keep compiled files for later runs."""
    said = copy / "said"
    started = os.times()
    child = os.fork()
    if not child:
        _in_child(copy, tests, processor, said, keep=keep)
    code = _wait(child, LONGEST if not keep else 10 * LONGEST)
    ended = os.times()
    used = (ended.children_user - started.children_user) + (
        ended.children_system - started.children_system
    )
    return Outcome(code, used, said.read_text(errors="replace"))


def _in_child(copy: Path, tests: Sequence[str], processor: int, said: Path, *, keep: bool) -> None:
    """Run pytest in the child process, in a session of its own."""
    code = 70
    try:
        os.setsid()
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(output, number)
        resource.setrlimit(resource.RLIMIT_CPU, (processor, processor + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.chdir(copy)
        paths = [str(copy / source) for source in SOURCES]
        sys.path[:] = [*paths, str(copy), *sys.path]
        os.environ["PYTHONPATH"] = ":".join([*paths, str(copy)])
        sys.dont_write_bytecode = not keep
        code = int(pytest.main([*OPTIONS, *tests]))
    except BaseException:  # noqa: BLE001 - nothing of the child goes on in what was forked
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, seconds: float) -> int | None:
    """The child's exit code; None if it took too long."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            _end(child)
            given_up = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (
                signal.SIGXCPU, signal.SIGKILL,
            )  # fmt: skip
            return None if given_up else os.waitstatus_to_exitcode(status)
        time.sleep(0.02)  # noqa: TID251 - no event loop is here
    _end(child)
    os.waitpid(child, 0)
    return None


def _end(child: int) -> None:
    """End the run and the processes that it started, which are in its session."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
