"""Lets the tests here import `simulated`, the package beside them that makes the world."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from coverage import Coverage

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module", autouse=True)
def _uncounted():
    """Stop the measuring of coverage here: with it, a world takes several times as long.

    A line that worlds reach, but no unit test, is to be seen as a line without a test.
    """
    counting = Coverage.current()
    if counting is None:
        yield
        return
    counting.stop()
    yield
    counting.start()
