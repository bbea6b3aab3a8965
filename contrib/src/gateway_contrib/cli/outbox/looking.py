"""`gateway outbox list|rooms|endings|show|stats`: show what is stored, and how it ended."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable, Mapping
from time import time
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from gateway_contrib.cli.ending import Ended, printable
from gateway_contrib.cli.outbox.listing import age, ending_line, envelope_lines, room_lines
from gateway_contrib.cli.outbox.named import (
    ANY,
    CONFIG,
    Config,
    Filters,
    Json,
    Limit,
    Waiting,
    app,
    note,
    note_unknown,
    operator_of,
    unknown_to_it,
    utf8,
)
from gateway_core import EndingsForgotten, Invalid, OutboxError, to_json
from gateway_core.outboxes import Follower

LOOK_PATIENCE = 3.0
"""Seconds to wait for the causes from a running gateway, which looks for requests each second."""
UNSEEN = "causes that only the gateway knows are not shown"


@app.command(name="list")
async def list_(
    *,
    config: Config = CONFIG,
    waiting: Waiting = False,
    filters: Filters = ANY,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List failed envelopes that can be retried: id, instance, room, age, class, length, why.

    The newest come first; with --waiting, the oldest.
    """
    which = filters.which(waiting=waiting)
    with operator_of(config) as operator:
        if waiting:
            rows = operator.waiting(which, limit, await _told(operator, filters))
            rows += operator.handed(which, limit - len(rows))
        else:
            rows = operator.failed(which, limit)
        if not rows:
            note_unknown(operator, filters.instance)
        if len(rows) == limit:
            first = "oldest" if waiting else "newest"
            note(f"the {first} {limit} that match are listed; there may be more (--limit)")
    if json:
        print(jsonlib.dumps(rows))
        return
    for line in envelope_lines(rows, time()):
        print(line)


@app.command
def rooms(
    *,
    instance: Annotated[
        str | None, Parameter(help="Only those of this instance.", validator=utf8)
    ] = None,
    within: Annotated[
        float,
        Parameter(validator=Number(gt=0), help="Seconds for which to count accepted envelopes."),
    ] = 3600.0,
    config: Config = CONFIG,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List the busiest rooms: envelopes waiting, failed, and accepted in the last hour."""
    with operator_of(config) as operator:
        found = operator.rooms(instance, time() - within, limit)
        if not found:
            note_unknown(operator, instance)
    if json:
        print(jsonlib.dumps(found))
        return
    for line in room_lines(found, time(), within):
        print(line)


@app.command(name="endings")
async def endings(
    *,
    after: Annotated[
        str | None,
        Parameter(help="Only envelopes that ended after this cursor of an earlier run."),
    ] = None,
    follow: Annotated[
        bool, Parameter(negative=(), help="Keep listing envelopes as they end, until interrupted.")
    ] = False,
    config: Config = CONFIG,
    json: Json = False,
) -> None:
    """List ended envelopes, in order: cursor, time, disposition, place, id, and why."""
    with operator_of(config) as operator:
        follower = Follower(operator)
        if not follow:
            follower.close()
        try:
            async for ended in follower.after(after):
                plain = {"cursor": ended.cursor, "receipt": to_json(ended.receipt)}
                print(jsonlib.dumps(plain) if json else ending_line(ended), flush=follow)
        except (EndingsForgotten, Invalid) as error:
            raise Ended(f"{error}; leave out --after to begin with the oldest") from None


@app.command
def show(
    envelope: Annotated[str, Parameter(help="The envelope's id, as `list` prints it.")],
    /,
    *,
    config: Config = CONFIG,
) -> None:
    """Show everything stored about an envelope, as JSON."""
    with operator_of(config) as operator:
        found = operator.show(envelope)
    if found is None:
        raise Ended(unknown_to_it(envelope))
    print(jsonlib.dumps(found, indent=2))


@app.command
async def stats(*, config: Config = CONFIG, json: Json = False) -> None:
    """Count what is stored, and show the owner and which accounts do not work."""
    with operator_of(config) as operator:
        found = operator.stats()
        if operator.owner is not None:
            told = await _troubles(operator)
            found["trouble"] = "unknown" if told is None else told
    if json:
        print(jsonlib.dumps(found))
        return
    found["suspended"] = {name: _held(value, time()) for name, value in found["suspended"].items()}
    for name, value in found.items():
        print(printable(f"{name}: {_counted(value)}"))


async def _told(operator: Any, filters: Filters) -> Any:
    """The running gateway's causes of waits; None: it does not answer, or no gateway runs."""
    if operator.owner is None:
        note("no gateway has the outbox open: nothing is sent until one opens it")
        return None
    return await _asked(operator, "look", (filters.instance or "", filters.room or ""))


async def _asked(operator: Any, kind: str, place: tuple[str, ...] = ()) -> Any:
    """The running gateway's answer to a question; None: no answer, which a note says."""
    told = await _all_asked(operator, kind, {"the gateway": place})
    return told.get("the gateway")


async def _all_asked(
    operator: Any, kind: str, places: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """The answers of the gateways that answer a question, by name; a note names the others.

    places  what each gateway is asked about, by the gateway's name
    """
    from gateway_contrib.durable.operators.asking import answers_to  # noqa: PLC0415 - an extra

    answers: dict[int, str] = {}
    asked: dict[str, int] = {}
    try:
        for name, place in places.items():
            asked[name] = operator.ask(kind, time(), place=place)
        answers = await answers_to(operator, asked.values(), patience=LOOK_PATIENCE)
        for number in asked.values():
            operator.take_back(number)
    except OutboxError as error:
        if not answers:
            note(f"the gateway cannot be asked, {error}: {UNSEEN}")
            return {}
        note(str(error))
    for name, number in asked.items():
        if number not in answers:
            note(f"{name} does not answer: {UNSEEN}")
    return {
        name: jsonlib.loads(answers[number]) for name, number in asked.items() if number in answers
    }


async def _troubles(operator: Any) -> dict[str, str] | None:
    """Each account that does not work, and why; None: no gateway answers.

    If accounts are spread over processes, each process answers for its own accounts.
    """
    shares: dict[str | None, list[str]] = operator.shares()
    if not shares:
        told = await _asked(operator, "accounts")
        return None if told is None else _not_working(told, told["accounts"])
    unowned = shares.pop(None, [])
    places = {name: (accounts[0], "") for name, accounts in shares.items() if name is not None}
    answers = await _all_asked(operator, "accounts", places)
    if unowned:  # at the first look an account may have been on its way to another process
        unowned = [name for name in operator.shares().get(None, ()) if name in unowned]
    if not (answers or unowned):
        return None
    found = dict.fromkeys(unowned, "no owner")
    for name, told in answers.items():
        found |= _not_working(told, shares[name])
    return dict(sorted(found.items()))


def _not_working(told: Any, accounts: Iterable[str]) -> dict[str, str]:
    """Those of the accounts that do not work, and why."""
    return {
        name: f"{trouble} ({told['why'][name]})" if name in told["why"] else trouble
        for name in accounts
        if (trouble := told["accounts"].get(name))
    }


def _held(suspension: Any, now: float) -> str:
    """Why an operator has suspended an account, the operator's name, and since when."""
    by = f" by {suspension['by']}" if suspension["by"] else ""
    return f"({suspension['why']};{by} for {age(now - suspension['since'])})"


def _counted(value: Any) -> str:
    """A count, counts by name, or a name, as text; `none` if there is nothing."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
    return "none" if value is None else str(value)
