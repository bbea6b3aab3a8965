"""Checks whether hooks' answers can be used, by the content of each value. Sans-I/O.

Outboxes store most of these values, telemetry names them, and later attempts use them. So they are
checked where they come in, and no code below has to doubt them. A fault is a text for people. Texts
and numbers of a class of their own become plain ones, which every outbox can store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import attrs

from gateway_core.contract.addresses import Address, Interaction
from gateway_core.contract.envelopes import Part
from gateway_core.contract.fast_init import fast_evolve
from gateway_core.contract.hookspecs import Answer, Identity, Limit, Sign
from gateway_core.contract.validators import (
    LONGEST,
    LONGEST_NAME,
    MOST,
    WIDEST,
    is_number,
    is_sendable,
    is_whole,
    name_fault,
    plain_json,
)
from gateway_core.contract.verdicts import BucketReport, Reason, Verdict
from gateway_core.plugins.plain import plain

T = TypeVar("T", Answer, Verdict, Part)
_changed_part = fast_evolve(Part)


def is_plain(answer: Answer) -> bool:
    """Whether the answer has only an id, which can be used: the common case."""
    name = answer.message_id
    if answer.buckets or answer.result is not None or answer.extra is not None:
        return False
    if answer.more or answer.files:
        return False
    return name is None or (
        type(name) is str
        and 0 < len(name) <= LONGEST_NAME
        and name.isascii()
        and name.isprintable()
    )


def fields_fault(fields: Mapping[str, Any]) -> str | None:
    """What is wrong with the platform's own fields of a message; None: nothing."""
    try:
        plain_json(fields)
    except ValueError as error:
        return f"fields of plain JSON: {error}"
    return None


def usable_answer(answer: Answer, files: int) -> tuple[Answer, list[str]]:
    """The answer without values that a platform garbled, and the faults of these values.

    The platform has accepted the message, so the message exists. An id or a bucket report that
    cannot be used is left out; so are all ids of the attempt's `files` files, which go by their
    order.
    """
    faults = []
    name = answer.message_id
    if isinstance(name, str) and (fault := name_fault(name)) is not None:
        faults.append(f"message_id {fault}")
        answer = attrs.evolve(answer, message_id=None)
    more = [fault for name in answer.more if (fault := name_fault(name)) is not None]
    if more:
        faults += [f"more {fault}" for fault in more]
        known = tuple(name for name in answer.more if name_fault(name) is None)
        answer = attrs.evolve(answer, more=known)
    if answer.files:
        unnamed = [fault for name in answer.files if (fault := name_fault(name)) is not None]
        if not unnamed and len(answer.files) != files:
            unnamed = [f"has {len(answer.files)} ids for {files} files"]
        if unnamed:
            faults += [f"files {fault}" for fault in unnamed]
            answer = attrs.evolve(answer, files=())
    buckets, unfit = usable_reports(answer.buckets)
    if unfit:
        answer = attrs.evolve(answer, buckets=buckets)
    return _of_plain(answer, "message_id", "more", "files", "buckets"), faults + unfit


def _of_plain(value: T, *names: str) -> T:
    """The value with plain texts and numbers in these fields."""
    before = [getattr(value, name) for name in names]
    made = {name: plain(each) for name, each in zip(names, before, strict=True)}
    same = all(new is old for new, old in zip(made.values(), before, strict=True))
    return value if same else attrs.evolve(value, **made)


def answer_fault(answer: Answer) -> str | None:
    """What the adapter has got wrong in the answer; None: nothing."""
    name: object = answer.message_id
    reports: object = answer.buckets
    if not isinstance(name, str | None):
        return "Answer whose message_id is a text"
    for place in ("more", "files"):
        names: object = getattr(answer, place)
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            return f"Answer whose {place} is a tuple of texts"
    extra: object = answer.extra
    if not isinstance(extra, dict | None):
        return "Answer whose extra is a table"
    if extra is not None and (fault := fields_fault(extra)) is not None:
        return f"Answer whose extra is {fault}"
    return None if isinstance(reports, Sequence) else "Answer whose buckets are a sequence"


def own_result(answer: Answer) -> tuple[Answer, list[str]]:
    """The answer with copies of its result and its `extra`, and what is wrong with the result.

    A result that no outbox could store is left out: the platform has carried out the call.
    """
    if answer.extra is not None:
        answer = attrs.evolve(answer, extra=plain_json(answer.extra))
    if answer.result is None:
        return answer, []
    try:
        return attrs.evolve(answer, result=plain_json(answer.result)), []
    except ValueError as error:
        return attrs.evolve(answer, result=None), [f"result is not plain JSON: {error}"]


def usable_verdict(verdict: Verdict) -> tuple[Verdict, list[str]]:
    """The verdict without values that a platform garbled, and the faults of these values.

    A missing `moved_to` is a fault as well: without it the message ends.
    """
    wait = verdict.retry_after
    if is_whole(wait) and wait > LONGEST:  # an int has no bound, but files have
        verdict = attrs.evolve(verdict, retry_after=LONGEST)
    verdict = _of_plain(verdict, "raw", "retry_after", "dispatched", "transform")
    moved_to = verdict.moved_to
    lost = moved_to is None and verdict.reason is Reason.ROOM_MOVED
    missing = ["moved_to is missing, which the reason room_moved needs"] if lost else []
    if moved_to is None and not verdict.buckets:
        return verdict, missing
    buckets, faults = usable_reports(verdict.buckets)
    if moved_to is not None and (fault := name_fault(moved_to)) is not None:
        faults.append(f"moved_to {fault}")
        moved_to = None
    if faults:
        verdict = attrs.evolve(verdict, moved_to=moved_to, buckets=buckets)
    return _of_plain(verdict, "moved_to", "buckets"), faults + missing


def usable_reports(
    reports: Sequence[BucketReport],
) -> tuple[tuple[BucketReport, ...], list[str]]:
    """The reports whose names and numbers can be used, and the faults of the others."""
    faults = [fault for report in reports if (fault := _report_fault(report)) is not None]
    if not faults:
        return tuple(reports), faults
    return tuple(report for report in reports if _report_fault(report) is None), faults


def _report_fault(report: BucketReport) -> str | None:
    for place in ("bucket", "provisional"):
        value = getattr(report, place)
        absent = value is None and place == "provisional"
        if not absent and (fault := name_fault(value)) is not None:
            return f"{place} {fault}"
    for place in ("limit", "remaining"):
        value = getattr(report, place)
        if value is not None and not (is_whole(value) and abs(value) <= WIDEST):
            return f"{place} of a bucket must be a whole number of at most 64 bits"
    after = report.reset_after
    if after is not None and not (is_number(after) and not abs(after) > WIDEST):
        return "reset_after of a bucket must be a number of seconds"
    return None


def usable_part(part: Part, characters: int) -> tuple[Part, str | None]:
    """The part of a text of so many characters, and what is wrong with it; None: nothing.

    Outboxes store it, and edits compare it. If its payload is not flat, it gets a copy of it.
    """
    payload: Any = part.payload
    if not _is_flat(payload):
        try:
            payload = plain_json(payload)
        except ValueError as error:
            return part, f"Part whose payload is plain JSON: {error}"
        if not isinstance(payload, dict):
            return part, "Part whose payload is a table"
        part = _changed_part(part, payload=payload)
    fault = _part_fault(part, characters)
    if fault is None and not _is_bare(part):
        part = _of_plain(part, "span", "digest", "degraded", "files", "cost", "captioned")
    return part, fault


def _is_bare(part: Part) -> bool:
    """The common case: a part of text, whose other values are plain."""
    (start, end), more = part.span, part.degraded or part.files
    return (
        not more and type(part.digest) is str and type(start) is type(end) is type(part.cost) is int
    )


def _part_fault(part: Part, characters: int) -> str | None:
    if not _is_span(part.span, characters):
        return f"Part whose span is two places in its text of {characters} characters"
    digest: object = part.digest
    usual = isinstance(digest, str) and digest.isascii() and digest.isprintable()
    if not (usual or (isinstance(digest, str) and is_sendable(digest))):
        return "Part whose digest is a text"
    lost: Any = part.degraded
    if lost != () and not (
        isinstance(lost, tuple) and all(isinstance(x, str) and is_sendable(x) for x in lost)
    ):
        return "Part whose degraded is a tuple of texts"
    if part.files != () and not _are_places(part.files):
        return "Part whose files is a tuple of places"
    if not (type(part.cost) is int or is_whole(part.cost)) or not 0 <= part.cost <= MOST:
        return "Part whose cost is a number of tokens"
    return _kind_fault(part)


def _kind_fault(part: Part) -> str | None:
    """What is wrong with what a part says of the message that it becomes."""
    flags = (name for name in ("fixed", "repeated") if not isinstance(getattr(part, name), bool))
    if wrong := next(flags, None):
        return f"Part whose {wrong} is true or false"
    place: object = part.captioned
    if place == 0 or (is_whole(place) and 0 <= place < len(part.files)):
        return None
    return "Part whose captioned is the place of one of its files"


def _is_flat(payload: object) -> bool:
    """The common case: a few ASCII texts and flags by name."""
    if type(payload) is not dict:
        return False
    for key, value in payload.items():
        if type(key) is not str or not key.isascii() or "\0" in key:
            return False
        if type(value) is str:
            if not value.isascii() or "\0" in value:
                return False
        elif value is not None and type(value) is not bool:
            return False
    return True


def _are_places(files: Any) -> bool:
    return isinstance(files, tuple) and all(is_whole(place) and place >= 0 for place in files)


def _is_span(span: Any, characters: int) -> bool:
    return (
        isinstance(span, tuple)
        and len(span) == 2  # noqa: PLR2004 - from and to
        and all(isinstance(place, int) and not isinstance(place, bool) for place in span)
        and 0 <= span[0] <= span[1] <= characters
    )


def overlap_fault(parts: Sequence[Part]) -> str | None:
    """Which two parts show the same piece of the text; None: none do.

    Such a piece would be sent again if one of them is planned anew. An empty span shows nothing.
    """
    spans = [(part.span, place) for place, part in enumerate(parts)]
    shown = sorted(each for each in spans if each[0][0] < each[0][1])
    for (first, one), (second, other) in pairwise(shown):
        if second[0] < first[1]:
            places = f"part {one} has {first} and part {other} has {second}"
            return f"Parts whose spans do not overlap: {places}"
    return None


def limit_fault(limit: Limit) -> str | None:
    """What is wrong with a limit that its class does not check; None: nothing."""
    fault = name_fault(limit.bucket)
    return None if fault is None else f"Limit whose bucket is a name: it {fault}"


def same_buckets(limits: Sequence[Limit]) -> bool:
    """Whether two of the limits are of one bucket."""
    return len({limit.bucket for limit in limits}) < len(limits)


def usable_address(address: Address) -> tuple[Address, str | None]:
    """The address in plain texts, and what is wrong with it; None: nothing."""
    for field in attrs.fields(Address):
        value: object = getattr(address, field.name)
        if field.name == "direct":
            fault = None if isinstance(value, bool) else "true or false"
        elif field.name == "interaction":
            fault = None if isinstance(value, Interaction | None) else "an Interaction"
        else:
            absent = value is None and field.default is None
            fault = None if absent or isinstance(value, str) else "a text"
        if fault is not None:
            return address, f"Address whose {field.name} is {fault}"
    return plain(address), None


def sign_fault(sign: Sign) -> str | None:
    """What is wrong with a sign; None: nothing."""
    if (fault := name_fault(sign.method)) is not None:
        return f"Sign whose method is a name: it {fault}"
    try:
        tables = [plain_json(sign.arguments), {} if sign.clear is None else plain_json(sign.clear)]
    except ValueError as error:
        return f"Sign whose arguments are plain JSON: {error}"
    return None if all(isinstance(t, dict) for t in tables) else "Sign whose arguments are tables"


def identity_fault(identity: Identity) -> str | None:
    """What is wrong with an identity; None: nothing."""
    texts = isinstance(identity.id, str) and isinstance(identity.name, str)
    return None if texts else "Identity of two texts"
