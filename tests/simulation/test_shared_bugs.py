"""Bugs put into the ownership of a shared outbox: the simulation must notice each of them."""

# ruff: noqa: ARG005 - the bugs have the signatures of what they replace

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
import pytest
from amounts import one_of_three

pytest.importorskip("psycopg", reason="gateway-contrib[postgres] is not installed")

import psycopg
from sharing import server, statements
from sharing.world import simulate
from simulated.bugs import Bugs

from gateway_contrib.durable.committer import Committer
from gateway_contrib.postgres import handed, owning
from gateway_contrib.postgres.connections import membership
from gateway_contrib.postgres.producing import handing
from gateway_contrib.postgres.writes import handed_answers, writing
from gateway_core.backlog import intake
from gateway_core.backlog.lines import Line
from gateway_core.backlog.owning.restored import RestoredState
from gateway_core.deliveries.steps import Step
from gateway_core.engine.completion import Completion
from gateway_core.engine.workers import WorkQueue
from gateway_core.http.progress import Progress
from gateway_core.outboxes.journal import Journal

MOST_WORLDS = 200
FOLLOWED = "after it was followed"

bug = BUGS = Bugs(simulate)


# -- the lease


@bug(FOLLOWED, seen=26)
def a_renewal_counts_from_its_answer(patch):
    whole = membership.Membership.renew

    def renew(self: Any) -> bool:
        still = whole(self)
        if still:
            self._covered = membership.boottime() + self._lease
        return still

    patch.setattr(membership.Membership, "renew", renew)


@bug(f"{FOLLOWED}|under way", seen=1)
def a_takeover_comes_before_the_lease_is_over(patch):
    patch.setattr(membership, "BEYOND", 0.5)


@bug(f"{FOLLOWED}|under way", seen=4)
def a_counter_that_changes_is_taken_for_silence(patch):
    def silent(self: Any, owner: Any, now: float) -> bool:
        if self._seen is None or self._seen[0] != owner.member:
            self._seen, self._since = (owner.member, owner.counter), now
        return now - self._since >= membership.BEYOND * owner.lease

    patch.setattr(membership.Watched, "silent", silent)


@bug(FOLLOWED)
def a_lease_is_never_over(patch):
    """An owner that is cut off from the server goes on sending to the platforms."""
    patch.setattr(membership.Membership, "covered", property(lambda self: self.owns))


@bug(FOLLOWED)
def the_first_byte_is_not_looked_at(patch):
    """The lease covers the attempt's begin; then its connection takes long to open."""

    def begins(self: Any) -> None:
        self.written = True

    patch.setattr(Progress, "begins_to_write", begins)


@bug("under way", seen=312)
def an_attempt_goes_on_after_the_lease(patch):
    patch.setattr(WorkQueue, "break_off_unowned", lambda self, owned: None)


@bug(FOLLOWED)
def only_what_is_recorded_is_looked_at(patch):
    """An edit is not recorded."""
    patch.setattr(Journal, "covers", lambda self, instance_id: True)


# -- the epoch


@bug(FOLLOWED)
def an_epoch_is_not_checked_at_one_write(patch):
    """Of the writes that change known envelopes, and add nothing new."""
    whole = statements.STATEMENTS["SELECT begin_batch(%s, %s, %b::text[], %b::bigint[])"]

    async def begin(server: Any, transaction: Any, given: Any) -> Any:
        member, _, touched, seqs = given
        if touched or not seqs:
            return await whole(server, transaction, given)
        server.writes(transaction, lambda rows: None)
        transaction.member = member
        return [(None,)], 1

    table = {**statements.STATEMENTS, "SELECT begin_batch(%s, %s, %b::text[], %b::bigint[])": begin}
    patch.setattr("sharing.world.STATEMENTS", table)


@bug(FOLLOWED, seen=50)
def an_epoch_is_in_no_key(patch):
    """A takeover does not wait for an owner that writes."""
    patch.setattr(server, "EPOCH_IS_IN_A_KEY", False)


@bug("is not there|stored twice|overtakes|unfinished|nobody said so|stands", seen=722)
def what_an_owner_before_was_to_write_is_written_after_all(patch):
    patch.setattr(Committer, "drop", lambda self, error: None)


# -- a COMMIT whose outcome is not known


@bug("was refused, and|stored twice|is not there|stands", seen=45)
def a_commit_is_asked_by_a_look(patch):
    """The look did not find the COMMIT, which came later."""

    def decide(self: Any, number: int) -> bool:
        noted = (self.member, number)
        return self.link.call(lambda it: it.read(lambda rows: noted in rows.batches))

    patch.setattr(writing.Writer, "decide", decide)


@bug("was refused, and|stored twice|is not there|stands|unfinished", seen=27)
def a_commit_without_an_answer_is_taken_for_none(patch):
    async def decided(self: Any, unknown: Any) -> bool:
        return False

    patch.setattr(owning.Owning, "_decided", decided)


@bug("ended 0 times|is not stored, and stands|nobody said so|overtakes|unfinished", seen=11)
def a_commit_without_an_answer_is_taken_for_one(patch):
    async def decided(self: Any, unknown: Any) -> bool:
        return True

    patch.setattr(owning.Owning, "_decided", decided)


@bug("was refused, and", seen=5)
def a_handover_without_an_answer_is_taken_for_none(patch):
    """The handover is made by a process that delivers nothing."""

    async def tried(self: Any, some: Any, *, unknown: bool = False) -> None:
        try:
            ids = await self.call(partial(self._send, some=some))
        except psycopg.Error as error:
            why = self._place.failed("cannot take messages", error)
            self._end(some, [why] * len(some))
        else:
            self._end(some, [ids[each.row.token] for each in some])

    patch.setattr(handing.HandingOver, "_try", tried)


# -- order


@bug("overtakes")
def a_look_orders_by_id(patch):
    whole = handed.Handed.look

    def look(self: Any, connection: Any, now: float) -> Any:
        return sorted(
            whole(self, connection, now), key=lambda one: one.envelope.key or one.envelope_id
        )

    patch.setattr(handed.Handed, "look", look)


@bug("overtakes")
def a_look_forgets_which_transactions_were_open(patch):
    whole = handed.Handed.look

    def look(self: Any, connection: Any, now: float) -> Any:
        found = whole(self, connection, now)
        if self._open is not None:
            self._open = (self._open[0], [])
        return found

    patch.setattr(handed.Handed, "look", look)


@bug("overtakes|stored twice", seen=121)
def who_owns_again_gives_positions_by_its_own_clock(patch):
    patch.setattr(Journal, "goes_on_after", lambda self, last_id, position: None)


@bug("overtakes", seen=17)
def a_request_is_answered_before_its_room_s_earlier_one(patch):
    whole = handed_answers.claim

    def claim(connection: Any, claims: Any) -> Any:
        unordered = {number: attrs.evolve(it, after=0) for number, it in claims.items()}
        return whole(connection, unordered)

    patch.setattr(writing, "claim", claim)


@bug("overtakes", seen=11)
def a_request_at_which_the_outbox_failed_comes_last(patch):
    whole = Line.again

    def again(self: Any) -> Any:
        first = whole(self)
        if first is not None:
            self.waiting.rotate(-1)
        return first

    patch.setattr(Line, "again", again)


# -- what moves with an account


@bug("refused by limits", seen=95)
def a_bucket_is_full_after_a_takeover(patch):
    patch.setattr(RestoredState, "_reckon", lambda self, account, attempts, now: None)


@bug("refused by limits", seen=143)
def what_was_spent_is_not_handed_on(patch):
    patch.setattr(RestoredState, "_restore", lambda self, recovery, registry, now: None)


@bug("now lost, tried", seen=854)
def a_room_waits_for_a_lost_attempt_as_for_others(patch):
    patch.setattr(intake, "arrives_within", lambda stored, wall: 0.0)


@bug("nobody said so|stands [3-9] times", seen=63)
def an_attempt_of_the_owner_before_never_was(patch):
    patch.setattr(Step, "interrupt", lambda self, *given, **named: None)


@bug("unfinished", seen=305)
def what_ended_of_a_lost_account_is_remembered(patch):
    patch.setattr(Completion, "forget_ended", lambda self, instance_id: None)


@pytest.mark.parametrize("name", one_of_three(BUGS))
def test_the_simulation_finds_it(name, monkeypatch):
    BUGS[name].expect_found(monkeypatch, range(MOST_WORLDS), MOST_WORLDS)


def test_there_are_at_least_twelve():
    assert len(BUGS) >= 12
