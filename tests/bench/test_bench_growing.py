"""The texts that healing is measured with are as long as it says, and their figures are some."""

from __future__ import annotations

import pytest

from bench import growing as bench


def test_each_kind_is_long_enough():
    assert {name for name, text in bench.kinds().items() if len(text) < bench.LENGTH} == set()


@pytest.mark.parametrize("name", bench.kinds())
def test_a_row_has_its_figures(name):
    row = bench.measured(bench.kinds()[name], cuts=2, rounds=1)
    assert 0 < row["median"] <= row["slowest"]
    assert row["parsing"] > 0
