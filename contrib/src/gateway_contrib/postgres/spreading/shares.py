"""Decides what this member is to own and to give up, from what it saw of the others. Sans-I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

import attrs

from gateway_contrib.postgres.names import ALL
from gateway_contrib.postgres.spreading.balance import Member, home


@attrs.frozen(kw_only=True)
class Account:
    """An account as the database has it.

    member  the member that owns it, whether that is still there or gone; None: nobody owns it
    epoch   the owner's number, counted from the first owner
    pinned  name of the member that is to own it; None: any
    """

    instance: str
    member: UUID | None
    epoch: int
    pinned: str | None = None


@attrs.frozen(kw_only=True)
class Share:
    """The accounts that a member is to take, to give up, and to say something about.

    take     free accounts that it is to own
    give     accounts that it owns and another member is to own
    lacks    accounts that would be its own by balance, but that it cannot own
    unknown  instances that it can own and that have no row yet
    want     free accounts that it is to own once a source has given them to it
    free     accounts that it owns only as the database has it, and has forgotten since: the answer
             when it took them was lost. It is to give them up at once
    """

    take: frozenset[str] = frozenset()
    give: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    want: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()


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
    """The share that member `me` is to have.

    members  the members that own accounts by balance
    served   instances that it can own
    owned    accounts that it knows it owns. If the database names it as the owner of another one
             that is `served`, it is to take that once more, and to give it up then if another
             member is to own it, since no other member can take it before
    leaving  accounts that it has given up, which the database may not know yet
    present  all members, including those that own all accounts
    beyond   a source gives it any account but these; None: it has only the accounts `served`
    """
    others = [one for one in members if one.member != me]
    mine = [one for one in members if one.member == me]
    able = [attrs.evolve(one, lacks=frozenset(), ready=True) for one in mine]
    take, give, lacks = set[str](), set[str](), set[str]()
    want, free = set[str](), set[str]()
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
        elif account.member == me and here:  # it took the account, but the answer to that was lost
            take.add(name)
            if to_be is not None and to_be != me:
                give.add(name)
        elif account.member == me:
            free.add(name)
        elif to_be == me and account.member not in present:
            (take if here else want).add(name)
    return Share(
        take=frozenset(take),
        give=frozenset(give),
        lacks=frozenset(lacks),
        unknown=frozenset(served) - accounts.keys(),
        want=frozenset(want),
        free=frozenset(free),
    )
