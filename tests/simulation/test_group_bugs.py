"""Bugs put into groups: the simulation must notice each of them, and soon.

Like `test_seeded_bugs.py`, but only in worlds with groups.
"""

# ruff: noqa: ARG005 - the bugs have the signatures of what they replace

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import attrs
import pytest
from amounts import one_of_three
from simulated.bugs import Bugs
from simulated.drawing import draw

from gateway_contrib.durable import group_rows
from gateway_contrib.sqlite import outbox as outboxes
from gateway_contrib.sqlite.beside import groups, storing
from gateway_core.groups import feeding, job, memory, registry, taking
from gateway_core.outboxes.records import Group
from gateway_core.scheduling import scheduler

MOST_WORLDS = 60

bug = BUGS = Bugs()


# -- each room once


@bug("is accepted again as|is not known|another text is taken for")
def the_key_of_a_group_is_forgotten(patch):
    """A group that is handed in again is another group."""
    patch.setattr(Group, "scope", None)


@bug("another text is taken for", seen=29)
def another_text_under_the_key_joins(patch):
    async def joined(self: Any, group: Any, scope: Any) -> Any:
        found = await self.store.find(scope)
        return None if found is None else found.group

    patch.setattr(registry.Groups, "_joined", joined)


@bug("had it|is None, and|next turn|callers are never done", seen=43)
def a_turn_is_not_taken(patch):
    """The outbox does not hear which member had its turn."""
    whole = taking.Turn
    patch.setattr(whole, "member", property(lambda self: None))


@bug("had it|before it had none|has ended, and|callers are never done")
def a_turn_in_memory_is_taken_twice(patch):
    def take(self: Any, number: int) -> bool:
        if self.cancelled:
            return False
        self.next = max(self.next, number + (number % 3 > 0))
        return True

    patch.setattr(memory.MemoryGroup, "take", take)


@bug("before it had none", seen=19)
def the_first_of_a_page_is_passed_over(patch):
    whole = memory.MemoryGroup.waiting

    def waiting(self: Any, limit: int) -> Any:
        page = whole(self, limit)
        if len(page) > 1 and not self.again and page[0][0] == 1:
            self.next = 2
            return page[1:]
        return page

    patch.setattr(memory.MemoryGroup, "waiting", waiting)


# -- held, ended, tried again


@bug("is paused", seen=29)
def a_pause_is_heeded_a_page_late(patch):
    whole = feeding.Feed._interrupted

    def interrupted(self: Any, account: Any) -> bool:
        state, self.state = self.state, attrs.evolve(self.state, paused=False)
        try:
            return whole(self, account)
        finally:
            self.state = state

    patch.setattr(feeding.Feed, "_interrupted", interrupted)


@bug("was paused|is paused|is not paused", seen=57)
def a_pause_is_not_written(patch):
    patch.setattr(storing.Storing, "paused", lambda self, group_id, paused: None)


@bug("is paused|is not paused|has .* turn", seen=57)
def a_pause_is_not_known_in_the_next_life(patch):
    whole = group_rows.state_of

    def state_of(*given: Any) -> Any:
        return attrs.evolve(whole(*given), paused=False)

    patch.setattr("gateway_contrib.sqlite.beside.reading.state_of", state_of)


@bug("stays paused|callers are never done")
def a_group_that_has_ended_stays_paused(patch):
    """If such a group is tried again, it waits for ever."""
    whole = registry.Groups.pause

    async def pause(self: Any, group_id: str, *, paused: bool) -> Any:
        before = await self.state(group_id)
        if before is not None and before.ended:
            return before
        return await whole(self, group_id, paused=paused)

    patch.setattr(registry.Groups, "pause", pause)


@bug("callers are never done|did not end|is not cancelled|had no turn|of 12|is .*, of", seen=108)
def those_without_a_turn_are_not_counted(patch):
    def cancelled(self: Any, group_id: str) -> None:
        self.get(group_id).cancelled = True

    patch.setattr(memory.MemoryGroups, "cancelled", cancelled)


@bug("is cancelled|is not cancelled|had it|is .*, of")
def a_cancelled_group_goes_on(patch):
    """The group is counted as cancelled, but its members still have their turns."""
    whole = memory.MemoryGroups.cancelled

    def cancelled(self: Any, group_id: str) -> None:
        whole(self, group_id)
        self.get(group_id).cancelled = False

    patch.setattr(memory.MemoryGroups, "cancelled", cancelled)


@bug("was cancelled|is cancelled|is not cancelled", seen=169)
def a_cancel_is_not_written(patch):
    patch.setattr(storing.Storing, "cancelled", lambda self, group_id: None)


@bug(
    "has .* (rejected|expired|unknown|exhausted|shed)|failed, told|has ended, and|are tried again"
    "|callers are never done",
    seen=82,
)
def what_is_tried_again_is_counted_still(patch):
    whole = memory.MemoryGroup.retry

    def retry(self: Any, wall: float) -> int:
        counts = self.counts.copy()
        done = whole(self, wall)
        self.counts = counts
        return done

    patch.setattr(memory.MemoryGroup, "retry", retry)


@bug("was tried again, but|callers are never done|steps at one instant", seen=225)
def of_what_failed_the_first_is_left(patch):
    whole = taking.DurableTaking.reopen

    async def reopen(self: Any, group: Any, after: str, limit: int) -> Any:
        if not after:
            first = await self._outbox.failed(group.id, after="", limit=1)
            after = first[0].envelope_id if first else after
        return await whole(self, group, after, limit)

    patch.setattr(taking.DurableTaking, "reopen", reopen)


@bug("s later than|expired", seen=34)
def the_time_of_a_member_counts_from_its_turn(patch):
    whole = taking.Drafts.draft

    def draft(self: Any, group: Any, *given: Any) -> Any:
        wall = self._drafting.clock.wall()
        later = attrs.evolve(group, deadline=group.deadline + wall - group.accepted_at)
        return whole(self, later, *given)

    patch.setattr(taking.Drafts, "draft", draft)


@bug("before its time")
def its_time_is_not_waited_for(patch):
    patch.setattr(
        feeding.Feed, "_patience", lambda self: feeding.AGAIN if self.state.paused else 0.0
    )


# -- counts, and who waits


@bug("is told again")
def its_end_is_told_twice(patch):
    whole = feeding.log_event

    def log_event(event: Any, **fields: Any) -> None:
        whole(event, **fields)
        if event is feeding.GROUP_ENDED:
            whole(event, **fields)

    patch.setattr(feeding, "log_event", log_event)


@bug("callers are never done|somebody waits for it|nothing will", seen=10)
def who_waits_for_a_group_does_not_hear_of_its_end(patch):
    async def wait(self: Any) -> Any:
        feed = self._groups.feeds.get(self.id)
        if feed is not None:
            await trio_forever(feed)
        return await self.progress()

    async def trio_forever(feed: Any) -> None:
        import trio  # noqa: PLC0415 - here alone

        if not feed.state.ended:
            await trio.sleep_forever()

    patch.setattr(job.Job, "wait", wait)


@bug("delivered|kept is", seen=43)
def a_delivered_member_is_counted_twice(patch):
    whole = groups.Groups.ended

    def ended(self: Any, how: Any) -> None:
        found = self._members(how)
        whole(self, how)
        more = [(grp, how[seq]) for seq, grp, _ in found if how[seq] == "delivered"]
        self._count(dict.fromkeys(more[:1], 1))

    patch.setattr(groups.Groups, "ended", ended)


@bug("go before", seen=223)
def bulk_goes_first(patch):
    """Other messages of the account wait for all members that are ready."""
    patch.setattr(scheduler, "RANKS", {"urgent": 1, "normal": 2, "bulk": 0})


# -- kills


@bug("is lost|is not known", seen=164)
def a_group_is_told_before_it_is_stored(patch):
    """The group is known to callers, but only until the process ends."""
    whole = outboxes.SqliteOutbox.append_group

    async def append_group(self: Any, group: Any, members: Any, on_stored: Any) -> None:
        all_of_them = [list(chunk) for chunk in members]

        async def later() -> None:
            import trio  # noqa: PLC0415 - here alone

            await trio.sleep(1.0)
            await whole(self, group, all_of_them, lambda: None)

        self._group_later = later
        on_stored()

    patch.setattr(outboxes.SqliteOutbox, "append_group", append_group)


@bug("callers are never done|nothing will|did not end", seen=43)
def nobody_goes_on_with_a_group_after_a_kill(patch):
    async def serve(self: Any, instance_id: str) -> None:
        return None

    patch.setattr(registry.Groups, "serve", serve)


def grouping() -> Iterator[int]:
    """The seeds of worlds with groups."""
    return (seed for seed in count() if draw(seed).groups is not None)


@pytest.mark.parametrize("name", one_of_three(BUGS))
def test_the_simulation_finds_it(name, monkeypatch):
    BUGS[name].expect_found(monkeypatch, grouping(), MOST_WORLDS)
