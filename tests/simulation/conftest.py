"""Lets the tests here import `simulated`, the package of the world beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from coverage import Coverage

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module", autouse=True)
def _uncounted():
    """Coverage does not count here: a world takes a multiple of its time under it.

    What worlds reach and no test of a unit does is to be seen as a line without a test.
    """
    counting = Coverage.current()
    if counting is None:
        yield
        return
    counting.stop()
    yield
    counting.start()
