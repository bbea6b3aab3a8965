"""Converts between groups and the rows of their tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gateway_contrib.durable.damage import check_counts, check_times, damaged, intact
from gateway_contrib.durable.rows import Row, decode, encode, part_of, plain_part, text_of
from gateway_contrib.durable.seals import Seals
from gateway_core import Disposition
from gateway_core.outboxes import (
    Envelope,
    Group,
    GroupState,
    Member,
    Send,
    from_json,
    position_of,
    to_json,
)

MOST = 1 << 18
"""Characters of the members in one row, unless a single member has more."""

GROUP_COLUMNS = ("seq", "id", "instance", "size", "fingerprint", "content")


class Claim(NamedTuple):
    """What must be there for an entry or a group to be stored.

    member   the member whose turn the entry takes; None: it is not a member
    files    digests of the bytes that it uses
    request  the number of the request that the entry answers; None: it answers none
    after    the number of the request that must be answered first; 0: none
    """

    seq: int
    member: tuple[str, int] | None = None
    files: tuple[str, ...] = ()
    request: int | None = None
    after: int = 0


def seq_of(group_id: str) -> int:
    """The number of a group's id; for an invalid id, a number that no group has."""
    try:
        return position_of(group_id)
    except ValueError:
        return -1


def place_at(seq: int) -> str:
    """A stand-in for the id of that number, from which the next call goes on."""
    return f"{seq >> 14:012x}{seq & 0x3FFF:06x}"


def group_row(keyring: Seals, group: Group) -> Row:
    """A row of `GROUP_COLUMNS`."""
    seq = position_of(group.id)
    rest = {
        "accepted_at": group.accepted_at,
        "deadline": group.deadline,
        "priority": group.priority,
        "due": group.due,
        "trace": group.trace,
        "files": group.files,
    }
    plan = [plain_part(part) for part in group.plan]
    content = encode([to_json(group.template), plan, rest])
    return (
        seq, group.id, group.instance_id, group.size,
        keyring.seal("fingerprint", seq, group.fingerprint), keyring.seal("content", seq, content),
    )  # fmt: skip


def state_of(keyring: Seals, row: Row, counts: Mapping[str, int]) -> GroupState:
    """The group in its row. Raises as `Seals.open`.

    row  seq, id, instance, size, fingerprint, content, taken, paused, cancelled, and whether some
         of its members are to be tried again
    """
    seq, name, instance, size, fingerprint, content, taken, paused, cancelled, retrying = row
    digest = keyring.text("fingerprint", seq, text_of(fingerprint))
    with intact():
        template, plan, rest = decode(keyring.open("content", seq, content))
        group = Group(
            id=name,
            instance_id=instance,
            size=size,
            template=_send(template),
            plan=tuple([part_of(part) for part in plan]),
            fingerprint=digest,
            files=tuple(rest.pop("files")),
            **rest,
        )
        if position_of(name) != seq:  # whoever reads page after page would read this one for ever
            raise damaged("its id is none")
        check_times(group.accepted_at, group.deadline, group.due)
        check_counts(size, taken)
        return GroupState(
            group=group,
            taken=taken,
            counts={Disposition(how): count for how, count in counts.items() if count},
            paused=bool(paused),
            cancelled=bool(cancelled),
            retrying=bool(retrying),
        )


def member_texts(members: Sequence[Member]) -> Iterator[tuple[int, str]]:
    """The members as JSON, in rows of `MOST` characters; each with the number of members before."""
    texts: list[str] = []
    size = done = 0
    for member in members:
        own = [] if member.envelope is None else [to_json(member.envelope)]
        if member.asked_room is not None:  # the previous release reads only up to the envelope
            own = [*(own or [None]), member.asked_room]
        text = encode([member.room, *own])
        if texts and size + len(text) > MOST:
            yield done, f"[{','.join(texts)}]"
            done += len(texts)
            texts, size = [], 0
        texts.append(text)
        size += len(text)
    if texts:
        yield done, f"[{','.join(texts)}]"


def members_in(text: str | bytes) -> list[list[Any] | None]:
    """The room and the envelope of each member in a row; None: it was erased. Raises `Invalid`."""
    found: list[list[Any] | None]
    with intact():
        found = decode(text)
        for each in found:
            if each is not None and not (isinstance(each, list) and isinstance(each[0], str)):
                raise TypeError
    return found


def turns_in(text: str) -> list[int]:
    """The numbers of members in a column of the table of groups. Raises `Invalid`."""
    found: list[int]
    with intact():
        found = decode(text)
        if not isinstance(found, list) or not all(type(turn) is int for turn in found):
            raise TypeError
    return found


def member_of(plain: Sequence[Any]) -> Member:
    """The member. Raises `FormatVersionError` or `Invalid`."""
    room, own, asked_room, *_ = *plain, None, None
    with intact():
        envelope = from_json(Envelope, own) if own is not None else None
    return Member(room=room, envelope=envelope, asked_room=asked_room)


def _send(plain: Any) -> Send:
    found = from_json(Envelope, plain)
    if not isinstance(found, Send):
        raise damaged("its template is no message")
    return found
