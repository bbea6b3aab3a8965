"""What a process that only hands over counts: nothing that it accepted is missing."""

import gc

import pytest
import trio
from handing_in_memory import Desk, SharedMemory

from gateway_core import UnknownInstance
from gateway_core.testing import FakeChannel, open_test_gateway


async def test_what_nobody_waits_for_counts_as_handed_over(autojump_clock):
    """What somebody waits for counts as it ended."""
    outbox = SharedMemory()
    async with (
        open_test_gateway(FakeChannel(), outbox=outbox),
        open_test_gateway(outbox=outbox, serve=False) as producer,
    ):
        for number in range(3):
            await producer.enqueue("bot", "r", f"{number}")
        gc.collect()
        early = producer.statistics()
        assert (3, 0, 3, True) == (early.accepted, early.unfinished, early.handed, early.conserved)
        for _ in range(2):
            await producer.send("bot", "r", "is waited for")
        late = producer.statistics()
    assert (5, {"delivered": 2}, 3) == (late.accepted, late.dispositions, late.handed)
    assert late.conserved


async def test_what_its_caller_gave_up_stays_handed_over(monkeypatch, autojump_clock):
    monkeypatch.setattr(Desk, "leave", lambda _desk, _handed_id: None)
    async with open_test_gateway(outbox=SharedMemory(), serve=False) as producer:
        with trio.move_on_after(5):
            await producer.send("bot", "r", "nobody takes it")
        gc.collect()
        statistics = producer.statistics()
    assert (1, 1, True) == (statistics.accepted, statistics.handed, statistics.conserved)


async def test_what_the_owner_refuses_was_not_accepted(autojump_clock):
    outbox = SharedMemory()
    async with (
        open_test_gateway(FakeChannel(), outbox=outbox, instances=["bot"]),
        open_test_gateway(outbox=outbox, serve=False, instances=["bot", "other"]) as producer,
    ):
        with pytest.raises(UnknownInstance):
            await producer.send("other", "r", "text")
        statistics = producer.statistics()
    assert (0, 0, True) == (statistics.accepted, statistics.handed, statistics.conserved)
