"""Well again when the platform is: each case of the bench within its bound, nothing lost."""

import pytest
from amounts import LONG

from bench.recovery import CASES, row

FEW = 150
"""Messages of a case that a short run looks at."""
LOOKED_AT = {name: case for name, case in CASES.items() if LONG or case.messages <= FEW}


@pytest.mark.parametrize("name", LOOKED_AT)
def test_little_time_is_lost_and_no_message(name):
    found = row(name, CASES[name])
    assert found["holds"], found
    assert found["copies"] == 0
