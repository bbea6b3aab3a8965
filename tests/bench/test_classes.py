"""A login code overtakes whatever backlog of bulk has reached a bound: the bench's own runs."""

import attrs
import pytest
from amounts import amount

from bench.classes import OUTBOXES, PACE, RUNS, in_virtual_time

SMALLER = attrs.evolve(
    RUNS["account"],
    bulk=7_000,
    bounds={"partition_bound": 1_000, "instance_bound": 750},
    wide={"partition_bound": 2_000, "instance_bound": 2_000},
)
"""The account's backlog, with a tenth of every number."""


RUN = {**RUNS, "account": SMALLER}
LOOKED_AT = [
    ("account", "sqlite", "restart"),
    ("account", "memory", "control"),
    ("partition", "memory", "run"),
    ("room", "sqlite", "run"),
]
"""By a short run: each bound, each outbox, each way; then all else that there is."""
ALL = [
    *((name, outbox, how) for name in RUN for outbox in OUTBOXES for how in ("run", "control")),
    *((name, "sqlite", "restart") for name in RUN),
]
EVERY = [*LOOKED_AT, *(each for each in ALL if each not in LOOKED_AT)]


@pytest.mark.parametrize(("name", "outbox", "how"), EVERY[: amount("codes behind a backlog")])
def test_the_code_is_out_with_its_accounts_next_token(name, outbox, how):
    row = in_virtual_time(RUN[name], outbox, how)
    assert (row["waiting"] > 0) == (how != "control")
    assert ("delivered", True) == (row["ended"], row["took_s"] <= 2 / PACE)
