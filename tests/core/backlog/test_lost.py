"""An account that another process owns from now on, and that is had again later."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from gateway_core import Disposition, Edit, GatewayClosed, OutboxError, Overloaded, Send
from gateway_core.authors import hookimpl
from gateway_core.outboxes import StepRecord
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway


class Owned(MemoryOutbox):
    """Accounts in it are owned by one process at a time; what others write is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: set[str] = set()
        self.uncovered: set[str] = set()
        self.last_id, self.writes, self.refuses = "", True, ""
        self.asked = 0
        self.late: list[str] = []

    async def recover(self, instance_id):
        self.asked += 1
        if instance_id in self.elsewhere:
            raise OutboxError(self.refuses or f"{instance_id} is owned by another")
        return attrs.evolve(await super().recover(instance_id), last_id=self.last_id)

    def covers(self, instance_id):
        return instance_id not in self.uncovered

    def finished(self, receipt):
        if not self.writes:
            return
        if receipt.instance_id in self.elsewhere:
            self.late.append("finished")
        super().finished(receipt)

    def _record(self, envelope_id, record):
        row = self._rows.get(envelope_id)
        if row is not None and row.entry.envelope.instance_id in self.elsewhere:
            self.late.append("step")
        super()._record(envelope_id, record)

    def take(self, instance_id):
        """Another process owns it now."""
        self.elsewhere.add(instance_id)
        self.lost(instance_id)

    def texts(self):
        return [row.entry.envelope.text for row in self._rows.values()]


@pytest.fixture
def outbox():
    return Owned()


def slow(seconds=1.0, **made):
    async def script(_):
        await trio.sleep(seconds)

    return FakeChannel(script=script, **made)


async def test_nothing_of_a_lost_account_begins_and_everything_of_it_stays(outbox, autojump_clock):
    channel = slow()
    async with open_test_gateway(channel, instances=["bot", "other"], outbox=outbox) as gateway:
        for number in range(3):
            await gateway.enqueue("bot", "r", f"{number}", key=f"{number}")
            await gateway.enqueue("other", "r", f"other {number}")
        await trio.sleep(0.5)
        outbox.take("bot")
        made = len(channel.made)
        await trio.sleep(10)
        mine = [one for one in channel.made if one.attempt.instance_id == "bot"]
        assert 1 == len(mine)  # which was under way
        assert made < len(channel.made)  # the other account goes on
        assert {"0", "1", "2"} == set(outbox.texts())
        assert not outbox.late
        statistics = gateway.statistics()
        assert (3, 3) == (statistics.unfinished, statistics.stored)
        assert 0 == statistics.instances[0].unfinished  # in memory


async def test_whoever_waits_hears_that_it_is_stored(outbox, autojump_clock):
    async with open_test_gateway(slow(), outbox=outbox) as gateway:
        first = await gateway.enqueue("bot", "r", "under way")
        second = await gateway.enqueue("bot", "r", "waits")
        await trio.sleep(0.5)
        outbox.take("bot")
        for ticket in (first, second):
            with pytest.raises(GatewayClosed) as told:
                await ticket.receipt()
            assert told.value.kept
            assert not ticket.ended


async def test_what_another_process_accepts_for_it_is_stored(outbox, autojump_clock):
    channel = slow()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        outbox.take("bot")
        await trio.sleep(1)
        await gateway.enqueue("bot", "r", "accepted meanwhile")
        await trio.sleep(10)
        assert ["accepted meanwhile"] == outbox.texts()
        assert not channel.made


async def test_had_again_it_goes_on_as_the_other_owner_left_it(outbox, autojump_clock):
    """In order, each once; what the other owner sent is not sent again."""
    channel = slow()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        tickets = [await gateway.enqueue("bot", "r", f"{n}", key=f"{n}") for n in range(20)]
        await trio.sleep(2.5)
        outbox.take("bot")
        await trio.sleep(3)
        sent = [row.entry for row in list(outbox._rows.values())[:5]]
        for entry in sent[1:]:  # the first one was under way, and nobody knows
            outbox._drop(entry.id)
        outbox.elsewhere.clear()
        await trio.sleep(120)
        assert not len(outbox)
        again = await gateway.enqueue("bot", "r", "3", key="3")
        assert (await again.receipt()).delivered
    del tickets
    gone = {entry.envelope.text for entry in sent[1:]}
    texts = channel.texts("r")
    assert not gone & set(texts[2:-1]) - {"3"}
    rest = [text for text in texts[2:-1] if text != sent[0].envelope.text]
    assert rest == sorted(rest, key=int)
    assert {str(n) for n in range(20)} - gone <= set(texts)


async def test_an_end_that_was_not_written_is_made_again(outbox, autojump_clock):
    """The other owner has not got so far: whoever owns it again finds it unfinished."""
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        outbox.writes = False
        assert (await gateway.send("bot", "r", "in vain")) is not None
        outbox.writes = True
        outbox.take("bot")
        assert ["in vain"] == outbox.texts()
        outbox.elsewhere.clear()
        await trio.sleep(10)
        assert not outbox.texts()
        assert 0 == gateway.statistics().unfinished


async def test_what_another_owner_began_is_in_doubt_though_somebody_held_it(outbox, autojump_clock):
    """Its ticket was held where it had no slot in memory."""
    async with open_test_gateway(slow(5), outbox=outbox, partition_bound=1) as gateway:
        await gateway.enqueue("bot", "r", "has the slot")
        ticket = await gateway.enqueue("bot", "r", "stored alone")
        outbox.take("bot")
        begun = StepRecord(serial=0, number=1, started=True)
        await outbox.attempt_started(ticket.id, begun)
        outbox.elsewhere.clear()
        receipt = await ticket.receipt()
    assert (Disposition.DELIVERED, True, 2) == (
        receipt.disposition, receipt.possible_duplicate, receipt.attempts
    )  # fmt: skip


async def test_what_is_accepted_later_comes_after_what_another_owner_has_accepted(
    outbox, autojump_clock
):
    """Whose clock was ahead."""
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        outbox.take("bot")
        outbox.last_id = "0fffffffffff" + 18 * "0"
        outbox.elsewhere.clear()
        await trio.sleep(10)
        ticket = await gateway.enqueue("bot", "r", "later")
        assert outbox.last_id < ticket.id


async def test_nothing_begins_of_an_account_that_is_not_owned_for_certain(outbox, autojump_clock):
    """Neither what is recorded nor what is not: an edit."""
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        ref = (await gateway.send("bot", "r", "before")).ref
        outbox.uncovered.add("bot")
        await gateway.enqueue("bot", "r", "waits")
        edit = Edit(instance_id="bot", external_room_id="r", target=ref, text="waits, too")
        await gateway.submit(edit)
        await trio.sleep(30)
        assert ["before"] == channel.texts("r")
        assert 1 == len(channel.made)
        outbox.uncovered.clear()
        await trio.sleep(5)
        assert ["waits, too", "waits"] == channel.texts("r")


async def test_a_change_waits_for_what_its_message_becomes(outbox, autojump_clock):
    channel = slow()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        ticket = await gateway.enqueue("bot", "r", "as sent")
        await gateway.submit(
            Edit(instance_id="bot", external_room_id="r", target=ticket.ref, text="as edited")
        )
        outbox.take("bot")
        await trio.sleep(5)
        outbox.elsewhere.clear()
        await trio.sleep(60)
        assert not len(outbox)
    assert ["as edited"] == channel.texts("r")[-1:]


async def test_held_by_the_application_it_is_held_when_it_is_had_again(outbox, autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        gateway.suspend("bot", "for the night")
        await gateway.enqueue("bot", "r", "text")
        outbox.take("bot")
        await trio.sleep(5)
        outbox.elsewhere.clear()
        await trio.sleep(5)
        assert not channel.made
        gateway.resume("bot")
        await trio.sleep(5)
        assert ["text"] == channel.texts("r")


async def test_of_an_account_that_is_not_there_nothing_is_lost(outbox, autojump_clock):
    async with open_test_gateway(outbox=outbox) as gateway:
        outbox.lost("nobody")
        assert (await gateway.send("bot", "r", "text")).ref


async def test_others_have_their_turns_while_very_many_are_let_go_of(outbox, autojump_clock):
    most = 100_000
    bounds = dict.fromkeys(("partition_bound", "instance_bound", "room_bound"), most)
    async with open_test_gateway(
        slow(3600), outbox=outbox, drain_timeout=1, outbox_capacity=most, **bounds
    ) as gateway:
        for number in range(2_000):
            await gateway.enqueue("bot", f"{number % 7}", f"{number}")
        before = gateway.statistics()
        outbox.take("bot")
        turns = 0
        while gateway.statistics().instances[0].unfinished:
            turns += 1
            await trio.lowlevel.checkpoint()
        assert turns > 100
        after = gateway.statistics()
        assert (before.accepted, before.unfinished) == (after.accepted, after.unfinished)


async def test_that_it_is_anothers_is_said_once(outbox, autojump_clock, capsys):
    async with open_test_gateway(outbox=outbox) as gateway:
        await gateway.enqueue("bot", "r", "text")
        outbox.take("bot")
        asked = outbox.asked
        await trio.sleep(0.9)
        assert asked == outbox.asked  # not before a second
        await trio.sleep(60)
    assert 30 < outbox.asked < asked + 62
    said = capsys.readouterr().out
    assert 1 == said.count("is owned by another")
    assert 1 == said.count("gateway.account_lost")


async def test_what_is_stored_is_counted_anew(outbox, autojump_clock):
    """The other owner has sent some of it, and has accepted more."""
    channel, bounds = slow(), {"outbox_capacity": 20, "partition_bound": 4, "drain_timeout": 1}
    async with open_test_gateway(channel, outbox=outbox, **bounds) as gateway:
        for number in range(18):
            await gateway.enqueue("bot", f"{number % 2}", f"{number}", priority="bulk")
        await trio.sleep(2.5)
        assert 14 == gateway.statistics().stored
        outbox.take("bot")
        await trio.sleep(5)
        newest = list(outbox._rows.values())[-1].entry
        for name in list(outbox._rows)[:9]:
            outbox._drop(name)
        for number in range(3):
            more = f"{int(newest.id, 16) + ((number + 1) << 48):030x}"  # its number
            await outbox.append(attrs.evolve(newest, id=more), lambda: None)
        outbox.elsewhere.clear()
        await trio.sleep(1.5)
        statistics = gateway.statistics()
        assert (8, True) == (statistics.stored, statistics.conserved)
        for number in range(12):
            await gateway.submit(text(f"fits {number}"), wait=False)
        with pytest.raises(Overloaded):
            await gateway.submit(text("one too many"), wait=False)
        await trio.sleep(60)
        statistics = gateway.statistics()
        assert (0, 0, True) == (statistics.stored, statistics.unfinished, statistics.conserved)
        assert {(0, 0)} == {(one.depth, one.spilled) for one in statistics.partitions}
        assert [0, 0, 0] == gateway._pager.capacity._taken
        assert 6 + 8 + 12 == len(channel.made)  # with two that were under way when it was lost


async def test_whoever_waits_for_what_another_owner_ended_hears_of_it(outbox, autojump_clock):
    """It had no slot in memory."""
    channel = slow(5)
    async with open_test_gateway(channel, outbox=outbox, partition_bound=1) as gateway:
        sent = await gateway.send("bot", "r", "before")
        await gateway.enqueue("bot", "r", "has the slot")
        ticket = await gateway.enqueue("bot", "r", "stored alone")
        outbox.take("bot")
        await trio.sleep(1)
        MemoryOutbox.finished(outbox, attrs.evolve(sent, envelope_id=ticket.id))
        outbox.elsewhere.clear()
        with trio.fail_after(60):
            receipt = await ticket.receipt()
    assert (ticket.id, True) == (receipt.envelope_id, receipt.delivered)
    assert "stored alone" not in channel.texts("r")


async def test_nothing_is_accepted_while_it_is_counted_anew(outbox, autojump_clock):
    """It might be counted twice."""
    counting = trio.Event()

    async def overview():
        counting.set()
        await trio.sleep(1)
        return await MemoryOutbox.overview(outbox)

    async with open_test_gateway(slow(), outbox=outbox) as gateway:
        outbox.overview = overview
        await gateway.enqueue("bot", "r", "before")
        outbox.take("bot")
        outbox.elsewhere.clear()
        await counting.wait()
        asked_at = trio.current_time()
        await gateway.enqueue("bot", "r", "meanwhile")
        assert trio.current_time() >= asked_at + 1
        assert (await gateway.send("bot", "r", "after")).delivered
        assert 0 == gateway.statistics().stored


def text(words):
    return Send(instance_id="bot", external_room_id="r", text=words, priority="bulk")


class Voting:
    """Sheds what says so, and makes the rest bulk; asked once for each."""

    def __init__(self):
        self.asked = []

    @hookimpl
    def admit(self, envelope):
        self.asked.append(envelope.text)
        return "shed" if envelope.text == "shed me" else "bulk"


async def test_policies_vote_where_the_account_is_owned(outbox, autojump_clock):
    """Not where it is accepted for another process; in the order in which its owner takes it on."""
    voting, channel = Voting(), FakeChannel()
    async with open_test_gateway(channel, plugins=[voting], outbox=outbox) as gateway:
        await gateway.enqueue("bot", "r", "accepted as its owner", key="0")
        await trio.sleep(1)
        outbox.take("bot")
        await trio.sleep(1)
        for text in ("shed me", "sent as bulk"):
            await gateway.enqueue("bot", "r", text, key=text)
        await trio.sleep(5)
        assert ["accepted as its owner"] == voting.asked
        outbox.elsewhere.clear()
        await trio.sleep(5)
        assert ["accepted as its owner", "shed me", "sent as bulk"] == voting.asked
        assert not len(outbox)
        statistics = gateway.statistics()
        assert (0, True) == (statistics.unfinished, statistics.conserved)
        assert {(0, 0)} == {(one.depth, one.spilled) for one in statistics.partitions}
        counts = gateway._pager.capacity._taken
        assert [0, 0, 0] == counts
        ended = {found.receipt.disposition for found in outbox._ended.values()}
        assert {Disposition.SHED, Disposition.DELIVERED} == ended
    assert ["accepted as its owner", "sent as bulk"] == channel.texts("r")


async def test_nobody_waits_for_a_slot_of_a_lost_account(outbox, autojump_clock):
    """Its envelopes end elsewhere, so that no slot becomes free here."""
    async with open_test_gateway(slow(100), outbox=outbox, outbox_capacity=1) as gateway:
        await gateway.enqueue("bot", "r", "has the slot")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateway.enqueue, "bot", "r", "waits")
            await trio.testing.wait_all_tasks_blocked()
            assert ["has the slot"] == outbox.texts()
            outbox.take("bot")
            with trio.fail_after(1), pytest.raises(OutboxError, match="another process"):
                await gateway.enqueue("bot", "r", "comes later")
        assert ["has the slot", "waits"] == outbox.texts()


async def test_one_reason_for_all_accounts_is_logged_once(outbox, autojump_clock, capsys):
    accounts = ["one", "two", "three"]
    async with open_test_gateway(FakeChannel(), instances=accounts, outbox=outbox):
        outbox.refuses = "the outbox is another's"
        for account in accounts:
            outbox.take(account)
        await trio.sleep(5)
    assert 1 == capsys.readouterr().out.count("outbox_failed")
