"""How this process stands with an outbox that several processes share, for statistics.

An engine for several processes offers it by a method `tenure`, which takes nothing and never waits.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Tenure:
    """What this process has of the outbox, and had since it opened it.

    owns       whether it owns the outbox, or accounts in it
    lease      seconds for which its lease still runs; 0: it has none
    accounts   how many it owns, of those that are spread over processes
    takeovers  how often it came to own the outbox, at its opening as well; of accounts that are
               spread, how many it took
    handovers  how many of those it gave up to others, or as it left off
    lost       accounts that turned out to be another process's
    fenced     transactions that were refused, since another process owned what they were about
    taken      what other processes handed over, and this one took on
    waited     seconds that all of that had waited since it was handed over
    """

    owns: bool = False
    lease: float = 0.0
    accounts: int = 0
    takeovers: int = 0
    handovers: int = 0
    lost: int = 0
    fenced: int = 0
    taken: int = 0
    waited: float = 0.0
