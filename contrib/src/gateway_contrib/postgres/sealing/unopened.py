"""Rows that applications handed over, sealed with keys that this process lacks.

They stay where they are, and hold up no others: a process that has the key takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_contrib.durable.sealing.keyring import key_in
from gateway_core.outboxes import OUTBOX_KEY_MISSING, OutboxError, log_event

MOST = 1_000
"""Rows that are reported, each once; beyond them all that is sealed with the same keys is passed
over unreported."""
PASSED_OVER = """ AND NOT (substr(envelope, 1, 9) = ANY (%(lacking)s::text[])
    AND (%(full)s OR number = ANY (%(unopened)s::bigint[])))"""
"""The condition of a look that passes them over. One that is sealed anew meanwhile is taken."""


class Unopened:
    """Which rows cannot be opened, and the keys that they need."""

    def __init__(self) -> None:
        self._instances: dict[int, str] = {}
        self._marks: set[str] = set()

    @property
    def passed_over(self) -> str:
        """The condition of a look; empty: there are none."""
        return PASSED_OVER if self._marks else ""

    @property
    def bound(self) -> Mapping[str, Any]:
        """What is bound to it."""
        full, numbers = len(self._instances) >= MOST, list(self._instances)
        return {"lacking": list(self._marks), "full": full, "unopened": numbers}

    def report(
        self, number: int, instance: str, name: str, stored: str, error: OutboxError
    ) -> None:
        """A row needs a key that is not there.

        name  the id by which whoever handed it over knows it
        """
        self._marks.add(stored[:9])
        if number not in self._instances and len(self._instances) < MOST:
            self._instances[number] = instance
            key = key_in(stored)
            log_event(
                OUTBOX_KEY_MISSING, instance=instance, envelope=name, key=key, error=str(error)
            )

    def lost(self, instance: str) -> None:
        """The account is another owner's."""
        for number in [each for each, of in self._instances.items() if of == instance]:
            del self._instances[number]

    def anew(self) -> None:
        """The outbox is had again: others may have taken them."""
        self._instances.clear()
        self._marks.clear()
