"""Bugs put into what survives a kill: the simulation must notice each of them, and soon.

Like `test_seeded_bugs.py`, for the outbox, its file and the next life. Only worlds with several
lives, a full disk, or another trouble of this kind are used.
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

from gateway_contrib.durable import batch as batches
from gateway_contrib.sqlite import outbox as outboxes
from gateway_contrib.sqlite import reading
from gateway_core.backlog import spilled
from gateway_core.deliveries import revisions
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step
from gateway_core.engine import enqueue, planning
from gateway_core.outboxes import journal, restore
from gateway_core.submission import draft

MOST_WORLDS = 250

bug = BUGS = Bugs()


# -- what is written


@bug("is lost|stays, though|places taken|fell: KeyError", seen=11)
def accepted_is_told_before_it_is_written(patch):
    whole = outboxes.SqliteOutbox.append

    async def append(self: Any, entry: Any, kept: Any) -> None:
        kept()
        await whole(self, entry, lambda: None)

    patch.setattr(outboxes.SqliteOutbox, "append", append)


@bug("nobody wrote that down|is recorded after")
def an_attempt_is_not_recorded_before_it_is_made(patch):
    async def starting(self: Any, delivery: Any, step: Any, now: int) -> None:
        return None

    patch.setattr(journal.Journal, "starting", starting)


@bug("nobody wrote that down|is lost|are kept at the end|without it", seen=9)
def an_end_is_not_written(patch):
    patch.setattr(journal.Journal, "finished", lambda self, delivery, receipt: None)


@bug(
    "repeats step|nobody said so|stands|is there|nobody wrote that|kept at the end|without it",
    seen=126,
)
def a_failed_commit_forgets_what_it_held(patch):
    """The disk was full, and changes that nobody was waiting for are not written later."""
    patch.setattr(batches.Batch, "left_over", lambda self: batches.Batch())


@bug(
    "nobody knows it|kept at the end|was withdrawn|never accepted|no envelope|without acceptance",
    seen=37,
)
def a_withdrawn_entry_stays(patch):
    """The entry's caller was cancelled while the entry was being written."""
    patch.setattr(outboxes.SqliteOutbox, "withdraw", lambda self, envelope_id: None)


# -- what is read


@bug("repeats step|stands|out of order|nobody said so|is there", seen=38)
def an_acknowledgement_is_not_replayed(patch):
    whole = restore._restore

    def recall(step: Any, record: Any, **given: Any) -> None:
        whole(step, attrs.evolve(record, outcome=None, started=False), **given)

    patch.setattr(restore, "_restore", recall)


@bug("nobody said so|is sent again|stands|is there|before its instance", seen=214)
def a_try_that_was_cut_off_never_was(patch):
    patch.setattr(Step, "interrupt", lambda self, *given, **named: None)


@bug("was tried [0-9]+ times|exhausted after", seen=246)
def tries_are_counted_anew(patch):
    whole = restore._restore

    def recall(step: Any, record: Any, **given: Any) -> None:
        whole(step, record, **given)
        step.attempts = 0

    patch.setattr(restore, "_restore", recall)


@bug("before its instance was seen to work|after an unknown outcome", seen=189)
def doubt_waits_for_nothing_in_the_next_life(patch):
    patch.setattr(enqueue.Enqueuer, "_held", lambda self, *given: None)


@bug("overtakes|out of order")
def rooms_are_brought_in_backwards(patch):
    whole = reading.Reader.page

    def page(self: Any, *given: Any) -> Any:
        return whole(self, *given)[::-1]

    patch.setattr(reading.Reader, "page", page)


@bug("was taken by|leads elsewhere|stands|key was freed", seen=40)
def keys_are_forgotten_between_lives(patch):
    patch.setattr(reading.Reader, "find_key", lambda self, *given: None)


@bug("deadline")
def deadlines_begin_anew(patch):
    whole = spilled.restore_delivery

    def restore_delivery(kept: Any, now: int, *given: Any, **named: Any) -> Any:
        delivery = whole(kept, now, *given, **named)
        delivery.deadline = now + 10**13
        return delivery

    patch.setattr(spilled, "restore_delivery", restore_delivery)


@bug("does not stand|is nowhere|is there|stands", seen=55)
def a_stale_ref_is_trusted(patch):
    """An edit compares with its ref, and not with the message as it is now."""
    whole = revisions.Revisions.newest

    def newest(self: Any, ref: Any) -> Any:
        return ref if ref.parts else whole(self, ref)

    patch.setattr(revisions.Revisions, "newest", newest)


# -- what happens around it


@bug("is cut|rejected|is there|nowhere|not all of it|did not|afterwards|stands|unknown", seen=30)
def pieces_of_a_doubtful_part_are_new(patch):
    whole = Delivery.replace

    def replace(self: Any, step: Any, *given: Any) -> None:
        whole(self, step, *given)
        for other in self.steps or ():
            if other.first_at < 0:
                other.maybe_sent = other.first_at = 0
                other.doubtful = False

    patch.setattr(Delivery, "replace", replace)


@bug(
    "closing took|afterwards|did not end|accepted|calls at once|kept|within the wait|counted",
    seen=85,
)
def an_instance_that_left_takes_envelopes(patch):
    """The instance was removed while the envelope waited for its slot, or was being written."""
    patch.setattr(draft.Drafting, "look_up_account", lambda self, draft, **named: draft.account)


@bug("after its answer|is sent again|stands|was tried", seen=246)
def the_last_try_is_made_again(patch):
    """A kill cut the last attempt off."""
    whole = planning.Planner._may_repeat

    def may_repeat(self: Any, delivery: Any, step: Any, *given: Any) -> bool:
        before, step.attempts = step.attempts, 0
        try:
            return whole(self, delivery, step, *given)
        finally:
            step.attempts = before

    patch.setattr(planning.Planner, "_may_repeat", may_repeat)


# -- each of them is found


def troubled() -> Iterator[int]:
    """The seeds of worlds that have several lives, or another trouble that this file is about."""
    for seed in count():
        setup = draw(seed)
        events = {what for _, what, _ in setup.trouble.events}
        if setup.endings or setup.trouble.disk or events & {"remove"} or setup.trouble.unformatted:
            yield seed


@pytest.mark.parametrize("name", one_of_three(BUGS))
def test_the_simulation_finds_it(name, monkeypatch):
    BUGS[name].expect_found(monkeypatch, troubled(), MOST_WORLDS)
