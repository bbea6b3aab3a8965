"""Makes the entries, receipts and process runs that the tests of the contract share."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from gateway_core.contract.envelopes import Disposition, Part, Receipt, Send
from gateway_core.contract.ids import Ids
from gateway_core.outboxes.records import Entry, StoredEntry

START = 1_700_000_000.0
_WHOLE: dict[str, Any] = {
    "payload": {"text": "x"},
    "span": (3, 9),
    "digest": "d",
    "degraded": ("formatting",),
    "files": (1, 0),
    "cost": 2,
    "fixed": True,
    "repeated": True,
    "captioned": 1,
}
"""A value for each field of a part that is not the default."""
PARTS = (
    Part(**_WHOLE),
    *(Part(payload={"text": name}, **{name: _WHOLE[name]}) for name in list(_WHOLE)[1:]),
)
"""A part with all of its fields, and parts with one of them each."""


class Entries:
    """Makes entries as the gateway would."""

    def __init__(self) -> None:
        self._ids = Ids(Random("contract"))  # noqa: S311 - ids of tests
        self.count = 0

    def __call__(
        self, text: str, *, instance: str = "bot", room: str = "room", **fields: Any
    ) -> Entry:
        """An entry of one part."""
        self.count += 1
        at = START + self.count
        due = fields.pop("due", None)
        envelope = Send(
            instance_id=instance, external_room_id=room, text=text, not_before=due, **fields
        )
        return Entry(
            id=self._ids.next(at),
            envelope=envelope,
            plan=(Part(payload={"text": text, "n": [1, None, 0.5]}, span=(0, len(text))),),
            accepted_at=at,
            deadline=at + 3600.0,
            fingerprint="print" if envelope.key is not None else "",
            due=due,
            trace=f"00-{self.count:032x}-{self.count:016x}-01",
        )


def receipt_of(
    entry: Entry, disposition: Disposition = Disposition.DELIVERED, **fields: Any
) -> Receipt:
    """The receipt of the entry, with this disposition."""
    return Receipt(
        envelope_id=entry.id,
        instance_id=entry.envelope.instance_id,
        external_room_id=entry.envelope.external_room_id,
        disposition=disposition,
        accepted_at=entry.accepted_at,
        ended_at=fields.pop("ended_at", entry.accepted_at + 1.0),
        **fields,
    )


def texts(stored: Sequence[StoredEntry]) -> list[str]:
    """The texts of the entries."""
    return [getattr(one.entry.envelope, "text", "") for one in stored]


class Contract:
    """The methods that authors give: process runs of their outbox."""

    def process_run(self) -> Any:
        """An async context manager whose value is the outbox of one process."""
        raise NotImplementedError

    def killed_run(self) -> Any:
        """Like `process_run`, but its end writes nothing more: records not awaited may be lost."""
        pytest.skip("not tried: this outbox has no `killed_run`")

    def filled(self, outbox: Any) -> Any:
        """An async context manager: inside it, the open outbox's store has no space left.

        Entries of 100,000 characters are refused. Awaited calls are refused as well after reports
        that need as much space. After the block there is space again.
        """
        raise NotImplementedError

    def stalled(self, outbox: Any) -> Any:
        """An async context manager: inside it, the open outbox's store answers no write.

        When the block is left, pending calls are carried out and answered.
        """
        raise NotImplementedError

    @pytest.fixture
    def entry(self) -> Entries:
        """Makes entries."""
        return Entries()
