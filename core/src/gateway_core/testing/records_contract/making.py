"""Makes groups, members and bytes for the tests of the contract."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any, ClassVar

import attrs
import pytest

from gateway_core.outboxes.records import Entry, Group, Member, Request
from gateway_core.outboxes.stored_bytes import digest_of_bytes
from gateway_core.testing.outbox_contract import Entries

ERASE = Request(kind="erase", number=1, instance_id="bot", room="room")


class RecordsRuns:
    """The methods that authors give: process runs of their outbox."""

    def process_run(self) -> Any:
        """An async context manager whose value is the outbox of one process."""
        raise NotImplementedError

    def killed_run(self) -> Any:
        """Like `process_run`, but its end writes nothing more: records not awaited may be lost."""
        pytest.skip("not tried: this outbox has no `killed_run`")

    @pytest.fixture
    def entry(self) -> Entries:
        """Makes entries."""
        return Entries()


def group_of(entry: Entries, size: int, text: str = "news", **fields: Any) -> Group:
    """A group of `size` members."""
    files, instance = fields.pop("files", ()), fields.pop("instance", "bot")
    made = entry(text, room="", instance=instance, **fields)
    return Group(
        id=made.id,
        instance_id=instance,
        template=made.envelope,  # type: ignore[arg-type]  # it is a Send
        plan=made.plan,
        accepted_at=made.accepted_at,
        deadline=made.deadline,
        fingerprint=made.fingerprint,
        due=made.due,
        trace=made.trace,
        size=size,
        files=files,
    )


def rooms(count: int) -> list[Member]:
    """`count` members, each in a room of its own."""
    return [Member(room=f"room{number}") for number in range(count)]


def chunks(members: Sequence[Member], size: int = 3) -> Iterator[Sequence[Member]]:
    """The members in chunks of `size`."""
    for start in range(0, len(members), size):
        yield members[start : start + size]


def member_of(entry: Entries, group: Group, number: int, **fields: Any) -> Entry:
    """The entry that the member with that number becomes, in its room."""
    made = entry(group.template.text, **{"room": f"room{number}"} | fields)
    return attrs.evolve(made, member=(group.id, number))


def content(size: int) -> bytes:
    """`size` bytes that differ at every place, so that a wrong offset is noticed."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


class Stored:
    """Bytes, and their digest."""

    SMALL: ClassVar[bytes] = content(900)
    LARGE: ClassVar[bytes] = content(300_001)

    def __init__(self, whole: bytes) -> None:
        self.whole = whole
        self.digest = digest_of_bytes(whole)

    def pieces(self, size: int = 30_000) -> Iterator[bytes]:
        """The bytes in pieces of `size`."""
        for start in range(0, len(self.whole), size):
            yield self.whole[start : start + size]

    async def slowly(self, size: int = 30_000) -> AsyncGenerator[bytes, None]:
        """The bytes in pieces of `size`, asynchronously."""
        for piece in self.pieces(size):
            yield piece
