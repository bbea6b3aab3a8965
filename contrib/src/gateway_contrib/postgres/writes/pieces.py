"""Splits a batch into batches of one change each, in the order of writing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway_contrib.durable.batch import WHOEVER_WAITS, Batch

_BY_SEQ = ("entered", "postponed", "shapes", "grown")
_BY_NAME = ("revisions", "moves", "closures", "answers", "spent")


def pieces_of(batch: Batch) -> Iterator[tuple[Batch, int]]:
    """Each piece, with the entry or group whose caller gets the error if the piece is refused."""
    if batch.withdrawn:
        yield Batch(withdrawn=batch.withdrawn), WHOEVER_WAITS
    yield from _awaited(batch)
    for place, row in list(batch.steps.items()):
        yield Batch(steps={place: row}), place[0]
    yield from _told(batch, _BY_SEQ)
    for seq, row in batch.ended.items():
        freed = {seq: None} if seq in batch.freed else {}
        yield Batch(ended={seq: row}, freed=freed), WHOEVER_WAITS
    yield from _told(batch, _BY_NAME)


def _awaited(batch: Batch) -> Iterator[tuple[Batch, int]]:
    for (what, seq), it in batch.beside.items():
        own = {seq: batch.entries[seq]} if what == "entry" and seq in batch.entries else {}
        keys = {seq: batch.keys[seq]} if what in ("entry", "group") and seq in batch.keys else {}
        yield Batch(beside={(what, seq): it}, entries=own, keys=keys), seq
    for seq, row in list(batch.entries.items()):
        if ("entry", seq) not in batch.beside:
            keys = {seq: batch.keys[seq]} if seq in batch.keys else {}
            yield Batch(entries={seq: row}, keys=keys), seq


def _told(batch: Batch, names: Iterable[str]) -> Iterator[tuple[Batch, int]]:
    for name in names:
        for key, row in getattr(batch, name).items():
            one = Batch()
            getattr(one, name)[key] = row
            yield one, WHOEVER_WAITS
