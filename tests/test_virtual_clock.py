"""The clock of a test that does not ask for one itself."""

import pytest
import trio
import trio.testing


@pytest.fixture
def day(autojump_clock):
    return 86_400.0


async def test_a_clock_that_a_fixture_asks_for_is_the_test_s(day):
    assert isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)
    await trio.sleep(day)


async def test_without_one_the_time_is_real():
    assert not isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)
