"""Converts between the outbox's values and the rows of its tables. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, get_args

import attrs
import msgspec

from gateway_contrib.durable.damage import DAMAGE, check_counts, check_times, damaged, intact
from gateway_core import Disposition, Verdict
from gateway_core.outboxes import (
    OUTBOX_BROKE,
    STREAMS,
    Call,
    Entry,
    Envelope,
    MessageRef,
    Part,
    Priority,
    Receipt,
    Send,
    Standing,
    StepRecord,
    StepShape,
    StoredEntry,
    Stream,
    fast_init,
    from_json,
    log_event,
    position_of,
    to_json,
)

Row: TypeAlias = tuple[Any, ...]

ENTRY_COLUMNS = (
    "seq", "id", "instance", "room", "position", "due", "accepted_at", "deadline", "fingerprint",
    "class", "entry", "shapes", "filed", "stream",
)  # fmt: skip
STEP_COLUMNS = (
    "seq", "serial", "number", "started", "attempts", "maybe_sent", "transforms", "first_at",
    "not_before", "outcome", "message_id", "made",
)  # fmt: skip
KEY_COLUMNS = ("instance", "room", "operation", "key", "seq", "ended_at", "hashed")
REVISION_COLUMNS = ("id", "instance", "room", "ended_at", "ref")
MOVE_COLUMNS = ("instance", "room", "moved_to", "moved_at")
CLOSURE_COLUMNS = ("instance", "operation", "until", "wait")
SPENT_COLUMNS = ("instance", "at", "standings")
GROWN_COLUMNS = ("seq", "number", "text")
SETTLED = frozenset({Disposition.DELIVERED, Disposition.SUPERSEDED, Disposition.CANCELLED})
"""Dispositions after which nobody will want to try again; only the receipt stays stored."""


decode: Callable[[str | bytes], Any] = msgspec.json.decode
_encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


_PLAIN: Mapping[str, Callable[..., Send | Call]] = {
    "send": fast_init(Send),
    "call": fast_init(Call),
}
"""Kinds of envelopes whose fields have the same values as in JSON."""
_OF_TYPE: Mapping[type, Sequence[str]] = {
    float: ("ttl", "not_before", "deadline"),
    int: ("ttl", "not_before", "deadline"),
    bool: ("link_previews", "silent", "ephemeral", "repeat_safe"),
    dict: ("extra", "arguments"),
    str: (
        "instance_id", "external_room_id", "key", "text", "thread_id", "reply_to", "collapse",
        "method", "priority", "order", "on_unknown", "on_conflict", "format", "on_file_error",
    ),
}  # fmt: skip
_AS_IN_JSON = frozenset((name, kind) for kind, names in _OF_TYPE.items() for name in names)
"""Those fields, with the types of their values. An envelope with any other field or type, which few
have since defaults are left out, is read by `from_json`."""
_CLASSES = frozenset({None, *get_args(Priority)})
_IN_ORDER = {s.priority: number for number, s in enumerate(STREAMS) if not s.alone}
_NUMBERS = {stream: number for number, stream in enumerate(STREAMS)}
_entry, _made_part, _stored = fast_init(Entry), fast_init(Part), fast_init(StoredEntry)
_PART_DEFAULTS = ((), 1, False, False, 0)
"""The end of a part that is left out: `files`, `cost`, `fixed`, `repeated` and `captioned`."""
_VERSION = to_json(Call(instance_id="i", external_room_id="r", method="m"))["version"]


def encode(value: Any) -> str:
    """The value as JSON. A lone surrogate, which no file can store, becomes `?`.

    `json` also writes texts and numbers of a class of their own.
    """
    try:
        return _encode(value).decode()
    except (TypeError, UnicodeEncodeError):
        return clean(json.dumps(value, ensure_ascii=False))


def text_of(stored: str | bytes) -> str:
    """The text of a value that an engine may have read as bytes."""
    return stored if isinstance(stored, str) else str(stored, "utf-8", "replace")


def clean(text: str) -> str:
    """The text as a file can store it, without lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def entry_row(entry: Entry, seq: int) -> Row:
    """A row of `ENTRY_COLUMNS`."""
    envelope, due = entry.envelope, entry.due
    position = seq if entry.sequence is None else entry.sequence
    plan = [plain_part(part) for part in entry.plan]
    content = [to_json(envelope), plan]
    moved = entry.asked_room is not None
    if entry.files or entry.member is not None or not entry.voted or moved:
        content += [entry.trace, [entry.member, entry.files, entry.voted]]
        if moved:  # the previous release does not read this, and finds the key in its table
            content.append(entry.asked_room)
    elif entry.trace:
        content.append(entry.trace)
    return (
        seq, entry.id, envelope.instance_id, envelope.external_room_id, position, due,
        entry.accepted_at, entry.deadline, entry.fingerprint, entry.priority, encode(content),
        None, 0 if due is None else 1,
        _IN_ORDER[entry.priority or envelope.priority] if envelope.order == "room"
        else _NUMBERS[entry.stream],
    )  # fmt: skip


def numbers_of(streams: Iterable[Stream]) -> list[int]:
    """The numbers by which these streams are stored."""
    return [_NUMBERS[stream] for stream in streams]


def priority_of(number: int) -> Priority:
    """The class of the stream that has this number; the usual class for any other number."""
    return STREAMS[number].priority if 0 <= number < len(STREAMS) else STREAMS[1].priority


def stream_of(entry: str | bytes, priority: Priority | None) -> int:
    """The number of the stream of the stored `entry`; the usual stream's if it is damaged.

    priority  the class that a policy gave it; None: none did
    """
    try:
        envelope = decode(entry)[0]
        alone = envelope["order"] == "none" and "target" not in envelope
        return _NUMBERS[Stream(priority or envelope["priority"], alone=alone)]
    except DAMAGE:
        return 1


def filed(row: Row) -> Row:
    """The same row of `ENTRY_COLUMNS`, marked to be in every index."""
    return (*row[:12], 1, *row[13:])


def entry_of(row: Row) -> Entry:
    """The entry of a row of `ENTRY_COLUMNS`.

    Raises `FormatVersionError` or `Invalid` if this release cannot read it.
    """
    seq, name, _, _, _, due, accepted_at, deadline, fingerprint, priority, text, *_ = row
    try:
        envelope, plan, *more = decode(text)  # earlier releases stored no trace
        content, parts = _envelope(envelope), tuple([part_of(part) for part in plan])
        member, files, voted = _beside(*more[1]) if len(more) > 1 else (None, (), True)
        asked_room = more[2] if len(more) > 2 else None  # noqa: PLR2004 - after the two before
        if position_of(name) != seq:
            raise damaged("its id is none")
        check_times(accepted_at, deadline, due)
        check_class(priority)
    except DAMAGE as error:
        raise damaged(error) from error
    return _entry(
        id=name,
        envelope=content,
        plan=parts,
        accepted_at=accepted_at,
        deadline=deadline,
        priority=priority,
        fingerprint=text_of(fingerprint),
        due=due,
        trace=more[0] if more else "",
        member=member,
        files=files,
        voted=voted,
        asked_room=asked_room,
    )


def check_class(priority: str | None) -> None:
    """Raise `ValueError` if a policy cannot have given an envelope this class; None: none did."""
    if priority not in _CLASSES:
        raise ValueError(priority)


def _beside(
    member: Sequence[Any] | None,
    files: Sequence[str],
    voted: bool = True,
) -> tuple[tuple[str, int] | None, tuple[str, ...], bool]:
    """The entry's member, the bytes that it needs, and whether policies have voted."""
    if member is None:
        return None, tuple(files), voted
    group, number = member
    return (group, number), tuple(files), voted


def _envelope(plain: dict[str, Any]) -> Envelope:
    """The envelope. If this release wrote it, its fields are not checked one by one."""
    name, version = plain.pop("kind"), plain.pop("version")
    kind = _PLAIN.get(name)
    plainly = _AS_IN_JSON.issuperset(zip(plain, map(type, plain.values()), strict=True))
    if kind is not None and version == _VERSION and plainly:
        with suppress(TypeError, ValueError):  # otherwise `from_json` says what is wrong
            return kind(**plain)
    plain |= {"kind": name, "version": version}
    return from_json(Envelope, plain)


def plain_part(part: Part) -> tuple[Any, ...]:
    """A part of a plan as it is stored. Defaults at its end, which most parts have, are left out.

    The previous release reads as far as `cost`.
    """
    head = (part.payload, part.span, part.digest, part.degraded)
    if part.captioned:
        return (*head, part.files, part.cost, part.fixed, part.repeated, part.captioned)
    if part.fixed or part.repeated:
        return (*head, part.files, part.cost, part.fixed, part.repeated)
    if part.cost != 1:
        return (*head, part.files, part.cost)
    return (*head, part.files) if part.files else head


def part_of(plain: Sequence[Any]) -> Part:
    """A part of a plan. Raises ValueError or TypeError if it is not one."""
    payload, (start, end), digest, degraded, *more = plain
    check_counts(start, end)
    if not (isinstance(payload, dict) and isinstance(digest, str)):
        raise TypeError
    span, lost = (start, end), tuple(degraded)
    if not more:
        return _made_part(payload=payload, span=span, digest=digest, degraded=lost)
    more += _PART_DEFAULTS[len(more) :]
    files, cost, fixed, repeated, captioned, *_ = more
    return _made_part(
        payload=payload,
        span=span,
        digest=digest,
        degraded=lost,
        files=tuple(files),
        cost=cost,
        fixed=bool(fixed),
        repeated=bool(repeated),
        captioned=captioned,
    )


def stored_of(row: Row, steps: Sequence[Row], grown: tuple[int, str] | None = None) -> StoredEntry:
    """The entry with its step records, and its newest grown text. Raises as `entry_of`."""
    if row[11] is None and not steps and grown is None:
        return _stored(entry=entry_of(row), position=row[4])
    with intact():
        shapes = decode(row[11]) if row[11] is not None else None
        return StoredEntry(
            entry=entry_of(row),
            position=row[4],
            records=tuple(map(record_of, steps)),
            shapes=tuple(from_json(StepShape, shape) for shape in shapes) if shapes else None,
            grown=grown,
        )


def record_row(seq: int, record: StepRecord) -> Row:
    """A row of `STEP_COLUMNS`."""
    return (
        seq, record.serial, record.number, int(record.started), record.attempts,
        record.maybe_sent, record.transforms, record.first_at, record.not_before, record.outcome,
        record.message_id and clean(record.message_id),
        encode([record.more, record.files]) if record.more or record.files else None,
    )  # fmt: skip


def record_of(row: Row) -> StepRecord:
    """The record of a row of `STEP_COLUMNS`."""
    more, files = decode(row[11]) if row[11] else ((), ())
    check_counts(row[2], *row[4:7])
    check_times(*row[7:9])
    return StepRecord(
        serial=row[1],
        number=row[2],
        started=bool(row[3]),
        attempts=row[4],
        maybe_sent=row[5],
        transforms=row[6],
        first_at=row[7],
        not_before=row[8],
        outcome=row[9],
        message_id=row[10],
        more=tuple(more),
        files=tuple(files),
    )


def not_begun(row: Row) -> Row:
    """The row of an attempt that was recorded as begun and then did not begin."""
    return (*row[:2], row[2] - 1, 0, *row[4:])


def shapes_text(shapes: Sequence[StepShape]) -> str:
    """All steps as one JSON text."""
    return encode([to_json(shape) for shape in shapes])


def end_row(seq: int, receipt: Receipt) -> Row:
    """An ending's row: number, disposition, reason, platform's words, time, and receipt."""
    verdict = receipt.verdict
    reason, raw = (str(verdict.reason), clean(verdict.raw)) if verdict is not None else ("", "")
    return (
        seq, str(receipt.disposition), reason, raw, receipt.ended_at, _receipt_text(receipt),
    )  # fmt: skip


def _receipt_text(receipt: Receipt) -> str:
    """The receipt as JSON; without its result and bucket reports if they cannot be made into JSON.

    It is stored in any case, since the next process run sends an envelope again if its end is not
    stored.
    """
    try:
        return encode(to_json(receipt))
    except Exception as error:  # noqa: BLE001 - the interface lets nothing raise here
        log_event(OUTBOX_BROKE, method="finished", error=type(error).__name__, where=None)
    bare = [attrs.evolve(part, verdict=_bare(part.verdict)) for part in receipt.parts]
    verdict = _bare(receipt.verdict)
    return encode(to_json(attrs.evolve(receipt, result=None, verdict=verdict, parts=tuple(bare))))


def _bare(verdict: Verdict | None) -> Verdict | None:
    if verdict is None:
        return None
    return attrs.evolve(verdict, buckets=(), retry_after=None, raw=clean(verdict.raw))


def spent_row(instance_id: str, at: float, standings: Sequence[Standing]) -> Row:
    """The row of what an account had spent when it was released."""
    return (instance_id, at, encode([to_json(standing) for standing in standings]))


def standings_of(text: str) -> list[Standing]:
    """The standings in the text of such a row. Raises as `receipt_of`."""
    with intact():
        found = [from_json(Standing, plain) for plain in decode(text)]
        for each in found:
            check_times(each.closed, each.tick, *(at for at, _ in each.back))
            check_counts(each.count, *(count for _, count in each.back))
    return found


def revision_row(ref: MessageRef, ended_at: float) -> Row:
    """The row of a message as an edit left it."""
    text = encode(to_json(ref))
    return (ref.envelope_id, ref.instance_id, ref.external_room_id, ended_at, text)


def ref_of(text: str | bytes) -> MessageRef:
    """The ref in its JSON. Raises as `receipt_of`."""
    with intact():
        return from_json(MessageRef, decode(text))


def receipt_of(text: str | bytes) -> Receipt:
    """The receipt in its JSON. Raises `FormatVersionError` or `Invalid`."""
    with intact():
        return from_json(Receipt, decode(text))
