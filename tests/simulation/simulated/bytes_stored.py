"""Checks stored bytes: none are missing, and none stay that nobody needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from simulated.grouped import has_failed
from simulated.ledger import Entry, Ledger


def needed_by(entries: Iterable[Entry]) -> set[str]:
    """The digests of all bytes that these entries have."""
    return {
        file.digest
        for entry in entries
        for file in getattr(entry.envelope, "files", None) or ()
        if file.digest
    }


def expect_stored(ledger: Ledger, stored: Collection[str], *, over: bool) -> None:
    """Check that all needed bytes are stored and, once all is over, that no others are.

    over  nothing is unfinished, and nobody hands anything in
    """
    if ledger.setup.files is None:
        return
    missing = needed_by(ledger.unfinished) - set(stored)
    ledger.expect(not missing, f"bytes that are needed are gone: {sorted(missing)}")
    if over:
        left = set(stored) - needed_by(_kept(ledger))
        ledger.expect(not left, f"bytes that nobody needs are left: {sorted(left)}")


def _kept(ledger: Ledger) -> list[Entry]:
    """The failed entries whose bytes are kept for a retry: in a file all, else those of groups."""
    failed = [entry for entry in ledger.entries if has_failed(entry)]
    if ledger.setup.durable:
        return failed
    groups = ledger.groups
    return [e for e in failed if (g := groups.of(e.envelope)) is not None and not g.cancelled]
