"""`gateway outbox members|move|drain-member`: which processes take part, and who owns what."""

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
    str, Parameter(help="A process as `members` names it, or what no other name has in it.")
]


@app.command
def members(
    *,
    config: Config = CONFIG,
    accounts: Annotated[
        bool, Parameter(negative=(), help="List who owns each account, instead.")
    ] = False,
    json: Json = False,
) -> None:
    """List who owns the outbox or accounts of it, since when, its lease, and who stands by."""
    with _shared(config) as operator:
        parts, owned = operator.parts(), operator.owned() if accounts else []
    if json:
        print(jsonlib.dumps([attrs.asdict(it) for it in (owned if accounts else parts)]))
        return
    if not any(part.owns for part in parts):
        print("nobody owns it")
    for line in account_lines(owned, time()) if accounts else member_lines(parts, time()):
        print(line)


@app.command
def move(
    account: Annotated[str, Parameter(help="An instance, by its id.", validator=utf8)],
    member: Annotated[Member | None, Parameter(validator=utf8)] = None,
    /,
    *,
    balance: Annotated[
        bool, Parameter(negative=(), help="Whoever is to own it by balance has it again.")
    ] = False,
    config: Config = CONFIG,
) -> None:
    """Have an account owned by one process, as long as that takes part and serves it."""
    if (member is None) != balance:
        raise Ended("name the process that is to own the account, or say --balance", 2)
    with _shared(config) as operator:
        name = operator.move(account, member)
    print(printable(f"{account}: {f'pinned to {name}' if name else 'by balance'}"))


@app.command(name="drain-member")
def drain_member(
    member: Annotated[Member, Parameter(validator=utf8)],
    /,
    *,
    undo: Annotated[bool, Parameter(negative=(), help="It gets its share again.")] = False,
    config: Config = CONFIG,
) -> None:
    """Have a process hand over all of its accounts, and get none while it runs."""
    with _shared(config) as operator:
        name = operator.drain(member, draining=not undo)
    print(printable(f"{name}: {'gets its share again' if undo else 'gives up its accounts'}"))


def _shared(config: Any) -> Any:
    """The operator of an outbox that processes share."""
    outbox = outbox_in(config)
    if outbox.path is not None:
        raise Ended(f"{config}: a file has one owner at the most: gateway outbox stats names it")
    return outbox.operator()
