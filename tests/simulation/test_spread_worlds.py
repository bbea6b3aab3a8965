"""Draws worlds of several gateways that share an outbox, with its accounts spread over them."""

from __future__ import annotations

import gc
from collections import Counter

import pytest
from amounts import LONG, amount, long_run

pytest.importorskip("psycopg", reason="gateway-contrib[postgres] is not installed")

from sharing.world import simulate_spread

SEEDS = amount("worlds of accounts that are spread over processes")
FOUND = (7, 23, 29, 175, 269, 273, 333, 6630, 6948)
"""Seeds of worlds that found a mistake in the gateway: a member had the common things and did not
know it; an account was kept that another member was to own; envelopes of an application were handed
over again, after later ones; a member broke because it could not say that it leaves; one position
was given twice; an account was never served because its past could not be read at first; an account
that was owned again before its move had ended was given up by that move, and had no owner then; an
attempt that was connecting as its account was lost wrote once the account was owned again; a newer
wish was stored before the answer to an older one, which the next owner repeated."""
RARE = (3, 5)
"""Seeds beyond a short run, for events that hardly happen elsewhere."""


@pytest.fixture(scope="module")
def outcomes():
    """The outcomes of the worlds; each world is checked while it lives and when it has ended."""
    gc.collect()
    gc.freeze()
    more = {*FOUND, *RARE} if LONG else set()
    yield [simulate_spread(seed) for seed in sorted({*range(SEEDS), *more})]
    gc.unfreeze()


def test_every_law_holds_in_every_world(outcomes):
    assert SEEDS <= len(outcomes)


@long_run
@pytest.mark.skipif(not LONG, reason="GATEWAY_LONG=1 draws enough worlds for it")
def test_the_worlds_were_worth_looking_at(outcomes):
    """A harness that finds nothing is usually blind."""
    happened = sum((Counter(outcome.happened) for outcome in outcomes), Counter())
    kinds = ("move", "drain", "cut", "handovers", "delivered", "copies", "suspended", "resumed")
    for what in kinds:
        assert happened[what], what
    assert happened["owners"] > 3 * len(outcomes)
    trace = "\n".join(line for outcome in outcomes for line in outcome.trace)
    for what in ("account_owned", "account_moved", "refused", "handed", "outcome_unknown",
                 "instance_suspended"):  # fmt: skip
        assert what in trace, what


def test_a_seed_makes_the_same_world_again(outcomes):
    assert outcomes[0].digest == simulate_spread(outcomes[0].seed).digest
