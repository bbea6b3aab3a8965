"""What this member is to own, and to give up, by what it has seen of the others. Sans-I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

import attrs

from gateway_contrib.postgres.names import ALL
from gateway_contrib.postgres.spreading.balance import Member, home


@attrs.frozen(kw_only=True)
class Account:
    """An account as the database has it. `member`: who owns it, be it there or gone; None: nobody.

    epoch   which owner that is, counted from the first
    pinned  name of the member that is to own it; None: any
    """

    instance: str
    member: UUID | None
    epoch: int
    pinned: str | None = None


@attrs.frozen(kw_only=True)
class Share:
    """What a member is to do.

    take     free accounts that it is to own
    give     accounts that it owns and another one is to own
    lacks    accounts that it would be to own, but cannot
    unknown  instances that it can own and that have no row
    want     free accounts that it is to own, and that a source is to give it before
    """

    take: frozenset[str] = frozenset()
    give: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    want: frozenset[str] = frozenset()


def share_of(
    me: UUID,
    members: Iterable[Member],
    accounts: Mapping[str, Account],
    served: Collection[str],
    owned: Collection[str],
    present: Collection[UUID],
    leaving: Collection[str] = (),
    beyond: Collection[str] | None = None,
) -> Share:
    """What is to be the share of member `me`.

    members  those that own by balance
    served   instances that it can own
    owned    those that it owns; what the database has as its own besides, it is to take once more,
             and to give up then if another one is to own it: nobody else can have it before
    leaving  those that it has given up, of which the database may not know yet
    present  all members, those that own everything as well
    beyond   a source gives it any account but these; None: it has none but those `served`
    """
    others = [one for one in members if one.member != me]
    mine = [one for one in members if one.member == me]
    able = [attrs.evolve(one, lacks=frozenset(), ready=True) for one in mine]
    take, give, lacks = set[str](), set[str](), set[str]()
    want = set[str]()
    for account in accounts.values():
        name = account.instance
        here = name in served or name == ALL
        can = here or (beyond is not None and name not in beyond)
        to_be = home(name, [*others, *able], account.pinned)
        if to_be == me and not can:
            lacks.add(name)
            to_be = home(name, others, account.pinned)
        if name in owned:
            if to_be is not None and to_be != me:
                give.add(name)
        elif account.member == me and name in leaving:
            continue
        elif account.member == me and here:  # whether it had it was not heard
            take.add(name)
            if to_be is not None and to_be != me:
                give.add(name)
        elif to_be == me and (account.member == me or account.member not in present):
            (take if here else want).add(name)
    return Share(
        take=frozenset(take),
        give=frozenset(give),
        lacks=frozenset(lacks),
        unknown=frozenset(served) - accounts.keys(),
        want=frozenset(want),
    )
