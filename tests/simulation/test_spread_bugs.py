"""Bugs put into the spreading of accounts over processes: the simulation must notice each."""

# ruff: noqa: ARG005 - the bugs have the signatures of what they replace

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from amounts import one_of_three

pytest.importorskip("psycopg", reason="gateway-contrib[postgres] is not installed")

from sharing import statements
from sharing.world import simulate_spread
from simulated.bugs import Bugs

from gateway_contrib.postgres import sharing
from gateway_contrib.postgres.spreading import member, tables
from gateway_core.backlog.owning.moving import Moving
from gateway_core.backlog.owning.suspensions import Suspensions
from gateway_core.engine.instances.stopping import Stopping
from gateway_core.spread.way import SpreadWay
from gateway_core.submission.handed.way import HandoverWay

MOST_WORLDS = 40
"""A world takes a second or more, so a bug that so many do not show needs a seed of its own."""
FOLLOWED = "after it was followed"
NEVER = "are unfinished"

bug = BUGS = Bugs(simulate_spread)


def _does(patch: Any, sql: str, do: Any) -> None:
    """Let the server do `do` for the statement."""
    table = {**statements.STATEMENTS, " ".join(sql.split()): do}
    patch.setattr("sharing.world.STATEMENTS", table)


# -- the fence


@bug(FOLLOWED, seen=16)
def a_takeover_does_not_look_at_the_counter_again(patch):
    patch.setattr(member.Watched, "silent", lambda self, owner, now: now - self._at(owner, now) > 3)
    seen: dict[Any, float] = {}
    patch.setattr(
        member.Watched,
        "_at",
        lambda self, owner, now: seen.setdefault((id(self), owner.member), now),
        raising=False,
    )

    def end(connection: Any, owner: Any) -> bool:
        sql = "DELETE FROM members WHERE member = %s"
        return bool(connection.execute(sql, (owner.member,)).rowcount)

    patch.setattr(tables, "end", end)


# -- handing an account over


@bug("in flight", seen=2)
def what_is_under_way_is_not_waited_for(patch):
    async def at_rest(self: Any, account: Any) -> None:
        pass

    patch.setattr(Stopping, "at_rest", at_rest)


@bug("refused by limits", seen=97)
def what_was_spent_is_not_written_as_an_account_is_given_up(patch):
    whole = sharing.Sharing.release

    def release(self: Any, instance_id: str, at: float, standings: Any) -> None:
        whole(self, instance_id, at, [] if instance_id else standings)

    patch.setattr(sharing.Sharing, "release", release)


@bug(NEVER, seen=500342)
def an_account_that_was_taken_and_could_not_be_read_is_not_looked_for(patch):
    patch.setattr(sharing.Sharing, "_looking_again", staticmethod(lambda member: nullcontext()))


@bug(NEVER, seen=5)
def an_account_that_moves_is_never_given_up(patch):
    async def move(self: Any, account: Any) -> None:
        await self._stopping.at_rest(account)
        await self.let_go(account)

    patch.setattr(Moving, "move", move)


# -- what is handed over


@bug("overtakes", seen=29)
def a_look_takes_the_rows_of_other_owners(patch):
    patch.setattr(sharing.Sharing, "_of_its_own", lambda self, read: read)


@bug("overtakes", seen=6)
def what_was_handed_over_may_be_overtaken(patch):
    """By envelopes that the same process accepts, which owns the account by now."""
    patch.setattr(HandoverWay, "untaken", lambda self, instance_id, room: False)


@bug("overtakes", seen=19)
def what_an_application_handed_over_is_handed_over_again(patch):
    """As long as this process has an envelope in that room that no owner has taken."""
    whole = SpreadWay.accept

    async def accept(self: Any, draft: Any, *, wait: bool) -> Any:
        draft.taken = draft.request is not None and draft.request.envelope_id
        return await whole(self, draft, wait=wait)

    patch.setattr(SpreadWay, "accept", accept)


# -- what operators have suspended


@bug("which is suspended", seen=8)
def whoever_has_an_account_next_does_not_hear_that_it_is_suspended(patch):
    patch.setattr(Suspensions, "restore", lambda self, account, suspension: None)


@bug("and has not done so", seen=0)
def what_is_asked_of_an_account_elsewhere_is_done_here(patch):
    """The account's owner does not hear of the request."""
    whole = Suspensions.suspend

    def suspend(self: Any, instance_id: str, why: str, by: str) -> None:
        here, self.is_here = self.is_here, lambda _instance_id: True
        whole(self, instance_id, why, by)
        self.is_here = here

    async def store_or_tell(self: Any, instance_id: str, suspension: Any) -> None:
        if self.is_here(instance_id):
            await self._stored(instance_id, self._registry.serving.get(instance_id), suspension)

    patch.setattr(Suspensions, "suspend", suspend)
    patch.setattr(Suspensions, "_store_or_tell", store_or_tell)


@pytest.mark.parametrize("name", one_of_three(BUGS))
def test_the_simulation_finds_it(name, monkeypatch):
    BUGS[name].expect_found(monkeypatch, range(MOST_WORLDS), MOST_WORLDS)


def test_there_are_at_least_six():
    assert len(BUGS) >= 6
