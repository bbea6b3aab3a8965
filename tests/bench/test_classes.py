"""A login code overtakes whatever backlog of bulk has reached a bound: the bench's own runs."""

import attrs
import pytest

from bench.classes import OUTBOXES, PACE, RUNS, in_virtual_time

SMALLER = attrs.evolve(
    RUNS["account"],
    bulk=7_000,
    bounds={"partition_bound": 1_000, "instance_bound": 750},
    wide={"partition_bound": 2_000, "instance_bound": 2_000},
)
"""The account's backlog, with a tenth of every number."""


HOW = [(outbox, how) for outbox in OUTBOXES for how in ("run", "control")]


@pytest.mark.parametrize(("outbox", "how"), [*HOW, ("sqlite", "restart")])
@pytest.mark.parametrize("run", [SMALLER, RUNS["partition"], RUNS["room"]], ids=RUNS)
def test_the_code_is_out_with_its_accounts_next_token(run, outbox, how):
    row = in_virtual_time(run, outbox, how)
    assert (row["waiting"] > 0) == (how != "control")
    assert ("delivered", True) == (row["ended"], row["took_s"] <= 2 / PACE)
