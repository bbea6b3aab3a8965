"""What probes say, against what attempts find: a platform may answer one and fail the other."""

from __future__ import annotations

import math
from collections import Counter

from gateway_core.ratelimits.circuit import SHARE


class Vouched:
    """For each instance, the failures since it worked, and how many attempts its probes allow.

    window  the outcomes that its circuit looks at
    """

    def __init__(self, window: int) -> None:
        self._most = math.ceil(SHARE * window)
        self.begin()

    def begin(self) -> None:
        """Nobody knows anything, as when a life begins."""
        self._vouched: set[str] = set()
        self._refuted: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._passes: Counter[str] = Counter()

    def worked(self, instance_id: str) -> None:
        """An attempt worked, or the application says that the instance works."""
        self._vouched.discard(instance_id)
        self._refuted.discard(instance_id)
        self._failures[instance_id] = self._passes[instance_id] = 0

    def probed(self, instance_id: str, *, suspended: bool) -> None:
        """A probe says that it works."""
        if suspended or instance_id not in self._refuted:
            self.worked(instance_id)
            self._vouched.add(instance_id)
        else:
            self._passes[instance_id] = 1

    def failed(self, instance_id: str) -> None:
        """An attempt failed as in an outage."""
        self._failures[instance_id] += 1
        if instance_id in self._vouched:
            self._refuted.add(instance_id)

    def allows(self, instance_id: str) -> bool:
        """Whether an attempt may begin: one for each probe, if all have failed whatever it says."""
        if instance_id not in self._refuted or self._failures[instance_id] < self._most:
            return True
        self._passes[instance_id] -= 1
        return self._passes[instance_id] >= 0
