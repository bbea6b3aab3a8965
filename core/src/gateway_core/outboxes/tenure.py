"""What an outbox that several processes share tells each of them about itself and the others.

An engine for several processes has the methods of `Shared`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from gateway_core.contract.envelopes import Priority


@attrs.frozen(kw_only=True)
class Tenure:
    """The process's share in the outbox, now and since it opened it.

    owns       whether it owns the outbox, or accounts in it
    lease      seconds for which its lease still runs; 0: it has none
    accounts   how many it owns, of those that are spread over processes
    takeovers  how often it became the owner of the outbox, including at its opening; if accounts
               are spread, how many it took over
    handovers  how many of these it gave up to others or when it closed
    lost       accounts that turned out to belong to another process
    fenced     transactions that were refused because another process owned the account or outbox
    taken      envelopes and questions that other processes handed over and this one took
    waited     seconds that all of these had waited since they were handed over
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


class Shared(Protocol):
    """The methods of an outbox that several processes share. None of them waits."""

    def tenure(self) -> Tenure:
        """The process's share in the outbox, for statistics."""
        ...

    def share_count(self, classes: Mapping[Priority, int]) -> Mapping[Priority, int]:
        """Tell the other processes how many unfinished envelopes this one counts, by class.

        Returns how many the other owners count; the numbers may be some seconds old.
        """
        ...
