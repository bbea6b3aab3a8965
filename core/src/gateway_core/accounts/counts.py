"""What the envelopes and attempts of one instance came to. Never waits."""

from __future__ import annotations

from typing import Any

from gateway_core.contract.envelopes import Disposition, Receipt
from gateway_core.contract.verdicts import Verdict


class Counts:
    """Counted for as long as the instance is there.

    failed        attempts by (class, reason); `answered`: those that the platform said yes to
    foreseen      of those refused by a limit, the ones in flight as the first refusal came
    degradations  envelopes delivered with something lost of their look, by what was lost
    """

    __slots__ = (
        "accepted", "answered", "degradations", "dispositions", "failed", "foreseen",
        "possible_duplicates", "recovered", "refused", "unforeseen",
    )  # fmt: skip

    def __init__(self) -> None:
        self.accepted = self.recovered = self.answered = 0
        self.foreseen = self.unforeseen = self.possible_duplicates = 0
        self.refused: dict[str, int] = {}
        self.dispositions: dict[Disposition, int] = {}
        self.failed: dict[tuple[str, str], int] = {}
        self.degradations: dict[str, int] = {}

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
        if receipt.possible_duplicate:
            self.possible_duplicates += 1
        if receipt.degradations:
            for what in set(receipt.degradations):
                _count(self.degradations, what)
        for part in receipt.parts:
            if part.degraded:
                _count(self.degradations, "planned")
                break

    @property
    def attempts(self) -> dict[tuple[str, str], int]:
        """Attempts ended by (class, reason); ("none", "") are those answered."""
        answered = {("none", ""): self.answered} if self.answered else {}
        return answered | self.failed


def _count(counts: dict[Any, int], key: object) -> None:
    counts[key] = counts.get(key, 0) + 1
