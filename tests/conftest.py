"""Every request that an adapter makes, in any test and any process of its, is looked at.

What tests of several places share stands in `shared`, and is imported from there by its name.
"""

import faulthandler
import gc
import logging
import os
import signal
import sys
import time
from functools import partial
from math import inf
from pathlib import Path

import pytest
import structlog
import trio
from hypothesis import settings

from gateway_core.files import looking, spool
from gateway_core.http import HttpClient
from gateway_core.http.bodies import files
from gateway_core.plugins import calling

# Whoever asks a server on this machine, in any process of a test, asks no developer's proxy.
os.environ.setdefault("no_proxy", "127.0.0.1,localhost")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "shared"))

import amounts  # noqa: E402 - it stands on the path since the line before
import binding  # noqa: E402 - likewise
import dealing  # noqa: E402 - likewise
import drifting  # noqa: E402 - likewise

# How fast an example is says how busy the machine is.
most = amounts.amount("examples of a law")
settings.register_profile("untimed", deadline=None, max_examples=most)
settings.load_profile("untimed")

# A shell without job control has what it begins in the background ignore these two, and whatever
# that begins inherits it: a program that a test ends with Ctrl-C would then never end.
_usual = {signal.SIGINT: signal.default_int_handler, signal.SIGQUIT: signal.SIG_DFL}
for _number, _handler in _usual.items():
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

_drifted: list[str] = []
drifting.watch(HttpClient, _drifted.append)
binding.bind_faster()


HANGS = 300
"""Seconds after which the stacks are shown of a test that has not ended."""
WATCHED_FOR = 30
"""Seconds that one watchdog serves for: another one for each test, as pytest's, waits at the end of
each for a thread to end, which on a busy machine takes longer than most tests."""
_watch = {"since": -inf, "stderr": 2}


# What is made while tests are collected stays to the end: no collection looks for garbage in it.
# Later they look less often than usual; a test of memory says itself when they shall.
gc.disable()
gc.set_threshold(10_000)


def pytest_collection_finish():
    gc.enable()


def pytest_configure(config):
    config.addinivalue_line("markers", "long_run: a whole short run leaves it out")
    _watch["stderr"] = os.dup(2)  # it is captured later


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure():
    # What finalizers have to say, they say now; pytest looks over and over, at all that there is.
    gc.collect()
    gc.freeze()
    faulthandler.cancel_dump_traceback_later()


def pytest_runtest_logstart():
    now = time.monotonic()
    if now - _watch["since"] >= WATCHED_FOR:
        faulthandler.dump_traceback_later(HANGS, file=_watch["stderr"])
        _watch["since"] = now


CLOCK = "autojump_clock"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["whole"] = _is_whole(node.config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return dealing.scheduler(config, log) if config.option.dist == "loadfile" else None


def _is_whole(config):
    """Whether the whole suite was asked for."""
    if hasattr(config, "workerinput"):  # a process of several, which gets names of tests
        return config.workerinput["whole"]
    return config.args_source is config.ArgsSource.TESTPATHS


def pytest_collection_modifyitems(config, items):
    """A test runs on the virtual clock that a fixture of its asks for, as if it asked itself.

    By itself pytest-trio looks only at what a test asks for, and the test would wait in real time.
    """
    if _is_whole(config) and not amounts.LONG:
        left = [item for item in items if item.get_closest_marker("long_run")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    if hasattr(config, "workerinput"):
        items.sort(key=dealing.place)
    for item in items:
        info = getattr(item, "_fixtureinfo", None)
        if info is not None and CLOCK in info.names_closure and CLOCK not in info.argnames:
            item.add_marker(pytest.mark.trio(run=partial(_run_on_the_clock, item)))


def _run_on_the_clock(item, function, *, clock, instruments):
    assert clock is None
    return trio.run(function, clock=item.funcargs[CLOCK], instruments=instruments)


@pytest.fixture
def autojump_clock(autojump_clock, monkeypatch):
    """A file is read in no time: the clock sees no thread, and would jump while one reads."""

    async def at_once(do):
        await trio.lowlevel.checkpoint()
        return do()

    for module, name in ((looking, "in_thread"), (spool, "in_thread"), (files, "_in_thread")):
        monkeypatch.setattr(module, name, at_once)
    return autojump_clock


@pytest.fixture(scope="session", autouse=True)
def _told(tmp_path_factory):
    """What the processes tell that tests begin; the last may tell after its test."""
    path = tmp_path_factory.mktemp("drift") / "told"
    told = drifting.Told(path)
    before = os.environ.get("PYTHONPATH", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(drifting.TOLD, str(path))
        patch.setenv("PYTHONPATH", f"{HERE / 'watching'}{before and os.pathsep}{before}")
        yield told
    assert [] == told.fresh(), "not in tests/requests.toml"


@pytest.fixture(autouse=True)
def _no_request_beyond_the_table(_told):
    _drifted.clear()
    yield
    assert [] == [*_drifted, *_told.fresh()], "not in tests/requests.toml"


@pytest.fixture(autouse=True)
def _hooks_take_no_time(monkeypatch):
    """How busy the machine is makes no hook slow; tests of that have a time of their own."""
    monkeypatch.setattr(calling, "perf_counter", float)


@pytest.fixture(autouse=True)
def _log_as_before():
    """The program sets up the process's log; the next test wants it as it was."""
    root = logging.getLogger()
    handlers, level, before = list(root.handlers), root.level, structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    structlog.configure(**before)


def pytest_terminal_summary(terminalreporter, config):
    for line in amounts.left_out(whole=_is_whole(config)):
        terminalreporter.write_line(line)
