"""Rows are written by few kinds of statements, however many there are."""

import pytest

from gateway_contrib.sqlite.writing import WIDTHS, _chunks


@pytest.mark.parametrize("count", [*range(1, 80), 127, 128, 255, 256, 511, 512, 1000])
def test_all_rows_are_written_once_by_one_statement_of_each_width(count):
    """Of the widest there may be several: nine kinds do for any number."""
    chunks = list(_chunks(range(count)))
    assert list(range(count)) == [row for chunk in chunks for row in chunk]
    widths = [len(chunk) for chunk in chunks]
    smaller = [width for width in widths if width < max(WIDTHS)]
    assert len(smaller) == len(set(smaller))
