"""The contract of an outbox as tests: authors of one subclass it and give their own.

    class TestMine(OutboxContract):
        @asynccontextmanager
        async def process_run(self):
            async with MyOutbox(...) as outbox:
                yield outbox

Each `process_run` is one process: what one stored, the next must find. Give `killed_run` as well,
which ends as a kill would: then all is tried with the end of the process between any two calls.
"""

# ruff: noqa: S101, SIM300 - these are tests, shipped to authors

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from random import Random
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from gateway_core.contract.envelopes import (
    Delete,
    Disposition,
    MessageRef,
    Part,
    PartReceipt,
    PartRef,
    Receipt,
    Send,
)
from gateway_core.contract.ids import Ids, position_of
from gateway_core.deliveries.idempotency import scope_of
from gateway_core.outboxes.interface import (
    ALL,
    STREAMS,
    Entry,
    Recovery,
    Request,
    StepRecord,
    StepShape,
    StoredEntry,
    Stream,
)
from gateway_core.ratelimits.spent import Standing

START = 1_700_000_000.0

_CALLS = (
    "append one", "append two", "one starts", "one is acknowledged", "the room moves", "one ends",
    "two starts", "two ends", "the account closes", "append three",
)  # fmt: skip
"""What a process run calls before it is killed; the appends and the starts are awaited."""


class Entries:
    """Makes entries as the gateway would."""

    def __init__(self) -> None:
        self._ids = Ids(Random("contract"))  # noqa: S311 - ids of tests
        self.count = 0

    def __call__(
        self, text: str, *, instance: str = "bot", room: str = "room", **fields: Any
    ) -> Entry:
        """An entry of one part."""
        self.count += 1
        at = START + self.count
        due = fields.pop("due", None)
        envelope = Send(
            instance_id=instance, external_room_id=room, text=text, not_before=due, **fields
        )
        return Entry(
            id=self._ids.next(at),
            envelope=envelope,
            plan=(Part(payload={"text": text, "n": [1, None, 0.5]}, span=(0, len(text))),),
            accepted_at=at,
            deadline=at + 3600.0,
            fingerprint="print" if envelope.key is not None else "",
            due=due,
            trace=f"00-{self.count:032x}-{self.count:016x}-01",
        )


def receipt_of(
    entry: Entry, disposition: Disposition = Disposition.DELIVERED, **fields: Any
) -> Receipt:
    """How the entry ended."""
    return Receipt(
        envelope_id=entry.id,
        instance_id=entry.envelope.instance_id,
        external_room_id=entry.envelope.external_room_id,
        disposition=disposition,
        accepted_at=entry.accepted_at,
        ended_at=fields.pop("ended_at", entry.accepted_at + 1.0),
        **fields,
    )


def texts(stored: Sequence[StoredEntry]) -> list[str]:
    """What the entries say."""
    return [getattr(one.entry.envelope, "text", "") for one in stored]


class OutboxContract:
    """What every durable outbox does."""

    def process_run(self) -> Any:
        """An async context manager: the outbox as one process has it."""
        raise NotImplementedError

    def killed_run(self) -> Any:
        """The same, but as it is left nothing more is written: what was not awaited may be lost."""
        pytest.skip("not tried: this outbox has no `killed_run`")

    @pytest.fixture
    def entry(self) -> Entries:
        """Makes entries."""
        return Entries()

    async def test_an_entry_is_found_again_as_it_was(self, entry: Entries) -> None:
        """Envelope, plan, times and class come back without loss."""
        one = entry("hëllo\nworld 🙂", key="k", extra={"a": [1, {"b": None}]}, ttl=5.0)
        one = attrs.evolve(one, priority="urgent")
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot")
        assert one == stored.entry
        assert (stored.records, stored.shapes) == ((), None)

    async def test_entries_come_back_in_order_whoever_waited(self, entry: Entries) -> None:
        """Order is that of the appends; `stored` is called in it, before the append returns."""
        entries = [entry(str(n)) for n in range(20)]
        order: list[str] = []
        async with self.process_run() as outbox, trio.open_nursery() as nursery:
            for one in entries:
                nursery.start_soon(outbox.append, one, lambda one=one: order.append(one.id))
                await trio.testing.wait_all_tasks_blocked()
        assert [one.id for one in entries] == sorted(order)
        assert order == [one.id for one in entries]
        async with self.process_run() as outbox:
            assert [str(n) for n in range(20)] == texts(await outbox.page("bot"))

    async def test_pages_are_of_one_instance_or_room_and_bounded(self, entry: Entries) -> None:
        """`after` is exclusive, `limit` a bound, and rooms are read apart."""
        async with self.process_run() as outbox:
            for n in range(6):
                await outbox.append(entry(str(n), room=f"room{n % 2}"), lambda: None)
            await outbox.append(entry("other", instance="other"), lambda: None)
            page = await outbox.page("bot", limit=4)
            assert texts(page) == ["0", "1", "2", "3"]
            assert texts(await outbox.page("bot", after=page[-1].position)) == ["4", "5"]
            assert texts(await outbox.page("bot", room="room1")) == ["1", "3", "5"]

    async def test_streams_are_read_apart_and_together_in_order(self, entry: Entries) -> None:
        """By class, with those that stand alone apart; of an instance, and of a room."""
        entries = [
            entry(f"{priority} {order}", priority=priority, order=order, room=f"room{n % 2}")
            for n, (priority, order) in enumerate(product(("bulk", "urgent"), ("room", "none")))
        ]
        entries[2] = attrs.evolve(entries[2], priority="normal")  # as a policy left it
        async with self.process_run() as outbox:
            for one in entries:
                await outbox.append(one, lambda: None)
        async with self.process_run() as outbox:
            page = outbox.page
            found = [texts(await page("bot", streams=[stream])) for stream in STREAMS]
            assert [[], ["urgent room"], ["bulk room"], ["urgent none"], [], ["bulk none"]] == found
            together = [Stream("bulk", alone=True), Stream("normal", alone=False)]
            after = (await page("bot", limit=1))[0].position
            assert texts(await page("bot", streams=together)) == ["bulk none", "urgent room"]
            assert texts(await page("bot", streams=together, limit=1)) == ["bulk none"]
            assert texts(await page("bot", streams=STREAMS[:3], after=after)) == ["urgent room"]
            assert texts(await page("bot", room="room0", streams=STREAMS[3:])) == []
            assert texts(await page("bot", room="room0", streams=STREAMS[:3])) == [
                "bulk room",
                "urgent room",
            ]

    async def test_changes_stand_in_order_whatever_they_ask_for(self, entry: Entries) -> None:
        """They come in after their message, and after earlier changes of it."""
        target = MessageRef(
            instance_id="bot",
            external_room_id="room",
            envelope_id="1",
            parts=(PartRef(message_id="1"),),
        )
        delete = Delete(
            instance_id="bot",
            external_room_id="room",
            target=target,
            order="none",
            priority="bulk",
        )
        one = attrs.evolve(entry("x"), envelope=delete, plan=())
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            found = await outbox.page("bot", streams=[Stream("bulk", alone=False)])
        assert [one] == [stored.entry for stored in found]

    async def test_what_ended_is_not_unfinished_but_found(self, entry: Entries) -> None:
        """A receipt answers by id, whatever it says."""
        one, other = entry("one"), entry("other")
        receipt = receipt_of(one, attempts=3, degradations=("plain",))
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            await outbox.append(other, lambda: None)
            outbox.finished(receipt)
        async with self.process_run() as outbox:
            assert texts(await outbox.page("bot")) == ["other"]
            found = await outbox.find(one.id)
            assert found is not None
            assert receipt == found.receipt
            assert await outbox.find("0" * 30) is None

    async def test_ends_are_numbered_in_their_order_over_process_runs(self, entry: Entries) -> None:
        """What has a number is written, and no other end ever has that number."""
        entries = [entry(str(n)) for n in range(6)]
        async with self.process_run() as outbox:
            assert ((await outbox.endings(after=0)).newest, 0) == (0, 0)
            for one in entries:
                await outbox.append(one, lambda: None)
            for one in (entries[2], entries[0]):
                outbox.finished(receipt_of(one))
            first = await outbox.endings(after=0)
        async with self.process_run() as outbox:
            outbox.finished(receipt_of(entries[4], Disposition.EXPIRED))
            outbox.finished(receipt_of(entries[1]))
            every = await outbox.endings(after=0)
            rest = await outbox.endings(after=first.newest)
            some = await outbox.endings(after=first.ended[0][0], limit=2)
            assert (await outbox.endings(after=every.newest)).ended == type(every.ended)()
        ended = [receipt_of(entries[n]) for n in (2, 0)]
        later = [receipt_of(entries[4], Disposition.EXPIRED), receipt_of(entries[1])]
        assert [receipt for _, receipt in first.ended] == ended
        assert [receipt for _, receipt in every.ended] == ended + later
        assert [receipt for _, receipt in rest.ended] == later
        assert list(some.ended) == list(every.ended[1:3])
        numbers = [number for number, _ in every.ended]
        assert sorted(set(numbers)) == numbers
        assert (numbers[-1], 0) == (every.newest, every.forgotten)
        assert first.source == every.source

    async def test_of_a_message_the_last_edit_is_remembered(self, entry: Entries) -> None:
        """Whoever still has an older ref of it."""
        sent, *edits = entry("sent"), entry("once"), entry("twice")
        refs = [
            MessageRef(
                instance_id="bot",
                external_room_id="room",
                envelope_id=sent.id,
                parts=(PartRef(message_id="1"),) * (revision + 1),
                revision=revision,
                extra={"buttons": revision},
                possible_duplicate=True,
            )
            for revision in range(3)
        ]
        async with self.process_run() as outbox:
            for one, ref in zip((sent, *edits), refs, strict=True):
                await outbox.append(one, lambda: None)
                outbox.finished(receipt_of(one, ref=ref))
        async with self.process_run() as outbox:
            found = await outbox.find(sent.id)
            assert found is not None
            assert found.receipt is not None
            assert (found.newest, found.receipt.ref) == (refs[2], refs[0])
            untouched = await outbox.find(edits[0].id)
            assert untouched is not None
            assert untouched.newest is None

    async def test_keys_answer_until_they_are_free(self, entry: Entries) -> None:
        """Unfinished, ended after a delivery, and freed by an end without one."""
        one, two = entry("one", key="a"), entry("two", key="b")
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            await outbox.append(two, lambda: None)
            found = await outbox.find(scope_of(one.envelope))
            assert found is not None
            assert (one.id, "print") == (found.envelope_id, found.fingerprint)
            assert found.stored is not None
            outbox.finished(receipt_of(one))
            outbox.finished(receipt_of(two, Disposition.EXPIRED))
            found = await outbox.find(scope_of(one.envelope))
            assert found is not None
            assert found.receipt == receipt_of(one)
            assert await outbox.find(scope_of(two.envelope)) is None
        async with self.process_run() as outbox:
            found = await outbox.find(scope_of(one.envelope))
            assert found is not None
            assert found.receipt == receipt_of(one)
            assert await outbox.find(scope_of(two.envelope)) is None

    async def test_steps_come_back_as_last_told(self, entry: Entries) -> None:
        """Of every step only the newest state counts; shapes replace the plan."""
        one = entry("one")
        begun = StepRecord(serial=0, number=1, started=True, first_at=START)
        done = StepRecord(serial=0, number=1, outcome="delivered", message_id="7")
        second = StepRecord(serial=1, number=2, started=True, maybe_sent=1, attempts=1)
        shapes = (StepShape(kind="send", serial=0), StepShape(kind="edit", serial=1, reply="r"))
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            await outbox.attempt_started(one.id, begun)
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot")
            assert (begun,) == stored.records
            outbox.acknowledged(one.id, done)
            outbox.replanned(one.id, shapes)
            await outbox.attempt_started(one.id, second)
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot")
            assert (done, second) == stored.records
            assert shapes == stored.shapes
            outbox.attempt_ended(one.id, StepRecord(serial=1, number=1))
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot")
            assert not any(record.started for record in stored.records)

    async def test_steps_that_were_planned_anew_come_back_though_none_began(
        self, entry: Entries
    ) -> None:
        """They do not follow from the plan, whether or not there is a record of one."""
        one = entry("one")
        shapes = (StepShape(kind="send", serial=3), StepShape(kind="send", serial=4))
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            outbox.replanned(one.id, shapes)
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot")
            assert ((), shapes) == (stored.records, stored.shapes)

    async def test_what_is_withdrawn_was_never_there(self, entry: Entries) -> None:
        """Neither the entry nor its key remains."""
        one = entry("one", key="a")
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            outbox.withdraw(one.id)
        async with self.process_run() as outbox:
            assert list(await outbox.page("bot")) == []
            assert await outbox.find(scope_of(one.envelope)) is None

    async def test_a_cancelled_append_leaves_nothing(self, entry: Entries) -> None:
        """The caller gave up: `stored` did not run, and the next run finds nothing."""
        ran: list[str] = []
        async with self.process_run() as outbox:
            with trio.CancelScope() as scope:
                scope.cancel()
                await outbox.append(entry("one"), lambda: ran.append("stored"))
        async with self.process_run() as outbox:
            assert (list(await outbox.page("bot")), ran) == ([], [])

    async def test_many_callers_at_once_are_each_told_once(self, entry: Entries) -> None:
        """Sixty-four of them, three times each: all is there in one order, which never changes."""
        told: list[str] = []
        async with self.process_run() as outbox:

            async def append_some() -> None:
                for _ in range(3):
                    one = entry("x", room=f"room{entry.count % 5}")
                    await outbox.append(one, partial(told.append, one.id))
                    assert one.id in told

            async with trio.open_nursery() as nursery:
                for _ in range(64):
                    nursery.start_soon(append_some)
            before = [stored.position for stored in await outbox.page("bot")]
        assert len(told) == len(set(told)) == entry.count
        async with self.process_run() as outbox:
            page = await outbox.page("bot")
        assert before == [stored.position for stored in page] == sorted(set(before))
        assert {stored.entry.id for stored in page} == set(told)

    @pytest.mark.parametrize("turns", range(12))
    async def test_an_append_cancelled_at_any_of_its_turns_is_there_or_is_not(
        self, entry: Entries, turns: int
    ) -> None:
        """Its caller is told which: it is there if, and only if, the append returned."""
        one, told, returned = entry("one", key="k"), list[str](), False
        async with self.process_run() as outbox, trio.open_nursery() as nursery:

            async def append() -> None:
                nonlocal returned
                await outbox.append(one, lambda: told.append(one.id))
                returned = True

            nursery.start_soon(append)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert bool(told) == returned
        async with self.process_run() as outbox:
            assert returned == (await outbox.find(scope_of(one.envelope)) is not None)
            assert returned == bool(await outbox.page("bot"))

    @pytest.mark.parametrize("last", _CALLS)
    async def test_killed_between_any_two_calls_nothing_that_was_awaited_is_lost(
        self, entry: Entries, last: str
    ) -> None:
        """And of what was told, nothing is there without all that was told before it."""
        one, two, three = entry("one"), entry("two"), entry("three")
        begun = StepRecord(serial=0, number=1, started=True, first_at=START)
        done = StepRecord(serial=0, number=1, outcome="delivered", message_id="7")
        made = _CALLS[: _CALLS.index(last) + 1]
        async with self.killed_run() as outbox:
            calls: dict[str, Callable[[], Any]] = {
                "append one": partial(outbox.append, one, lambda: None),
                "append two": partial(outbox.append, two, lambda: None),
                "one starts": partial(outbox.attempt_started, one.id, begun),
                "one is acknowledged": partial(outbox.acknowledged, one.id, done),
                "the room moves": partial(outbox.moved, "bot", "room", "new"),
                "one ends": partial(outbox.finished, receipt_of(one)),
                "two starts": partial(outbox.attempt_started, two.id, begun),
                "two ends": partial(outbox.finished, receipt_of(two, Disposition.EXPIRED)),
                "the account closes": partial(outbox.closed, "bot", "", START + 30, 30.0),
                "append three": partial(outbox.append, three, lambda: None),
            }
            for name in made:
                waits = calls[name]()
                if waits is not None:
                    await waits
        async with self.process_run() as outbox:
            found = [await outbox.find(each.id) for each in (one, two, three)]
            recovery = await outbox.recover("bot")
        appended = [f"append {name}" in made for name in ("one", "two", "three")]
        assert appended == [each is not None for each in found]
        ended = [each is not None and each.receipt is not None for each in found]
        told = ["room" in recovery.moves, ended[0], ended[1], bool(recovery.closures)]
        assert told == sorted(told, reverse=True), "in their order"
        assert "two starts" not in made or all(told[:2])
        assert "append three" not in made or all(told)
        first = found[0].stored if found[0] is not None else None
        if "one starts" in made and first is not None:
            assert first.records in ((begun,), (done,))
            assert first.records == (done,) or not recovery.moves

    async def test_an_append_gives_others_their_turn(self, entry: Entries) -> None:
        """It is a checkpoint, since `Gateway.submit` has no other."""
        async with self.process_run() as outbox:
            with trio.testing.assert_checkpoints():
                await outbox.append(entry("one"), lambda: None)

    async def test_scheduled_ones_have_no_place_until_they_enter(self, entry: Entries) -> None:
        """Read by their times; entered, they stand behind what was there."""
        late = entry("late", due=START + 100)
        soon = entry("soon", due=START + 50)
        now = entry("now")
        async with self.process_run() as outbox:
            for one in (late, soon, now):
                await outbox.append(one, lambda: None)
            assert texts(await outbox.page("bot")) == ["now"]
            assert texts(await outbox.scheduled(until=START + 100)) == ["soon", "late"]
            assert texts(await outbox.scheduled(until=START + 99)) == ["soon"]
            outbox.entered(soon.id, position_of(entry("later").id))
        async with self.process_run() as outbox:
            assert texts(await outbox.page("bot")) == ["now", "soon"]
            assert texts(await outbox.scheduled(until=START + 100)) == ["late"]
            outbox.entered(now.id, position_of(entry("again").id))
        async with self.process_run() as outbox:
            assert texts(await outbox.page("bot")) == ["soon", "now"]
            assert texts(await outbox.page("bot", room=now.envelope.external_room_id)) == [
                "soon",
                "now",
            ]

    async def test_overdue_ones_are_read_by_their_deadlines(self, entry: Entries) -> None:
        """Up to a time, from a place on, and when to ask again."""
        entries = [entry(str(n)) for n in range(3)]
        first, second, third = (one.deadline for one in entries)
        async with self.process_run() as outbox:
            for one in reversed(entries):
                await outbox.append(one, lambda: None)
            found = await outbox.overdue(until=second)
            assert ["0", "1"] == texts(found.stored)
            assert third == found.next
            after = (first, position_of(entries[0].id))
            found = await outbox.overdue(until=third, after=after)
            assert (["1", "2"], None) == (texts(found.stored), found.next)

    async def test_a_new_run_knows_what_there_is(self, entry: Entries) -> None:
        """Counts, the newest id, where rooms moved, and what platforms closed."""
        entries = [
            entry("1"),
            entry("2", instance="other", priority="urgent"),
            entry("3", due=START + 9, order="none"),
        ]
        async with self.process_run() as outbox:
            for one in entries:
                await outbox.append(one, lambda: None)
            outbox.moved("bot", "old", "new")
            outbox.closed("bot", "", START + 30, 30.0)
            outbox.closed("bot", "send", START + 8, 8.0)
            outbox.closed("bot", "send", START + 9, 9.0)
            outbox.finished(receipt_of(entries[0]))
        async with self.process_run() as outbox:
            overview = await outbox.overview()
            recovery, other = await outbox.recover("bot"), await outbox.recover("other")
        assert dict(overview.unfinished) == {"bot": 1, "other": 1}
        assert dict(overview.classes) == {"urgent": 1, "normal": 1}
        assert (1, entries[2].id) == (overview.scheduled, overview.last_id)
        assert dict(recovery.moves) == {"old": "new"}
        assert dict(recovery.closures) == {"": (START + 30, 30.0), "send": (START + 9, 9.0)}
        assert other == Recovery()

    async def test_a_new_run_knows_what_was_spent(self, entry: Entries) -> None:
        """As an account was last released; nothing of it after an erasure, since it names rooms."""
        spent = Standing(
            names=("a", "b"), back=((1.5, 2), (60.0, 1)), closed=3.0, tick=0.5, count=7
        )
        async with self.process_run() as outbox:
            outbox.release("bot", START, [Standing(names=("old",))])
            outbox.release("bot", START + 9, [spent, Standing(names=("c",))])
            again = await outbox.recover("bot")  # a new owner in the same process
            outbox.release(ALL, START + 9, [])
        async with self.process_run() as outbox:
            recovery, shared = await outbox.recover("bot"), await outbox.recover(ALL)
            one = entry("1")
            await outbox.append(one, lambda: None)
            request = Request(kind="erase", number=1, instance_id="bot", room="room")
            await outbox.erase(request, 0)
        assert again.spent is not None
        assert recovery.spent is not None
        assert shared.spent is not None
        both = [spent, Standing(names=("c",))]
        for at, standings in (again.spent, recovery.spent):
            assert (START + 9, both) == (at, list(standings))
        assert (START + 9, []) == (shared.spent[0], list(shared.spent[1]))
        async with self.process_run() as outbox:
            assert (await outbox.recover("bot")).spent is None

    async def test_a_new_run_knows_of_attempts(self, entry: Entries) -> None:
        """Of what ended since a time, and of what had begun; of what was never tried nothing."""
        old, sent, edited, deleted, expired, begun, waiting = (entry(str(n)) for n in range(7))
        other = entry("other", room="other")
        ref = MessageRef(
            instance_id="bot", external_room_id="room", envelope_id=sent.id, thread_id="t"
        )
        gone = PartReceipt(index=0, outcome="deleted", attempts=1)
        async with self.process_run() as outbox:
            for one in (old, sent, edited, deleted, expired, begun, waiting, other):
                await outbox.append(one, lambda: None)
            for one, after, fields in (
                (old, 1, {}),
                (sent, 5, {"ref": ref}),
                (edited, 6, {"ref": attrs.evolve(ref, revision=1, thread_id=None)}),
                (deleted, 7, {"parts": (gone,)}),
                (other, 8, {}),
            ):
                count = 2 if one is other else 1
                ended = receipt_of(one, ended_at=START + after, attempts=count, **fields)
                outbox.finished(ended)
            outbox.finished(receipt_of(expired, Disposition.EXPIRED, ended_at=START + 9))
            await outbox.attempt_started(begun.id, StepRecord(serial=0, number=1, started=True))
            outbox.acknowledged(begun.id, StepRecord(serial=0, number=1, outcome="delivered"))
            await outbox.attempt_started(begun.id, StepRecord(serial=1, number=1, started=True))
        async with self.process_run() as outbox:
            found = await outbox.attempts(since=START + 1)
            few = await outbox.attempts(since=START + 1, limit=2)
            assert found == await outbox.attempts(since=START + 1, instance_id="bot")
            assert [] == list(await outbox.attempts(since=START + 1, instance_id="other"))
        assert ["send", "edit", "delete", "send", "send"] == [one.operation for one in found]
        assert [START + 5, START + 6, START + 7, START + 8] == [one.at for one in found[:4]]
        assert found[4].at >= START
        assert [1, 1, 1, 2, 2] == [one.count for one in found]
        assert ["room", "room", "room", "other", "room"] == [one.room for one in found]
        assert ["t", None] == [one.thread for one in found[:2]]
        assert {("bot", "normal")} == {(one.instance_id, one.priority) for one in found}
        assert found[3:] == few

    async def test_of_an_erased_room_nothing_is_found(self, entry: Entries) -> None:
        """Unfinished, scheduled, ended, keys and moves; other rooms are as they were."""
        ended, waiting, other = entry("1", key="a"), entry("2", key="b"), entry("3", room="other")
        late = entry("4", due=START + 50)
        async with self.process_run() as outbox:
            for one in (ended, waiting, other, late):
                await outbox.append(one, lambda: None)
            outbox.finished(receipt_of(ended))
            outbox.moved("bot", "room", "new")
            request = Request(kind="erase", number=1, instance_id="bot", room="room")
            await outbox.erase(request, 0)
            for one in (ended, waiting, late):
                assert await outbox.find(one.id) is None
            assert await outbox.find(scope_of(ended.envelope)) is None
            assert await outbox.find(scope_of(waiting.envelope)) is None
        async with self.process_run() as outbox:
            assert dict((await outbox.overview()).unfinished) == {"bot": 1}
            assert dict((await outbox.recover("bot")).moves) == {}
            assert texts(await outbox.page("bot")) == ["3"]
            assert texts(await outbox.scheduled(until=START + 50)) == []


__all__ = ["Entries", "OutboxContract", "receipt_of", "texts"]
