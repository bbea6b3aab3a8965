"""Draws worlds of several gateways on one shared outbox, with the product's own ownership."""

from __future__ import annotations

import gc
from collections import Counter

import pytest
from amounts import LONG, amount, long_run

pytest.importorskip("psycopg", reason="gateway-contrib[postgres] is not installed")

from sharing.world import simulate

SEEDS = amount("worlds of a shared outbox")
RARE = (14, 26, 30)
"""Seeds beyond a short run, for events that hardly happen elsewhere: an owner is stopped between
its last look and the write, and another one follows it; an owner does not reach the platforms; the
answer to a COMMIT is lost."""

FOUND = (1173657, 1175102, 1203798)
"""Seeds of worlds that long searches found: a process takes requests of an outbox that it gives
back before its accounts are there; a repeat comes soon after the write of an owner that was stopped
before it, or that waited long until its attempt was stored."""


@pytest.fixture(scope="module")
def outcomes():
    """The outcomes of the worlds; each world is checked while it lives and when it has ended."""
    gc.collect()
    gc.freeze()
    yield [simulate(seed) for seed in sorted({*range(SEEDS), *FOUND, *(RARE if LONG else ())})]
    gc.unfreeze()


def test_every_law_holds_in_every_world(outcomes):
    assert SEEDS <= len(outcomes)


@long_run
@pytest.mark.skipif(not LONG, reason="GATEWAY_LONG=1 draws enough worlds for it")
def test_the_worlds_were_worth_looking_at(outcomes):
    """A harness that finds nothing is usually blind, so everything that can happen must happen."""
    happened = sum((Counter(outcome.happened) for outcome in outcomes), Counter())
    for what in (
        "kill", "kill at a port", "stop", "stop at a write", "cut", "away", "restart", "leave",
        "end sessions", "stop at a renewal", "delivered", "copies", "remainder",
    ):  # fmt: skip
        assert happened[what], what
    assert happened["owners"] > 2 * len(outcomes)
    trace = "\n".join(line for outcome in outcomes for line in outcome.trace)
    for what in ("stands_by", "account_lost", "refused", "handed", "outcome_unknown"):
        assert what in trace, what


def test_a_seed_makes_the_same_world_again(outcomes):
    assert outcomes[0].digest == simulate(outcomes[0].seed).digest
