"""Decides which member is to own an account, by rendezvous hashing with weights. Sans-I/O.

Each member has a score for each account, and the member with the highest score is to own it. So the
members need not agree on anything, an account moves only to a member that joins or from one that
leaves, and a member's share follows its weight.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from hashlib import sha256
from uuid import UUID

import attrs

_STEPS = 1 << 53


@attrs.frozen(kw_only=True)
class Member:
    """A member that owns accounts by balance.

    name      host and process; a pinned account names it
    weight    its share, relative to the others' weights; 0: only accounts that no other can own
    ready     whether it has said what it can own; before that it is to own nothing
    draining  whether it is to own nothing
    lacks     instances that it cannot own
    """

    member: UUID
    name: str
    weight: float = 1.0
    ready: bool = True
    draining: bool = False
    lacks: Collection[str] = frozenset()


def drawn(member: UUID, instance: str) -> float:
    """A number above 0 and below 1, which depends on this pair alone."""
    text = instance.encode("utf-8", "surrogatepass")
    digest = sha256(member.bytes + text).digest()
    return (int.from_bytes(digest[:7], "big") % _STEPS + 0.5) / _STEPS


def score(member: UUID, weight: float, instance: str) -> float:
    """A member's score for an account; the member with the highest score is to own it."""
    return -weight / math.log(drawn(member, instance))


def home(instance: str, members: Iterable[Member], pinned: str | None = None) -> UUID | None:
    """The member that is to own the account; None: no member can.

    pinned  name of the member that is to own it, if it can
    """
    able = [it for it in members if it.ready and not it.draining and instance not in it.lacks]
    named = [one for one in able if one.name == pinned]
    weighty = [one for one in able if one.weight > 0]
    some = named or weighty or able
    if not some:
        return None
    even = not weighty
    best = max(
        some, key=lambda it: (score(it.member, 1.0 if even else it.weight, instance), it.member)
    )
    return best.member
