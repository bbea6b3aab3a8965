"""Says how full a partition is, in levels with hysteresis. Sans-I/O."""

from __future__ import annotations

import attrs

from gateway_core.clock import NEVER
from gateway_core.contract.hookspecs import Level
from gateway_core.contract.problems import CheckedSettings
from gateway_core.contract.validators import is_finite, shown

_ROUNDING = 1e-9
"""0.95 - 0.05 is a little less than 0.9: that must not cost a slot."""

HYSTERESIS = 0.05
"""A level is left this far below its threshold, so that one real change makes one event."""

LEVELS: tuple[Level, ...] = ("nominal", "elevated", "high", "saturated")


def _rising(_instance: object, _attribute: object, value: object) -> None:
    shares = value if isinstance(value, tuple) and all(map(is_finite, value)) else ()
    if len(shares) != 3 or not 0 < shares[0] < shares[1] < shares[2] <= 1:  # noqa: PLR2004 - levels
        raise ValueError(f"'thresholds' must be three rising shares up to 1, not {shown(value)}")


@attrs.frozen(kw_only=True)
class PressureSettings(CheckedSettings):
    """The occupancies from which a partition is elevated, high and saturated."""

    thresholds: tuple[float, float, float] = attrs.field(
        default=(0.70, 0.85, 0.95), validator=_rising
    )


class Gauge:
    """The level of one partition; it stays while the depth is from `low` to below `high`."""

    __slots__ = ("_bound", "_settings", "high", "level", "low")

    def __init__(self, settings: PressureSettings, bound: int) -> None:
        self._settings = settings
        self._bound = bound
        self.level: Level = "nominal"
        self.high = self.low = 0
        self._set_edges(0)

    def update(self, depth: int) -> Level | None:
        """Set the level by the depth; return the previous level if it changed, else None."""
        previous = self.level
        index = LEVELS.index(previous)
        while index < 3 and depth >= self._edge(index):  # noqa: PLR2004 - the highest level
            index += 1
        while index > 0 and depth < self._edge(index - 1, falling=True):
            index -= 1
        self.level = LEVELS[index]
        self._set_edges(index)
        return previous if self.level != previous else None

    def _edge(self, index: int, *, falling: bool = False) -> int:
        share = self._settings.thresholds[index] - (HYSTERESIS if falling else 0.0)
        return max(1, int(share * self._bound + _ROUNDING))

    def _set_edges(self, index: int) -> None:
        self.high = self._edge(index) if index < 3 else NEVER  # noqa: PLR2004 - highest level
        self.low = self._edge(index - 1, falling=True) if index > 0 else -1
