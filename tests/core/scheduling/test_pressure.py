"""How full a partition is, in levels with hysteresis."""

import pytest

from gateway_core.scheduling.pressure import Gauge, PressureSettings


def gauge(bound=100, **fields):
    return Gauge(PressureSettings(**fields), bound)


def test_levels_rise_at_their_thresholds():
    """Of a bound of 100: elevated from 70, high from 85, saturated from 95."""
    full = gauge()
    changes = [(depth, full.level) for depth in range(101) if full.update(depth) is not None]
    assert [(70, "elevated"), (85, "high"), (95, "saturated")] == changes


def test_levels_fall_five_hundredths_below_their_thresholds():
    full = gauge()
    full.update(100)
    changes = [
        (depth, full.level) for depth in range(100, -1, -1) if full.update(depth) is not None
    ]
    assert [(89, "high"), (79, "elevated"), (64, "nominal")] == changes


def test_a_change_tells_the_level_before():
    full = gauge()
    assert "nominal" == full.update(70)
    assert "elevated" == full.update(90)
    assert "high" == full.level


def test_swaying_about_a_threshold_is_one_change():
    full = gauge()
    assert ["nominal", None, None, None, None] == [full.update(d) for d in (70, 69, 70, 66, 70)]


def test_a_leap_is_one_change():
    full = gauge()
    assert "nominal" == full.update(100)
    assert "saturated" == full.level
    assert "saturated" == full.update(0)
    assert "nominal" == full.level


def test_a_leap_down_ends_where_its_level_is_not_left_yet():
    """High is left below 80: at 82 a partition that was saturated is still high."""
    full = gauge()
    full.update(100)
    assert "saturated" == full.update(82)
    assert "high" == full.level


def test_saturated_comes_before_refusals_of_the_smallest_bound():
    full = gauge(bound=1)
    assert "nominal" == full.update(1)
    assert "saturated" == full.level
    assert "saturated" == full.update(0)
    assert "nominal" == full.level


@pytest.mark.parametrize("bound", [2, 3, 7, 20, 1000])
def test_every_depth_below_the_bound_has_its_level_before_it_is_full(bound):
    full = gauge(bound=bound)
    for depth in range(bound):
        full.update(depth)
    full.update(bound)
    assert "saturated" == full.level
    full.update(0)
    assert "nominal" == full.level


@pytest.mark.parametrize(
    "thresholds", [(0.0, 0.5, 0.9), (0.5, 0.5, 0.9), (0.5, 0.9, 0.8), (0.5, 0.9, 1.1), (0.5, 0.9)]
)
def test_thresholds_are_three_rising_shares(thresholds):
    with pytest.raises(ValueError, match="three rising shares"):
        PressureSettings(thresholds=thresholds)
