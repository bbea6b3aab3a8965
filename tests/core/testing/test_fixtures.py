"""The fixtures for applications' tests, as pytest runs them in a process of its own."""

import os
import subprocess
import sys

import pytest

CONFTEST = 'pytest_plugins = ["gateway_core.testing.fixtures"]\n'
UNDER_TRIO = """
import pytest
from gateway_core import Gateway

class Service:
    def __init__(self, gateway):
        self.gateway = gateway

@pytest.fixture
def service(gateway):
    return Service(gateway)

async def test_it_is_the_gateway_and_a_fixture_may_need_it(service, gateway, sent):
    assert isinstance(gateway, Gateway)
    assert service.gateway is gateway
    await gateway.send("bot", "room", "hello")
    assert ["hello"] == sent.texts() == [a.part.payload["text"] for a in sent.attempts]

async def test_another_test_has_another_room(gateway, sent):
    assert {} == sent.rooms
    async with gateway.typing({"type": "fake.event", "id": "1", "asked": None, "room": "r",
                               "thread": None, "user": "u"}):
        while not sent.typed:
            import trio
            await trio.sleep(0)
    assert ["r"] == sent.typed

async def test_its_clock_is_trio_s(gateway_clock):
    pass

@pytest.mark.asyncio
async def test_of_two(gateway):
    pass

@pytest.mark.anyio
def test_of_anyio(gateway):
    pass
"""
PLAIN = """
import pytest
from gateway_core import Verdict
from gateway_core.blocking import Gateway
from gateway_core.testing import failing

@pytest.fixture
def service(gateway):
    return gateway.send

def test_a_chain_of_retries_is_lived_through(gateway, sent, fake_channel, gateway_clock):
    assert isinstance(gateway, Gateway)
    busy = Verdict(error_class="retryable", reason="rate_limited", retry_after=60, raw="busy")
    fake_channel.script = failing(busy, times=3)
    before = gateway_clock.wall()
    ticket = gateway.enqueue("bot", "room", "hello")
    gateway_clock.advance(179)
    assert ([], 3) == (sent.texts(), len(sent.attempts))
    gateway_clock.advance(2)
    assert 4 == ticket.receipt(timeout=10).attempts
    assert 181 == pytest.approx(gateway_clock.wall() - before, abs=20)

def test_a_fixture_may_need_it(service, sent):
    service("bot", "room", "again")
    assert ["again"] == sent.texts()

def test_time_goes_forward(gateway_clock):
    with pytest.raises(TypeError, match="seconds"):
        gateway_clock.advance(-1)
"""
LATE = """
from gateway_core import blocking
from gateway_core.testing import FakeChannel

def test_one_was_open_before(request, gateway_config):
    plugins = [("fake", FakeChannel())]
    with blocking.open_gateway(gateway_config, plugins=plugins) as own:
        own.statistics()
        request.getfixturevalue("gateway").send("bot", "room", "hello")
        request.getfixturevalue("gateway_clock")
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)

    def run(code):
        (tmp_path / "pytest.ini").write_text(
            "[pytest]\ntrio_mode = true\nfilterwarnings = error\nmarkers =\n  anyio\n  asyncio\n"
        )
        (tmp_path / "test_it.py").write_text(code)
        words = ("-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:anyio")
        return subprocess.run(
            [sys.executable, "-m", "pytest", *words],
            cwd=tmp_path,
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        ).stdout

    return run


def test_a_test_under_trio_gets_the_gateway(run):
    said = run(UNDER_TRIO)
    assert "under pytest-trio use `autojump_clock`, which drives the time" in said
    assert "but not anyio's" in said
    assert "is `asyncio_mode` auto?" in said
    assert "2 passed, 3 errors" in said


def test_a_plain_test_gets_one_that_blocks_and_drives_its_time(run):
    assert "3 passed" in run(PLAIN)


def test_a_thread_on_the_real_clock_serves_and_cannot_be_driven(run):
    said = run(LATE)
    assert "runs on the real clock" in said
    assert "1 failed" in said
