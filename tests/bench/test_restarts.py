"""A restart in the middle of a busy room: with a durable outbox no 429, and none waits for it."""

import pytest
from amounts import LONG

from bench.restarts import CASES, WAYS, row

SOME = (7.5, 19.0, 63.0)
"""Moments that a short run looks at: within the first window, at its end, in the second."""
DURABLE = [case for case in CASES if case.way in WAYS[:2]]
IN_MEMORY = [case for case in CASES if case.way not in WAYS[:2]]


def looked_at(cases):
    some = [case for case in cases if LONG or (case.channel != "slack" and case.after in SOME)]
    return pytest.mark.parametrize(
        "case", some, ids=[f"{case.channel} {case.way} {case.after}" for case in some]
    )


@looked_at(DURABLE)
def test_spent_budgets_survive_with_a_durable_outbox(case):
    """However the process ended, in a Telegram group, a Discord channel, a Slack channel."""
    found = row(case)
    assert found["asked_before"] > 0
    assert 0 == found["met"]
    assert found["delay_s"] < 0.5


@looked_at(IN_MEMORY)
def test_without_one_a_restart_costs_few_429s_and_slows_no_first_message(case):
    found = row(case)
    assert found["met"] <= (4 if case.channel == "telegram" else 1)
    assert found["delay_s"] < 0.5
