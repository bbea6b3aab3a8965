"""Tests of stored bytes: stored before they are used, and removed with the last use."""

# ruff: noqa: S101, SIM300 - these are tests, shipped to authors

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from itertools import product
from typing import Any

import attrs
import pytest
import trio

from gateway_core.contract.envelopes import Disposition
from gateway_core.contract.errors import OutboxError
from gateway_core.outboxes.records import Entry
from gateway_core.outboxes.stored_bytes import BytesLost, digest_of_bytes
from gateway_core.testing.outbox_contract import Entries, receipt_of
from gateway_core.testing.records_contract.groups import nothing
from gateway_core.testing.records_contract.making import (
    ERASE,
    RecordsRuns,
    Stored,
    chunks,
    content,
    group_of,
    member_of,
    rooms,
)

SMALL, LARGE = Stored(Stored.SMALL), Stored(Stored.LARGE)
_SIZES = (0, 1, 65_535, 65_536, 65_537, 131_072, 200_001)
_CALLS = ("store", "append", "0 ends", "append another")


async def is_there(outbox: Any, stored: Stored) -> bool:
    """Whether the bytes are stored; fails if they are not as they were."""
    try:
        read = await outbox.read_bytes(stored.digest, 0, len(stored.whole) + 1)
    except BytesLost:
        return False
    assert stored.whole == read
    return True


def using(entry: Entries, *stored: Stored, **fields: Any) -> Entry:
    """An entry that uses the bytes."""
    files = tuple(one.digest for one in stored)
    return attrs.evolve(entry("with bytes", **fields), files=files)


class BytesContract(RecordsRuns):
    """Tests of what every durable outbox does with bytes."""

    @pytest.fixture(params=[SMALL, LARGE], ids=["small", "large"])
    def stored(self, request: pytest.FixtureRequest) -> Stored:
        """Some bytes."""
        found: Stored = request.param
        return found

    @pytest.mark.parametrize("size", _SIZES)
    async def test_bytes_are_read_back_from_anywhere(self, entry: Entries, size: int) -> None:
        """Bytes of every size, also in the next process run; fewer at their end, none after it."""
        stored = Stored(content(size))
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.append(using(entry, stored), nothing)
        async with self.process_run() as outbox:
            offsets = (0, 1, 65_535, 65_536, 131_071, max(0, size - 1), size, size + 7)
            for offset, limit in product(offsets, (0, 1, 70_000, size + 9)):
                read = await outbox.read_bytes(stored.digest, offset, limit)
                assert stored.whole[offset : offset + limit] == read

    @pytest.mark.parametrize("size", [37, 999, 100_000, 200_001])
    async def test_bytes_come_in_pieces_of_any_size(self, stored: Stored, size: int) -> None:
        """From a plain iterator, or from an asynchronous one."""
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.slowly(size))
            assert await is_there(outbox, stored)
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces(size))
            assert await is_there(outbox, stored)

    async def test_bytes_that_are_there_are_not_read_again(self, stored: Stored) -> None:
        """If the outbox has the bytes already, it does not read them again."""

        def asked() -> bytes:
            raise AssertionError("they were asked for")

        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.store_bytes(stored.digest, iter(asked, b""))
            assert await is_there(outbox, stored)

    async def test_bytes_of_another_digest_are_refused(self, stored: Stored) -> None:
        """None of the bytes is stored, not even under their own digest."""
        other = digest_of_bytes(b"other")
        async with self.process_run() as outbox:
            with pytest.raises(ValueError, match=other):
                await outbox.store_bytes(other, stored.pieces())
            for digest in (other, stored.digest):
                with pytest.raises(BytesLost):
                    await outbox.read_bytes(digest, 0, 1)

    async def test_a_cancelled_append_uses_no_bytes(self, entry: Entries, stored: Stored) -> None:
        """The outbox itself ends the use, since no caller will."""
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            with trio.CancelScope() as cancelled:
                cancelled.cancel()
                await outbox.append(using(entry, stored), nothing)
            await outbox.append(entry("another"), nothing)
            assert not await is_there(outbox, stored)

    @pytest.mark.parametrize("digest", ["", "../../etc/passwd", "0" * 63, "A" * 64, "0" * 65])
    async def test_what_is_no_digest_is_refused(self, digest: str) -> None:
        """An engine may use the digest as a file's name."""
        async with self.process_run() as outbox:
            with pytest.raises(ValueError, match="digest"):
                await outbox.store_bytes(digest, [b"x"])
            with pytest.raises((ValueError, BytesLost)):
                await outbox.read_bytes(digest, 0, 1)

    async def test_bytes_that_cannot_be_given_leave_nothing(self, stored: Stored) -> None:
        """An exception of their iterator is raised, and the bytes can be stored later."""

        async def some() -> AsyncIterator[bytes]:
            async for piece in stored.slowly(500):
                yield piece
            raise LookupError("no more")

        async with self.process_run() as outbox:
            with pytest.raises(LookupError, match="no more"):
                await outbox.store_bytes(stored.digest, some())
            assert not await is_there(outbox, stored)
            await outbox.store_bytes(stored.digest, stored.pieces())
            assert await is_there(outbox, stored)

    @pytest.mark.parametrize("turns", range(16))
    async def test_a_cancelled_caller_has_stored_them_or_has_not(self, turns: int) -> None:
        """At any checkpoint: the bytes are stored if, and only if, the call returned."""
        stored, returned = (SMALL, LARGE)[turns % 2], False
        async with self.process_run() as outbox:
            async with trio.open_nursery() as nursery:

                async def store() -> None:
                    nonlocal returned
                    async with aclosing(stored.slowly()) as content:
                        await outbox.store_bytes(stored.digest, content)
                        returned = True

                nursery.start_soon(store)
                for _ in range(turns):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            assert returned == await is_there(outbox, stored)

    async def test_who_needs_bytes_that_are_not_there_is_not_stored(
        self, entry: Entries, stored: Stored
    ) -> None:
        """Neither an entry nor a group, even if only one of several files' bytes is missing."""
        missing = Stored(b"missing")
        one, group = using(entry, missing, key="k"), group_of(entry, 2, files=(missing.digest,))
        both, beside = using(entry, stored, missing), entry("beside")
        told: list[str] = []
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            for refused in (one, both):
                with pytest.raises(OutboxError):
                    await outbox.append(refused, lambda: told.append("told"))
            with pytest.raises(OutboxError):
                await outbox.append_group(group, chunks(rooms(2)), lambda: told.append("told"))
            await outbox.append(beside, nothing)
            assert told == []
        async with self.process_run() as outbox:
            assert [beside] == [stored.entry for stored in await outbox.page("bot")]
            assert list(await outbox.groups("bot")) == []
            assert not await is_there(outbox, stored)

    @pytest.mark.parametrize("disposition", Disposition)
    async def test_a_use_ends_with_the_payload(
        self, entry: Entries, disposition: Disposition
    ) -> None:
        """At once if the envelope is never tried again; otherwise when it is forgotten."""
        one, two = using(entry, SMALL, LARGE), using(entry, LARGE, SMALL)
        settled = disposition in ("delivered", "superseded", "cancelled")
        async with self.process_run() as outbox:
            for stored in (SMALL, LARGE):
                await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.append(one, nothing)
            await outbox.append(two, nothing)
            outbox.finished(receipt_of(one, disposition))
            await outbox.endings(after=0)
            assert [True] * 2 == [await is_there(outbox, each) for each in (SMALL, LARGE)]
            outbox.finished(receipt_of(two, disposition))
            await outbox.endings(after=0)
            assert [not settled] * 2 == [await is_there(outbox, each) for each in (SMALL, LARGE)]
        async with self.process_run() as outbox:
            assert [not settled] * 2 == [await is_there(outbox, each) for each in (SMALL, LARGE)]
            await outbox.erase(ERASE, 0)
            assert [False] * 2 == [await is_there(outbox, each) for each in (SMALL, LARGE)]

    async def test_an_erasure_takes_the_bytes_of_its_room(
        self, entry: Entries, stored: Stored
    ) -> None:
        """Bytes that another room uses stay."""
        shared = Stored(b"shared")
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.store_bytes(shared.digest, shared.pieces())
            await outbox.append(using(entry, stored, shared), nothing)
            await outbox.append(using(entry, shared, room="other"), nothing)
            await outbox.erase(ERASE, 0)
            assert (False, True) == (
                await is_there(outbox, stored),
                await is_there(outbox, shared),
            )
        async with self.process_run() as outbox:
            assert (False, True) == (
                await is_there(outbox, stored),
                await is_there(outbox, shared),
            )

    async def test_a_withdrawn_entry_uses_nothing(self, entry: Entries, stored: Stored) -> None:
        """Its bytes are gone at the next opening at the latest."""
        one = using(entry, stored)
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.append(one, nothing)
            outbox.withdraw(one.id)
        async with self.process_run() as outbox:
            assert not await is_there(outbox, stored)

    async def test_a_use_that_does_not_come_can_be_given_back(self, stored: Stored) -> None:
        """Other uses that the bytes are kept for stay; missing bytes change nothing."""
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.release_bytes(stored.digest)
            assert await is_there(outbox, stored)
            await outbox.release_bytes(stored.digest)
            assert not await is_there(outbox, stored)
            await outbox.release_bytes(stored.digest)
            await outbox.store_bytes(stored.digest, stored.pieces())
            assert await is_there(outbox, stored)

    async def test_a_use_that_is_there_is_not_given_back(
        self, entry: Entries, stored: Stored
    ) -> None:
        """By then an entry has the use."""
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.append(using(entry, stored), nothing)
            await outbox.release_bytes(stored.digest)
            assert await is_there(outbox, stored)

    async def test_bytes_that_nobody_uses_stay_until_the_run_ends(self, stored: Stored) -> None:
        """The next process run does not have them any more."""
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.endings(after=0)
            assert await is_there(outbox, stored)
        async with self.process_run() as outbox:
            assert not await is_there(outbox, stored)

    async def test_each_call_is_for_one_use(self, entry: Entries, stored: Stored) -> None:
        """Two callers may store the same bytes: each keeps its use, even if it uses them later."""
        one, two = using(entry, stored), using(entry, stored)
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.append(one, nothing)
            outbox.finished(receipt_of(one))
            await outbox.endings(after=0)
            await outbox.append(two, nothing)
            assert await is_there(outbox, stored)
            outbox.finished(receipt_of(two))
            await outbox.endings(after=0)
            assert not await is_there(outbox, stored)

    async def test_an_entry_may_name_bytes_twice(self, entry: Entries, stored: Stored) -> None:
        """Bytes that are named twice count as one use."""
        one = using(entry, stored, stored)
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.append(one, nothing)
            outbox.finished(receipt_of(one))
            await outbox.endings(after=0)
            assert not await is_there(outbox, stored)

    async def test_many_callers_use_one_file(self, entry: Entries, stored: Stored) -> None:
        """64 callers store and use it at once; it is removed when the last entry ends."""
        entries = [using(entry, stored) for _ in range(64)]
        async with self.process_run() as outbox:

            async def send(one: Entry) -> None:
                await outbox.store_bytes(stored.digest, stored.slowly())
                await outbox.append(one, nothing)

            async with trio.open_nursery() as nursery:
                for one in entries:
                    nursery.start_soon(send, one)
            assert {one.id for one in entries} == {s.entry.id for s in await outbox.page("bot")}
            for one in entries[:-1]:
                outbox.finished(receipt_of(one))
            await outbox.endings(after=0)
            assert await is_there(outbox, stored)
        async with self.process_run() as outbox:
            assert await is_there(outbox, stored)
            outbox.finished(receipt_of(entries[-1]))
            await outbox.endings(after=0)
            assert not await is_there(outbox, stored)

    async def test_a_group_uses_its_bytes_until_it_has_ended(
        self, entry: Entries, stored: Stored
    ) -> None:
        """Failed members use the bytes longer."""
        group = group_of(entry, 3, files=(stored.digest,))
        first, second = (
            attrs.evolve(member_of(entry, group, number), files=group.files) for number in (0, 1)
        )
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.append_group(group, chunks(rooms(3)), nothing)
        async with self.process_run() as outbox:
            assert [group] == [state.group for state in await outbox.groups("bot")]
            await outbox.append(first, nothing)
            outbox.finished(receipt_of(first))
            await outbox.endings(after=0)
            assert await is_there(outbox, stored)
            await outbox.append(second, nothing)
            outbox.cancelled(group.id)
            outbox.finished(receipt_of(second))
            await outbox.endings(after=0)
            assert not await is_there(outbox, stored)

    async def test_a_failed_member_uses_the_bytes_of_a_group_that_ended(
        self, entry: Entries, stored: Stored
    ) -> None:
        """The member may be tried again."""
        group = group_of(entry, 1, files=(stored.digest,))
        one = attrs.evolve(member_of(entry, group, 0, room="room"), files=group.files)
        async with self.process_run() as outbox:
            await outbox.store_bytes(stored.digest, stored.pieces())
            await outbox.append_group(group, chunks(rooms(1)), nothing)
            await outbox.append(one, nothing)
            outbox.finished(receipt_of(one, Disposition.EXPIRED))
            await outbox.endings(after=0)
            assert await is_there(outbox, stored)
        async with self.process_run() as outbox:
            assert await is_there(outbox, stored)
            await outbox.erase(ERASE, 0)
            assert not await is_there(outbox, stored)

    @pytest.mark.parametrize("last", _CALLS)
    async def test_killed_between_any_two_calls_what_is_used_is_there(
        self, entry: Entries, stored: Stored, last: str
    ) -> None:
        """Unused bytes are gone at the next opening; an end that was lost removes no bytes."""
        one = using(entry, stored)
        made = _CALLS[: _CALLS.index(last) + 1]
        async with self.killed_run() as outbox:
            calls = {
                "store": partial(outbox.store_bytes, stored.digest, stored.pieces()),
                "append": partial(outbox.append, one, nothing),
                "0 ends": partial(outbox.finished, receipt_of(one)),
                "append another": partial(outbox.append, entry("another"), nothing),
            }
            for name in made:
                waits = calls[name]()
                if waits is not None:
                    await waits
        async with self.process_run() as outbox:
            found = await outbox.find(one.id)
            unfinished = found is not None and found.stored is not None
            assert unfinished == await is_there(outbox, stored)
            assert ("append" in made) == (found is not None)
            assert not unfinished or "append another" not in made
            if unfinished:
                assert one == found.stored.entry
