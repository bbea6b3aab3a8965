"""Draws worlds of spread accounts that a source gives, and puts bugs into how they come and go."""

# ruff: noqa: ARG005 - the bugs have the signatures of what they replace

from __future__ import annotations

import pytest
from amounts import LONG, amount, one_of_three

pytest.importorskip("psycopg", reason="gateway-contrib[postgres] is not installed")

from sharing.world import simulate_sourced
from simulated.bugs import Bugs

from gateway_contrib.postgres import sharing
from gateway_contrib.postgres.spreading import tables
from gateway_core.backlog.owning.accounts import Accounts
from gateway_core.producers.producer import Producer
from gateway_core.sourcing.sourcing import Sourcing
from gateway_core.sourcing.stored import Stored

SEEDS = amount("worlds of accounts that a source gives")
FOUND = (7, 244, 1227, 2191, 2372, 5023, 5223, 6612, 6616, 6956, 8264, 302636)
"""Seeds of worlds that found a mistake in the gateway: an account was given up again, with nothing
to do, before the next look for what had been handed over for it; an account was not suspended,
since the source failed as its owner was told; one whose envelopes wait was given up as idle, as it
had been before it was lost, or as nobody knew that they are stored; what had ended here of one that
was forgotten and lost was never sent again, though its end was not written; a look for the newest
rows that was under way as an account was had took them before the account's older ones; what was
left to the account's next owner, which was this process, was looked for after what came later; a
suspension that was asked for long ago was repeated over a newer wish; an account that was taken,
and forgotten since the answer to that was lost, was kept from all others; what was wanted for one
that was forgotten was stored here, which failed for ever, and not told to its owner; what was asked
about an account, and not taken by its owner, was done by the next one over a newer wish, or by the
same one as it owned the account again, though that was forgotten meanwhile."""
RENEWED = 2
"""A world in which accounts get new settings."""
MOST_WORLDS = 40
NEVER = "are unfinished"

bug = BUGS = Bugs(simulate_sourced)


def test_every_law_holds_in_every_world():
    seeds = sorted({*range(SEEDS), RENEWED, *(FOUND if LONG else FOUND[:1])})
    outcomes = [simulate_sourced(seed) for seed in seeds]
    for what in ("looked up", "handovers", "delivered", "renewed"):
        assert any(outcome.happened.get(what) for outcome in outcomes), what


@bug(NEVER, seen=377)
def what_is_handed_over_is_not_looked_for_as_its_account_is_had(patch):
    patch.setattr(sharing.Sharing, "_gain", lambda self, accounts=(): self._handed.gained())


@bug(NEVER, seen=1489)
def what_ended_here_is_remembered_though_its_account_was_lost(patch):
    patch.setattr(Accounts, "_forget_ended", lambda *_: None)


@bug("UnknownInstance", seen=11)
def an_account_is_forgotten_while_it_is_had(patch):
    patch.setattr(Sourcing, "is_needed", lambda *_: False)
    patch.setattr(Accounts, "_may_come", lambda *_: False)


@bug(NEVER, seen=1)
def nobody_hears_that_something_is_handed_over_for_an_idle_account(patch):
    patch.setattr(tables, "awaited", lambda _connection: frozenset())


@bug("still uses older settings", seen=2)
def new_settings_stay_in_the_process_that_is_told(patch):
    patch.setattr(Producer, "find_anew", _does_nothing)


@bug("still uses older settings", seen=2)
def an_account_s_next_owner_has_the_settings_of_its_first_look_up(patch):
    patch.setattr(Stored, "owned", lambda *_: None)


async def _does_nothing(*_):
    pass


@pytest.mark.parametrize("name", one_of_three(BUGS))
def test_the_simulation_finds_it(name, monkeypatch):
    BUGS[name].expect_found(monkeypatch, range(MOST_WORLDS), MOST_WORLDS)
