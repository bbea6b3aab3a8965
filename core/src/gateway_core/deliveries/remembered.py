"""Remembers keys of ended envelopes, each as a digest and a few bytes. Sans-I/O.

If a durable outbox has the receipts, only the envelope's id is remembered. Otherwise the receipt
itself is packed into a fifth of the object's size. The time is passed in.
"""

from __future__ import annotations

import hashlib
import marshal
import pickle
from contextlib import suppress
from typing import Any, TypeAlias

from gateway_core.contract.envelopes import (
    REF_VERSION,
    Disposition,
    MessageRef,
    PartReceipt,
    PartRef,
    Receipt,
)

Scope: TypeAlias = tuple[str, str, str, str]
"""(instance, room, operation, key)."""

GENERATIONS = 8
"""Keys are forgotten by eighths, the oldest first: this needs no list of their order."""
_DIGEST = 11
"""Bytes of a digest: two of a million keys are alike once in a hundred trillion gateways."""
_TIME = _SEQUENCE = 8


class Remembered:
    """At most `most` keys, each for `window` nanoseconds, with what the key stands for."""

    def __init__(self, most: int, window: int) -> None:
        self._each, self._window = max(1, most // GENERATIONS), window
        self._most = most
        self._generations: list[dict[bytes, bytes]] = [{}]
        self._newest: list[int] = [0]

    def __len__(self) -> int:
        return sum(map(len, self._generations))

    def put(self, scope: Scope, stands_for: bytes, since: int) -> None:
        """Remember what the key stands for, and since when."""
        self.forget_old(since)
        if len(self._generations[-1]) >= self._each:
            self._generations.append({})
            self._newest.append(since)
        while len(self) >= self._most and len(self._generations) > 1:
            del self._generations[0], self._newest[0]
        self._newest[-1] = max(since, self._newest[-1])
        since_then = since.to_bytes(_TIME, "big", signed=True)
        self._generations[-1][digest_of(scope)] = since_then + stands_for

    def get(self, scope: Scope, now: int) -> tuple[bytes, int] | None:
        """What the key stands for, and since when; None: it is new, or too old."""
        if not self._generations[-1] and len(self._generations) == 1:
            return None
        name = digest_of(scope)
        for generation in reversed(self._generations):
            found = generation.get(name)
            if found is not None:
                since = int.from_bytes(found[:_TIME], "big", signed=True)
                return None if now - since > self._window else (found[_TIME:], since)
        return None

    def forget_old(self, now: int) -> None:
        """Forget those generations that are too old as a whole."""
        while self._generations[0] and now - self._newest[0] > self._window:
            del self._generations[0], self._newest[0]
            if not self._generations:
                self._generations, self._newest = [{}], [now]


def digest_of(scope: Scope) -> bytes:
    """A digest of the key and of where it is unique."""
    instance_id, room, operation, key = scope
    lengths = f"{len(instance_id)} {len(room)} {len(operation)} "
    text = f"{lengths}{instance_id}{room}{operation}{key}"
    octets = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(octets, digest_size=_DIGEST).digest()


def packed_id(envelope_id: str) -> bytes:
    """An envelope's id in half its length."""
    with suppress(ValueError):
        short = bytes.fromhex(envelope_id)
        if short.hex() == envelope_id and short[:1] != b"+":
            return short
    return b"+" + envelope_id.encode()


def unpacked_id(packed: bytes) -> str:
    """The id that `packed_id` has packed."""
    return packed[1:].decode() if packed[:1] == b"+" else packed.hex()


def packed_place(envelope_id: str, sequence: int | None) -> bytes:
    """An envelope's id, and its order among others, unless the order follows from the id."""
    order = b"-" if sequence is None else b"+" + sequence.to_bytes(_SEQUENCE, "big", signed=True)
    return order + packed_id(envelope_id)


def unpacked_place(packed: bytes) -> tuple[str, int | None]:
    """The envelope's id, and its order; None: the order follows from the id."""
    if packed[:1] == b"-":
        return unpacked_id(packed[1:]), None
    order, name = packed[1 : 1 + _SEQUENCE], packed[1 + _SEQUENCE :]
    return unpacked_id(name), int.from_bytes(order, "big", signed=True)


def packed_receipt(fingerprint: str, receipt: Receipt) -> bytes:
    """A fingerprint and a receipt; for a message that arrived at once, they take 200 bytes."""
    plain = _plain(receipt)
    if plain is None:
        return b"+" + pickle.dumps((fingerprint, receipt), pickle.HIGHEST_PROTOCOL)
    return b"-" + marshal.dumps((fingerprint, *plain))


def unpacked_receipt(packed: bytes) -> tuple[str, Receipt]:
    """The fingerprint and the receipt."""
    kind, content = packed[:1], packed[1:]
    if kind == b"+":
        found: tuple[str, Receipt] = pickle.loads(content)  # noqa: S301 - this process packed it
        return found
    fingerprint, *plain = marshal.loads(content)  # noqa: S302 - likewise
    return fingerprint, _receipt(*plain)


def _plain(receipt: Receipt) -> tuple[Any, ...] | None:
    """The fields of a receipt of a message that arrived with no peculiarity; None: it has one."""
    ref, parts = receipt.ref, receipt.parts
    if (
        ref is None
        or receipt.disposition is not Disposition.DELIVERED
        or receipt.verdict is not None
        or receipt.possible_duplicate
        or receipt.degradations
        or receipt.transforms
        or receipt.moved_to is not None
        or receipt.replayed
        or receipt.result is not None
        or not _is_of(receipt, ref)
        or len(ref.parts) != len(parts)
    ):
        return None
    told = []
    for part, known in zip(parts, ref.parts, strict=True):
        if (
            part.outcome != "delivered"
            or part.message_id != known.message_id
            or part.degraded
            or part.verdict is not None
            or part.files
            or part.more
            or known.files
            or known.more
            or known.fixed
            or known.payload is not None
        ):
            return None
        told.append((part.index, part.message_id, part.attempts, part.span, known.digest))
    return (
        packed_id(receipt.envelope_id), receipt.instance_id, receipt.external_room_id,
        ref.thread_id, receipt.attempts, receipt.accepted_at, receipt.ended_at, told,
    )  # fmt: skip


def _is_of(receipt: Receipt, ref: MessageRef) -> bool:
    """Whether the ref is of the message as sent, and adds nothing to the receipt."""
    return (
        ref.envelope_id == receipt.envelope_id
        and ref.instance_id == receipt.instance_id
        and ref.external_room_id == receipt.external_room_id
        and not ref.revision
        and ref.extra is None
        and ref.version == REF_VERSION
        and not ref.possible_duplicate
    )


def _receipt(
    envelope_id: bytes,
    instance_id: str,
    room: str,
    thread: str | None,
    attempts: int,
    accepted_at: float,
    ended_at: float,
    told: list[tuple[int, str, int, tuple[int, int], str]],
) -> Receipt:
    name = unpacked_id(envelope_id)
    return Receipt(
        envelope_id=name,
        instance_id=instance_id,
        external_room_id=room,
        disposition=Disposition.DELIVERED,
        parts=tuple(
            PartReceipt(
                index=index, outcome="delivered", message_id=known, attempts=made, span=span
            )
            for index, known, made, span, _ in told
        ),
        ref=MessageRef(
            instance_id=instance_id,
            external_room_id=room,
            envelope_id=name,
            thread_id=thread,
            parts=tuple(
                PartRef(message_id=known, digest=digest) for _, known, _, _, digest in told
            ),
        ),
        attempts=attempts,
        accepted_at=accepted_at,
        ended_at=ended_at,
    )
