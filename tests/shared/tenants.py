"""An instance source with any number of accounts, which counts its look-ups."""

from __future__ import annotations

from collections import Counter

import trio

from gateway_core import Instance
from gateway_core.testing import FakeSettings


class Accounts:
    """Knows `tenant-0` to `tenant-N`; `gives` has other answers, or exceptions to raise.

    asked    how many look-ups there were of each account
    most     the most look-ups that were under way at the same time
    """

    def __init__(self, count: int = 10_000, *, takes: float = 0.0) -> None:
        self.known = {f"tenant-{number}" for number in range(count)}
        self.gives: dict[str, object] = {}
        self.takes = takes
        self.asked: Counter[str] = Counter()
        self.most = self._now = 0

    async def __call__(self, instance_id):
        self.asked[instance_id] += 1
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await trio.sleep(self.takes)
        finally:
            self._now -= 1
        if instance_id in self.gives:
            answer = self.gives[instance_id]
            if isinstance(answer, BaseException):
                raise answer
            return answer
        if instance_id in self.known:
            return Instance(instance_id, "fake", FakeSettings(instance_id))
        return None
