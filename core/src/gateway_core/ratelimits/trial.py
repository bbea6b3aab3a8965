"""Finds out, by one attempt at a time, whether an account is still limited. Sans-I/O.

If several rooms are refused together, and the platform does not say why, the account may be
limited. A platform may also name a wait of hours. Neither is believed for long.
"""

from __future__ import annotations

import attrs

from gateway_core.clock import SECOND
from gateway_core.ratelimits.bucket import Bucket

FIRST = SECOND // 2
"""How long a guess is believed; twice as long after each attempt that is refused nevertheless."""
LONGEST_BELIEVED = 300 * SECOND
"""After so long the platform is asked again, whatever it said."""
MOST_DOUBLED = 16


@attrs.define(eq=False)
class Trial:
    """Lets one attempt at a time find out whether the account still is limited.

    gate   closed until the next attempt may ask; then open for one
    since  an attempt that began before this time, or at it, tells nothing
    """

    gate: Bucket
    since: int = -1
    _asked: int = 0

    def guess(self, until: int, now: int) -> None:
        """The account seems to be limited, until `until` at the most."""
        self._close(min(until, now + (FIRST << min(self._asked, MOST_DOUBLED))), now)
        self._asked += 1

    def said(self, until: int, now: int) -> None:
        """The platform says that the account is limited, for longer than is believed."""
        self._close(until, now)

    def _close(self, until: int, now: int) -> None:
        self.since = now
        self.gate.close(min(until, now + LONGEST_BELIEVED))


def trial_of(instance_id: str) -> Trial:
    """A trial that has not begun."""
    return Trial(Bucket(f"trial of {instance_id}", 1, shared=True))
