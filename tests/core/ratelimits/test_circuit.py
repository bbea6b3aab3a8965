"""Whether an instance seems to be down."""

import pytest

from gateway_core.ratelimits.circuit import Circuit, CircuitSettings


def circuit(**fields):
    return Circuit(CircuitSettings(**fields))


def test_it_opens_with_the_failure_that_is_half_the_window():
    breaker = circuit(window=4)
    assert [False, True] == [breaker.failed() for _ in range(2)]


def test_it_opens_at_the_share_and_not_below_it():
    breaker = circuit(window=4)
    breaker.failed()
    breaker.worked()
    breaker.worked()
    breaker.worked()
    assert not breaker.failed(), "one of the newest four"
    assert breaker.failed(), "two of the newest four"


def test_successes_push_failures_out_of_the_window():
    breaker = circuit(window=4)
    breaker.failed()
    for _ in range(4):
        breaker.worked()
    assert not breaker.failed(), "one of the newest four"
    assert breaker.failed(), "two of the newest four"


def test_successes_before_the_first_failure_change_nothing():
    breaker = circuit(window=4)
    for _ in range(100):
        breaker.worked()
    assert [False, True] == [breaker.failed() for _ in range(2)]


def test_after_a_reset_the_window_fills_anew():
    breaker = circuit(window=4)
    assert [False, True] == [breaker.failed(), breaker.failed()]
    breaker.reset()
    assert [False, True] == [breaker.failed(), breaker.failed()]


def test_the_count_is_the_window_s_own_after_any_outcomes():
    breaker = circuit(window=3)
    outcomes = [True, False, True, True, False, False, True, True]
    for failed in outcomes:
        if failed:
            breaker.failed()
        else:
            breaker.worked()
        assert breaker.failures == sum(breaker._outcomes)


class Drawn:
    """Dice that show the same each time."""

    def __init__(self, shows: float) -> None:
        self.shows = shows

    def random(self) -> float:
        return self.shows


@pytest.mark.parametrize(("shows", "share"), [(0.0, 0.8), (0.5, 0.9), (1.0, 1.0)])
def test_probes_wait_twice_as_long_each_time_up_to_the_cap_less_a_fifth_at_most(shows, share):
    backoff = CircuitSettings(probe_base=1.0, probe_cap=5.0).backoff
    waits = [backoff.delay(n, rng=Drawn(shows)) for n in (1, 2, 3, 4, 10_000)]
    assert [share * ceiling for ceiling in (1, 2, 4, 5, 5)] == pytest.approx(waits)


@pytest.mark.parametrize(
    ("field", "value"),
    [("window", 0), ("probe_base", 0), ("probe_cap", 0)],
)
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        CircuitSettings(**{field: value})
