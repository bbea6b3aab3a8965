"""Each of several processes has a file of its own, which whoever comes next goes on with."""

import os
import sys
import textwrap

import pytest
import trio

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import ConfigError, GatewayConfig, OutboxError, parse_config
from gateway_core.testing import FakeChannel, open_test_gateway

KILLED = """
import os, sys, trio
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core.testing import open_test_gateway

async def main():
    outbox = SqliteOutbox(sys.argv[1], SqliteSettings(slots=2))
    async with open_test_gateway(outbox=outbox) as gateway:
        gateway.suspend("bot")
        for n in range(5):
            await gateway.enqueue("bot", "room", str(n), ttl=1e6)
        os._exit(0)

trio.run(main)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox-{slot}.db"


def slotted(path, slots=3, **settings):
    return SqliteOutbox(path, SqliteSettings(slots=slots, **settings))


async def test_each_takes_the_first_that_is_free(path):
    async with slotted(path) as first:
        async with slotted(path) as second:
            assert ["outbox-0.db", "outbox-1.db"] == [first.path.name, second.path.name]
        async with slotted(path) as again, slotted(path) as third:
            assert ["outbox-1.db", "outbox-2.db"] == [again.path.name, third.path.name]
            with pytest.raises(OutboxError, match=f"all 3 slots .*process {os.getpid()} on "):
                async with slotted(path):
                    pass
    async with slotted(path) as first:
        assert "outbox-0.db" == first.path.name


async def test_whoever_comes_next_sends_what_a_killed_process_left(path):
    code = [sys.executable, "-c", textwrap.dedent(KILLED), str(path)]
    with trio.fail_after(60):
        await trio.run_process(code, capture_stdout=True)
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=slotted(path, 2)) as gateway:
        gateway.resume("bot")
        endings = gateway.endings()
        for _ in range(5):
            await anext(endings)
    assert [str(n) for n in range(5)] == channel.texts("room")


@pytest.mark.parametrize(
    ("name", "slots", "words"),
    [
        ("outbox.db", 2, r"slots needs \{slot\} in the name"),
        ("outbox-{slot}.db", None, "slots must say how many"),
        ("outbox-{slot}.db", 0, "slots must be"),
        ("outbox-{slot}.db", "many", "slots must be a whole number, not 'many'"),
    ],
)
def test_slots_and_the_name_of_the_file_go_together(tmp_path, name, slots, words):
    query = "" if slots is None else f"?slots={slots}"
    url = f"sqlite://{tmp_path}/{name}{query}"
    with pytest.raises(ConfigError, match=words):
        parse_config({"outbox": url})
    if slots != "many":
        with pytest.raises(ValueError, match="slots"):
            slotted(tmp_path / name, slots)


def test_a_url_names_slots(tmp_path):
    config = parse_config({"outbox": f"sqlite://{tmp_path}/outbox-{{slot}}.db?slots=8"})
    assert isinstance(config, GatewayConfig)
