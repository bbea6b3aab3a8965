"""Answers that grow in one group of Telegram's share its 20 messages a minute, and end in time."""

from __future__ import annotations

import pytest

from bench import applications as bench


@pytest.mark.parametrize("answers", bench.LENGTHS)
def test_two_in_one_group_end_in_time(answers):
    row = bench.streams("telegram one group", 2, answers)
    assert 3 >= row["final_s"]
    assert 0 == row["rate_limited"] == row["not_delivered"]
    assert 2 * row["alone_p95_s"] >= row["plain_p95_s"]
