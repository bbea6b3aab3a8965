"""Reports and passes over handed-over rows that are sealed with keys that this process lacks.

The rows stay where they are, and hold up no others; a process that has the key takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_contrib.durable.sealing.keyring import key_in
from gateway_core.outboxes import OUTBOX_KEY_MISSING, OutboxError, log_event

MOST = 1_000
"""Rows that are reported, each once; further rows that are sealed with the same keys are passed
over without a report."""
PASSED_OVER = """ AND NOT (substr(envelope, 1, 9) = ANY (%(lacking)b::text[])
    AND (%(full)s OR number = ANY (%(unopened)b::bigint[])))"""
"""A look's condition that passes over these rows. A row that is sealed anew meanwhile is taken."""


class Unopened:
    """Which rows cannot be opened, and the keys that they need."""

    def __init__(self) -> None:
        self._instances: dict[int, str] = {}
        self._marks: set[str] = set()

    @property
    def passed_over(self) -> str:
        """The condition for a look; empty: there are no such rows."""
        return PASSED_OVER if self._marks else ""

    @property
    def bound(self) -> Mapping[str, Any]:
        """The values bound to the condition."""
        full, numbers = len(self._instances) >= MOST, list(self._instances)
        return {"lacking": list(self._marks), "full": full, "unopened": numbers}

    def report(
        self, number: int, instance: str, name: str, stored: str, error: OutboxError
    ) -> None:
        """Report that a row needs a key that is not there.

        name  the id by which the application that handed the row over knows it
        """
        self._marks.add(stored[:9])
        if number not in self._instances and len(self._instances) < MOST:
            self._instances[number] = instance
            key = key_in(stored)
            log_event(
                OUTBOX_KEY_MISSING, instance=instance, envelope=name, key=key, error=str(error)
            )

    def lost(self, instance: str) -> None:
        """Forget the account's rows, since it has another owner now."""
        for number in [each for each, of in self._instances.items() if of == instance]:
            del self._instances[number]

    def anew(self) -> None:
        """Forget all rows: the outbox is owned anew, and others may have taken them."""
        self._instances.clear()
        self._marks.clear()
