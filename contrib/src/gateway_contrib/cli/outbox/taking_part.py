"""`gateway outbox members|move|drain-member`: show which process owns what, and change it."""

from __future__ import annotations

import json as jsonlib
from time import time
from typing import Annotated, Any

import attrs
from cyclopts import Parameter

from gateway_contrib.cli.ending import Ended, printable
from gateway_contrib.cli.outbox.listing import account_lines, member_lines
from gateway_contrib.cli.outbox.named import CONFIG, Config, Json, app, outbox_in, utf8

Member = Annotated[
    str, Parameter(help="A process as `members` names it, or a unique part of its name.")
]


@app.command
def members(
    *,
    config: Config = CONFIG,
    accounts: Annotated[
        bool, Parameter(negative=(), help="List the owner of each account instead.")
    ] = False,
    json: Json = False,
) -> None:
    """List the processes that own the outbox or its accounts, their leases, and the standbys."""
    with _shared(config) as operator:
        parts, owned = operator.parts(), operator.owned() if accounts else []
    if json:
        print(jsonlib.dumps([attrs.asdict(it) for it in (owned if accounts else parts)]))
        return
    if not any(part.owns for part in parts):
        print("no process owns the outbox")
    running = {part.name for part in parts}
    lines = account_lines(owned, time(), running) if accounts else member_lines(parts, time())
    for line in lines:
        print(line)


@app.command
def move(
    account: Annotated[str, Parameter(help="An instance, by its id.", validator=utf8)],
    member: Annotated[Member | None, Parameter(validator=utf8)] = None,
    /,
    *,
    balance: Annotated[
        bool,
        Parameter(negative=(), help="Unpin the account: balancing decides its owner again."),
    ] = False,
    config: Config = CONFIG,
) -> None:
    """Pin an account to one process, as long as this process runs and serves the account."""
    if (member is None) != balance:
        raise Ended("name the process that shall own the account, or give --balance", 2)
    with _shared(config) as operator:
        name = operator.move(account, member)
    print(printable(f"{account}: {f'pinned to {name}' if name else 'not pinned any more'}"))


@app.command(name="drain-member")
def drain_member(
    member: Annotated[Member, Parameter(validator=utf8)],
    /,
    *,
    undo: Annotated[
        bool, Parameter(negative=(), help="Give the process its share of the accounts again.")
    ] = False,
    config: Config = CONFIG,
) -> None:
    """Move all accounts of a process to others; it gets no account while it runs."""
    with _shared(config) as operator:
        name = operator.drain(member, draining=not undo)
        last = not undo and operator.is_last(name)
    does = "gets its share again" if undo else "gives up its accounts"
    print(printable(f"{name}: {does}{', once another process can take them' if last else ''}"))


def _shared(config: Any) -> Any:
    """The operator of an outbox that processes share."""
    outbox = outbox_in(config)
    if outbox.path is not None:
        raise Ended(
            f"{config}: the outbox is a file, which no processes share: gateway outbox stats names"
            " its owner"
        )
    return outbox.operator()
