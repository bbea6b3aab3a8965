"""Logs, ever more rarely, the failures of an outbox that is asked again and again."""

from __future__ import annotations

import attrs

from gateway_core.contract.errors import OutboxError
from gateway_core.telemetry import OUTBOX_FAILED, is_told, log_event

MOST_CAUSES = 16
"""How many causes are counted at a time."""


@attrs.define(eq=False)
class Troubles:
    """The failures of one task since its work last succeeded.

    times  how often, by cause; empty: there were no failures
    """

    times: dict[str, int] = attrs.field(factory=dict, init=False)

    def failed(self, error: OutboxError) -> None:
        """Log the first failure of one cause, the 10th, the 100th and so on."""
        cause = str(error)
        if cause not in self.times and len(self.times) >= MOST_CAUSES:
            self.times.clear()
        self.times[cause] = times = self.times.get(cause, 0) + 1
        if is_told(times):
            log_event(OUTBOX_FAILED, error=cause, times=times)

    def over(self) -> None:
        """The work succeeded."""
        self.times.clear()
