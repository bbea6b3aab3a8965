"""Opens when so many of an instance's attempts fail that it seems to be down. Sans-I/O."""

from __future__ import annotations

from collections import deque

import attrs

from gateway_core.backoff import Backoff
from gateway_core.contract.problems import CheckedSettings
from gateway_core.contract.validators import all_of, at_least, number, whole

SHARE = 0.5
"""The share of failures from which the circuit opens: below it a platform still delivers."""
JITTER = 0.2
"""The share of a wait between probes that is random, so that instances do not probe in step."""
GROWTH = 1.08
"""The wait grows by this factor with each failed probe: to a thirteenth of the outage at most."""
LONGEST_AWAITED = 15.0
"""Seconds between probes at the most, while messages wait."""


@attrs.frozen(kw_only=True)
class CircuitSettings(CheckedSettings):
    """When an instance's circuit opens, and how often it is tried again.

    window      newest outcomes of which half must have failed for the circuit to open
    probe_base  seconds until the first probe, or half as many in an outage; up to a fifth less
    probe_cap   seconds between probes at the most; in an outage 15 while messages wait
    """

    window: int = attrs.field(default=20, validator=whole(least=1))
    probe_base: float = attrs.field(default=1.0, validator=number(above=0))
    probe_cap: float = attrs.field(
        default=60.0, validator=all_of(number(above=0), at_least("probe_base"))
    )

    @property
    def backoff(self) -> Backoff:
        """The wait between probes of a suspended instance, also if attempts serve as probes."""
        return Backoff(base=self.probe_base, cap=self.probe_cap, jitter=JITTER)

    @property
    def doubtful(self) -> Backoff:
        """The wait between probes while only messages wait whose repeat may make a copy."""
        return attrs.evolve(self.backoff, cap=min(self.probe_cap, LONGEST_AWAITED))

    @property
    def outage(self) -> Backoff:
        """The wait between probes in an outage: a small share of how long it has lasted."""
        return attrs.evolve(self.backoff, base=self.probe_base / 2, growth=GROWTH)

    @property
    def awaited(self) -> Backoff:
        """The wait between probes in an outage while messages wait for its end."""
        return attrs.evolve(self.outage, cap=min(self.probe_cap, LONGEST_AWAITED))


class Circuit:
    """The newest outcomes of one instance; `failures` of them failed."""

    __slots__ = ("_outcomes", "_settings", "failures")

    def __init__(self, settings: CircuitSettings) -> None:
        self._settings = settings
        self._outcomes: deque[bool] | None = None  # made with the first failure: it takes 760 bytes
        self.failures = 0

    def worked(self) -> None:
        """An attempt was answered by a platform that works."""
        if self.failures:
            self._note(failed=False)

    def failed(self) -> bool:
        """An attempt failed as in an outage; returns True when the circuit should open.

        Whatever came before the first failure worked, or was too little to be an outage.
        """
        self._note(failed=True)
        return self.failures >= SHARE * self._settings.window

    def reset(self) -> None:
        """The instance works again: begin anew."""
        self._outcomes = None
        self.failures = 0

    def _note(self, *, failed: bool) -> None:
        window = self._settings.window
        if self._outcomes is None:
            self._outcomes = deque(maxlen=window)
        if len(self._outcomes) == window and self._outcomes[0]:
            self.failures -= 1
        self._outcomes.append(failed)
        self.failures += failed
