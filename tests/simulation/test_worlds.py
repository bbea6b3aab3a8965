"""Draws worlds, and checks each while it lives and when it has ended."""

from __future__ import annotations

import gc
from collections import Counter
from functools import cache

import pytest
from amounts import LONG, amount, long_run
from simulated.world import simulate

SEEDS = amount("worlds")
BLOCK = 20
SLOW = {27}
"""A message waits there for a day, checked each second: that takes as long as forty others."""
RARE = (
    269,
    148,
    173,
    213,
    232,
    306_009,
    309_931,
    8_311_711,
    8_318_157,
    8_400_323,
    8_402_631,
    8_406_167,
    8_406_609,
    8_422_568,
    8_465_862,
    8_497_653,
    8_500_702,
    127,
    263,
    225,
    150,
    44,
    3_000_265,
)
"""Seeds beyond a short run, for events that hardly happen elsewhere: an envelope is stored, but its
caller does not hear so; an envelope ends fatal, another one crashed; an edit that waited comes in
after a newer edit; a part that may have arrived as a whole is cut, and the process ends within the
attempt of the later half; several rooms close their account before a kill; a session does not open,
and the tokens of its attempt are given back; an edit without order is accepted before an older edit
of its message was loaded; while a page is read that begins with due entries, an append ends that
began before; a closed account goes and comes back before a kill; an edit enters while a newer edit
is being stored; a message is sent again while its former copy is edited; a change has stepped aside
when the process ends; an aged bulk message needs the only attempt of its account at the moment that
it reserved; two limits that are both reserved pass a lane to each other; an edit in doubt is cut,
and the process ends; a group is handed in, and an event answered, while the gateway closes; failed
members of a group in a file are tried again; a text goes without its files; somebody deletes the
message of a stream; a group's members are tried again before what a former process left is
loaded."""


@pytest.fixture(scope="module")
def world():
    """A function that makes the world of a seed, once, and returns its outcome."""
    gc.collect()
    gc.freeze()
    yield cache(simulate)
    gc.unfreeze()


def looked_at(seeds):
    """The seeds that this run uses."""
    return sorted(set(seeds) - (set() if LONG else SLOW))


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_every_invariant_holds_in_every_world(first, world):
    for seed in looked_at(range(first, first + BLOCK)):
        world(seed)
    gc.collect()


@long_run
def test_the_worlds_were_worth_looking_at(world):
    """A harness that finds nothing is usually blind, so everything that can happen must happen."""
    outcomes = [world(seed) for seed in looked_at({*range(SEEDS), *RARE})]
    ended = sum((Counter(outcome.ended) for outcome in outcomes), Counter())
    trace = "\n".join(line for outcome in outcomes for line in outcome.trace)
    assert {
        "delivered", "rejected", "fatal", "exhausted", "expired", "unknown", "superseded", "shed",
        "cancelled", "crashed",
    } == set(ended)  # fmt: skip
    assert ended["delivered"] > ended.total() / 2
    assert sum(outcome.faults for outcome in outcomes) > SEEDS
    for happened in (
        "partition_restarted", "instance_suspended", "instance_resumed", "circuit_opened",
        "circuit_closed", "room_moved", "session_failed", "hook_failed", "envelope_crashed",
        "outcome_unknown", "rate_limited", "refused Overloaded", "refused GatewayClosed",
        "hook before hang", "hook after nonsense", "born 1", "born 2", "kept unheard", "closing",
        "leaves", "comes back", "jump", "disk is full", "bad_format", "too_long",
        "weather spending", "weather cut", "connection silent", "connection gone",
        "connection reset", " pace ", "stream joins", "stream breaks", "stream status",
        "stream vanishes", "stream delete", "stream keep", "stream mark", "stream cut",
        "stream finished", "refused stream GatewayClosed", "event answered", "refused reply",
        "group accepted", "group paused", "group resumed", "group cancelled", "group retried",
        "group progress", "gateway.group_ended", "refused group GatewayClosed", "reopened",
        "upload cut", "upload lost", "upload refused", "upload too_large", "files cancelled",
        "sendMediaGroup", "files.completeUploadExternal", "'without_files'",
    ):  # fmt: skip
        assert happened in trace, happened
    assert sum(outcome.kills for outcome in outcomes) > SEEDS / 8
