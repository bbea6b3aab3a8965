"""`gateway outbox list|rooms|endings|show|retry|discard|stats|erase`: what is kept, how it ends."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import time
from typing import Annotated, Any

import attrs
from cyclopts import App, Parameter
from cyclopts.validators import Number

from gateway_contrib.cli.ending import Ended, printable
from gateway_contrib.cli.outbox.listing import ending_line, envelope_lines, room_lines
from gateway_contrib.outboxes import path_of
from gateway_core import (
    ConfigError,
    Disposition,
    EndingsForgotten,
    Invalid,
    OutboxError,
    Secret,
    load_outbox,
    to_json,
)
from gateway_core.outboxes import Follower

app = App(name="outbox", help="Look at what a durable outbox keeps, and ask its gateway for more.")


def utf8(_: object, text: str | None) -> None:
    """Refuse what the shell gave as bytes that are no text: no file has it."""
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise ValueError("Is not UTF-8.") from None


Config = Annotated[Path, Parameter(help="The configuration file, which names the outbox.")]
Json = Annotated[bool, Parameter(negative=(), help="Print JSON.")]

Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=1_000_000), help="At most so many.")]
Envelopes = Annotated[str, Parameter(help="Ids of envelopes, as `list` prints them.")]
Waiting = Annotated[
    bool, Parameter(negative=(), help="What is unfinished, instead of what failed.")
]

CONFIG = Path("gateway.toml")
PATIENCE = 10.0
"""Seconds to wait for a running gateway's answer."""
LOOK_PATIENCE = 3.0
"""Seconds to wait for what it says of causes; it looks for requests every second."""


@Parameter(name="*")
@attrs.frozen
class Filters:
    """Which envelopes; None: any."""

    instance: Annotated[str | None, Parameter(help="Only of this instance.", validator=utf8)] = None
    room: Annotated[str | None, Parameter(help="Only of this room.", validator=utf8)] = None
    disposition: Annotated[
        Disposition | None, Parameter(help="Only what failed so.", show_choices=True)
    ] = None
    age: Annotated[
        float | None,
        Parameter(
            validator=Number(gte=0), help="Only what was accepted this many seconds ago, or more."
        ),
    ] = None

    def which(self, *, waiting: bool = False) -> Any:
        """The same as the outbox takes it."""
        if waiting and self.disposition is not None:
            raise Ended("what waits has no disposition yet: leave out --disposition, or --waiting")
        from gateway_contrib.sqlite.operators.operating import Which  # noqa: PLC0415 - an extra
        from gateway_contrib.sqlite.rows import SETTLED  # noqa: PLC0415 - likewise

        if self.disposition in SETTLED:
            others = ", ".join(sorted(set(Disposition) - SETTLED))
            raise Ended(
                f"--disposition {self.disposition} fits nothing here: there is nothing to try"
                f" again, and only the receipt is kept (`show`); what failed is {others}"
            )
        older = time() - self.age if self.age is not None else None
        return Which(
            instance=self.instance, room=self.room, disposition=self.disposition, older=older
        )


ANY = Filters()


def operator_of(config: Path) -> Any:
    """A look at the outbox that the configuration names. Raises `Ended`, or `OutboxError`."""
    try:
        from gateway_contrib.sqlite.operators.operating import Operator  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise Ended(f"{error.name} is missing: pip install 'gateway-contrib[sqlite]'") from None
    path, keys = outbox_in(config)
    try:
        return Operator(path, keys)
    except ModuleNotFoundError as error:
        raise Ended(f"{error.name} is missing: pip install 'gateway-contrib[sealed]'") from None
    except ValueError as error:  # of a key, by its place
        raise Ended(f"{config}: outbox.{error}") from None


def outbox_in(config: Path) -> tuple[Path, Sequence[Secret]]:
    """The file of the outbox that the configuration names, and what that is sealed with."""
    try:
        outbox = load_outbox(config)
    except ConfigError as error:
        raise Ended(told(config, error)) from None
    path = path_of(outbox.url) if outbox is not None else None
    if outbox is None or path is None:
        raise Ended(f"{config} names no outbox in a file")
    return path, outbox.keys


def told(config: Path, error: ConfigError) -> str:
    """What is wrong with the file, in a line."""
    first, *others = map(str, error.problems)
    more = f" (and {len(others)} more)" if others else ""
    return (first if first.startswith(str(config)) else f"{config}: {first}") + more


def _chosen(
    operator: Any, named: tuple[str, ...], filters: Filters, limit: int, *, waiting: bool = False
) -> list[str]:
    """Those named, or those that the filters fit; the oldest first, since rooms have their order.

    Ids sort by acceptance.
    """
    if named and filters != ANY:
        raise Ended("name envelopes, or give filters: not both")
    if named:
        strangers = [name for name in named if operator.show(name) is None]
        if strangers:
            raise Ended("; ".join(map(_unknown, strangers)))
        return sorted(named)
    if filters == ANY:
        raise Ended("name envelopes, or give a filter")
    which = filters.which(waiting=waiting)
    find = operator.waiting if waiting else partial(operator.failed, oldest=True)
    rows = find(which, limit)
    if not rows:
        _note_unknown(operator, filters.instance)
    if len(rows) == limit:
        print(f"the oldest {limit} that fit; there may be more (--limit)")
    return [row["id"] for row in rows]


async def _told(operator: Any, filters: Filters) -> Any:
    """What the running gateway says that envelopes wait for; None: it does not, or none runs."""
    if operator.owner is None:
        _note("no gateway has the outbox open: what waits goes on when one opens it")
        return None
    return await _asked(operator, "look", (filters.instance or "", filters.room or ""))


async def _asked(operator: Any, kind: str, place: tuple[str, ...] = ()) -> Any:
    """What the running gateway answers for operators to see; None: nothing, which is said."""
    from gateway_contrib.sqlite.operators.asking import answers_to  # noqa: PLC0415 - an extra

    answers: dict[int, str] = {}
    try:
        number = operator.ask(kind, time(), place=place)
        answers = await answers_to(operator, [number], patience=LOOK_PATIENCE)
        operator.take_back(number)
    except OutboxError as error:
        _note(str(error))
    if not answers:
        _note("the gateway does not answer: what its memory alone knows of causes is not shown")
        return None
    return jsonlib.loads(answers[number])


def _troubles(told: Any) -> dict[str, str]:
    """Each account that is out of order, and why."""
    return {
        name: f"{trouble} ({told['why'][name]})" if name in told["why"] else trouble
        for name, trouble in told["accounts"].items()
        if trouble
    }


def _note_unknown(operator: Any, instance: str | None) -> None:
    """Nothing fits: perhaps since nobody knows the instance."""
    if instance is not None and (said := operator.lacks(instance)):
        _note(said)


def _note(line: str) -> None:
    print(f"gateway: {printable(line)}", file=sys.stderr)


def _unknown(envelope: str) -> str:
    return f"the outbox does not know {envelope}"


@app.command(name="list")
async def list_(
    *,
    config: Config = CONFIG,
    waiting: Waiting = False,
    filters: Filters = ANY,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List what failed and can be tried again: id, instance, room, age, class, length, and why."""
    which = filters.which(waiting=waiting)
    with operator_of(config) as operator:
        if waiting:
            rows = operator.waiting(which, limit, await _told(operator, filters))
        else:
            rows = operator.failed(which, limit)
        if not rows:
            _note_unknown(operator, filters.instance)
    if json:
        print(jsonlib.dumps(rows))
        return
    for line in envelope_lines(rows, time()):
        print(line)


@app.command
def rooms(
    *,
    instance: Annotated[
        str | None, Parameter(help="Only of this instance.", validator=utf8)
    ] = None,
    within: Annotated[
        float,
        Parameter(validator=Number(gt=0), help="Count what was accepted in so many seconds."),
    ] = 3600.0,
    config: Config = CONFIG,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List the noisiest rooms: what waits, what failed, what was accepted in the last hour."""
    with operator_of(config) as operator:
        found = operator.rooms(instance, time() - within, limit)
        if not found:
            _note_unknown(operator, instance)
    if json:
        print(jsonlib.dumps(found))
        return
    for line in room_lines(found, time(), within):
        print(line)


@app.command(name="endings")
async def endings(
    *,
    after: Annotated[
        str | None, Parameter(help="Only what ended after this cursor, as it is printed here.")
    ] = None,
    follow: Annotated[
        bool, Parameter(negative=(), help="Go on as envelopes end, until it is interrupted.")
    ] = False,
    config: Config = CONFIG,
    json: Json = False,
) -> None:
    """List what ended, in its order: cursor, time, disposition, place, id, and why."""
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
    envelope: Annotated[str, Parameter(help="Its id, as `list` prints it.")],
    /,
    *,
    config: Config = CONFIG,
) -> None:
    """Show all that is kept of an envelope, as JSON."""
    with operator_of(config) as operator:
        found = operator.show(envelope)
    if found is None:
        raise Ended(_unknown(envelope))
    print(jsonlib.dumps(found, indent=2))


@app.command
async def stats(*, config: Config = CONFIG, json: Json = False) -> None:
    """Count what is kept, name the owner, and say which of its accounts are out of order."""
    with operator_of(config) as operator:
        found = operator.stats()
        told = await _asked(operator, "accounts") if operator.owner is not None else None
        if told is not None:
            found["trouble"] = _troubles(told)
    if json:
        print(jsonlib.dumps(found))
        return
    for name, value in found.items():
        print(printable(f"{name}: {_counted(value)}"))


def _counted(value: Any) -> str:
    """A count, counts by name, or a name; none where there is nothing."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
    return "none" if value is None else str(value)


@app.command
async def retry(
    *envelopes: Envelopes,
    config: Config = CONFIG,
    filters: Filters = ANY,
    limit: Limit = 1000,
) -> None:
    """Try failed envelopes again, from the first part that did not arrive.

    Those named, or those that the filters fit; at least one filter is needed then.
    """
    with operator_of(config) as operator:
        chosen = _chosen(operator, envelopes, filters, limit)
        numbers = {name: operator.ask("retry", time(), envelope_id=name) for name in chosen}
        await _answers(operator, numbers)


@app.command
async def discard(
    *envelopes: Envelopes,
    config: Config = CONFIG,
    waiting: Waiting = False,
    filters: Filters = ANY,
    limit: Limit = 1000,
) -> None:
    """Drop failed envelopes' content; end unfinished ones of which nothing is under way.

    Those named, or those that the filters fit; at least one filter is needed then.
    """
    with operator_of(config) as operator:
        chosen = _chosen(operator, envelopes, filters, limit, waiting=waiting)
        numbers = {name: operator.ask("discard", time(), envelope_id=name) for name in chosen}
        await _answers(operator, numbers)


@app.command
async def erase(
    *,
    instance: Annotated[str, Parameter(help="The instance.", validator=utf8)],
    room: Annotated[str, Parameter(help="The room.", validator=utf8)],
    config: Config = CONFIG,
) -> None:
    """Withdraw what is queued of a room, and take all that is kept of it off the disk."""
    with operator_of(config) as operator:
        operator.check_place(instance, room)
        number = operator.ask("erase", time(), place=(instance, room))
        await _answers(operator, {f"{instance} {room}": number})


async def _answers(operator: Any, numbers: dict[str, int]) -> None:
    """Print what the running gateway answers; without one, say that it is kept for the next."""
    if not numbers:
        print("nothing fits the filters: nothing asked")
        return
    from gateway_contrib.sqlite.operators.asking import answers_to  # noqa: PLC0415 - an extra

    names = {number: name for name, number in numbers.items()}

    def heard(number: int, answer: str) -> None:
        print(printable(f"{names[number]}: {answer}"))

    answers = await answers_to(operator, names, patience=PATIENCE, heard=heard)
    left = len(numbers) - len(answers)
    if left and operator.owner is None:  # it is not there, or went before it came to these
        print(f"{left} asked: done when a gateway next opens the outbox")
    elif left:
        raise Ended(f"{left} asked, without an answer yet", 1)
