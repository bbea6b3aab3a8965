"""Counts what became of the envelopes and attempts of one instance. Never waits."""

from __future__ import annotations

from typing import Any

import attrs

from gateway_core.contract.envelopes import Disposition, Receipt
from gateway_core.contract.verdicts import Verdict


@attrs.define(eq=False)
class Counts:
    """Counted for as long as the instance is there.

    answered      attempts that the platform said yes to; `failed`: the others by (class, reason)
    foreseen      attempts that a limit refused while something that they drew on was closed
    degradations  envelopes delivered with something lost of their look, by what was lost
    """

    accepted: int = 0
    recovered: int = 0
    answered: int = 0
    foreseen: int = 0
    unforeseen: int = 0
    possible_duplicates: int = 0
    refused: dict[str, int] = attrs.field(factory=dict)
    dispositions: dict[Disposition, int] = attrs.field(factory=dict)
    failed: dict[tuple[str, str], int] = attrs.field(factory=dict)
    degradations: dict[str, int] = attrs.field(factory=dict)

    def refuse(self, error: BaseException) -> None:
        """An envelope was refused."""
        _count(self.refused, type(error).__name__)

    def fail(self, verdict: Verdict) -> None:
        """An attempt failed."""
        _count(self.failed, (verdict.error_class.value, verdict.reason.value))

    def limit(self, *, foreseen: bool) -> None:
        """A limit refused an attempt."""
        self.foreseen += foreseen
        self.unforeseen += not foreseen

    def end(self, receipt: Receipt) -> None:
        """An envelope ended."""
        dispositions, disposition = self.dispositions, receipt.disposition
        dispositions[disposition] = dispositions.get(disposition, 0) + 1
        self.possible_duplicates += receipt.possible_duplicate
        for what in set(receipt.degradations):
            _count(self.degradations, what)
        for part in receipt.parts:
            if part.degraded:
                _count(self.degradations, "planned")
                break

    @property
    def attempts(self) -> dict[tuple[str, str], int]:
        """Attempts ended by (class, reason); ("none", "") are those answered."""
        return ({("none", ""): self.answered} if self.answered else {}) | self.failed


def _count(counts: dict[Any, int], key: object) -> None:
    counts[key] = counts.get(key, 0) + 1
