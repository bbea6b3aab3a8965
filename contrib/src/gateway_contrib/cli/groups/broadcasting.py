"""`gateway broadcast`: a message to many rooms, from the command line to its end.

If the application's gateway runs with an outbox, the command asks it to send. Otherwise the command
sends with the application's accounts itself, from memory.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from time import time
from typing import Annotated, Any
from uuid import uuid4

import attrs
import trio
from cyclopts import Parameter
from cyclopts.validators import Number

from gateway_contrib.cli.apart import Application, accounts_of
from gateway_contrib.cli.ending import Ended, in_json, printable
from gateway_contrib.cli.groups.following import (
    LOOK,
    MOST_TOLD,
    State,
    conclude,
    follow,
    state_of,
)
from gateway_contrib.cli.logs import Verbose, set_up_log
from gateway_contrib.cli.sending import BESIDE, CONFIG, WRITTEN, Beside, Config, Shown, Written
from gateway_core import (
    Forecast,
    GatewayConfig,
    Job,
    Progress,
    Send,
    load_config,
    open_gateway,
    to_json,
)

PATIENCE = 60.0
"""Seconds to wait for a running gateway, which checks every room before it answers."""
_ANY_ROOM = "-"


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class When:
    """The options for the key and for the times of a broadcast."""

    key: Annotated[
        str | None,
        Parameter(
            help="Idempotency key: the same key gives the same group, which is not sent twice."
        ),
    ] = None
    not_before: Annotated[
        str | None,
        Parameter(help="Not before this time: 2026-06-01T09:00 (local), or POSIX seconds."),
    ] = None
    ttl: Annotated[
        float | None,
        Parameter(
            validator=Number(gt=0),
            help="Give up on rooms that lack the message after this many seconds.",
        ),
    ] = None

    def at(self) -> float | None:
        """POSIX time before which the message is not sent."""
        if self.not_before is None:
            return None
        try:
            return float(self.not_before)
        except ValueError:
            pass
        try:
            return datetime.fromisoformat(self.not_before).astimezone().timestamp()
        except ValueError:
            text = f"--not-before: {self.not_before!r} is not a time, such as 2026-06-01T09:00"
            raise Ended(printable(text)) from None


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Doing:
    """The options for what the command does and prints."""

    dry_run: Annotated[
        bool,
        Parameter(negative=(), help="Show what would be sent and how long it takes; send nothing."),
    ] = False
    detach: Annotated[
        bool, Parameter(negative=(), help="Hand over to the running gateway, and do not wait.")
    ] = False
    json: Annotated[bool, Parameter(negative=(), help="Print JSON.")] = False
    config: Config = CONFIG
    verbose: Verbose = False


WHEN, DOING = When(), Doing()


async def broadcast(
    text: Shown = None,
    /,
    *,
    instance: Annotated[str, Parameter(help="The account, as gateway.toml names it.")],
    rooms: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="A file with one room id in each line; - is standard input.",
        ),
    ],
    beside: Beside = BESIDE,
    written: Written = WRITTEN,
    when: When = WHEN,
    doing: Doing = DOING,
) -> int:
    """Send a message to many rooms, once to each, and show the progress."""
    set_up_log(verbose=doing.verbose)
    if rooms == "-" and written.file == "-":
        raise Ended("--rooms and --file cannot both be read from standard input")
    template = Send(
        instance_id=instance,
        external_room_id=_ANY_ROOM,
        text=beside.words(text, written),
        key=when.key,
        ttl=when.ttl,
        not_before=when.at(),
        format=written.format,
        priority="bulk",
        files=beside.files,
        on_file_error=beside.on_file_error,
    )
    names = rooms_in(rooms)
    config = load_config(doing.config)
    if doing.dry_run:
        return await _foresee(config, template, names, json=doing.json)
    application = Application.of(config)
    application.refuse_known_group(instance, when.key)
    if application.running:
        return await _ask(application, template, names, doing)
    if doing.detach:
        raise Ended(
            "--detach needs a gateway that has the outbox open: start one, or leave out --detach"
        )
    return await _alone(config, application, template, names, doing)


def rooms_in(path: str) -> list[str]:
    """The rooms in a file, which has one room in each line."""
    try:
        text = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise Ended(f"--rooms {path}: is not UTF-8 at byte {error.start}") from None
    names = [name for line in lines if (name := line.strip())]
    if not names:
        raise Ended(f"--rooms {path}: names no room")
    return names


async def _foresee(config: GatewayConfig, template: Send, rooms: list[str], *, json: bool) -> int:
    """Print what the broadcast would cost. Opens no connection."""
    async with open_gateway(accounts_of(config)) as gateway:
        told = await gateway.foresee_broadcast(template, rooms)
    if json:
        plain = attrs.asdict(told) | {"too_long": told.too_long}
        plain["rate"] = told.rate if told.bucket else None
        print(in_json(plain))
    else:
        for line in _costs(told):
            print(line)
    if told.too_long:
        raise Ended(f"it would be refused: it takes longer than --ttl, {told.ttl:,.0f} s")
    return 0


def _costs(told: Forecast) -> list[str]:
    times = f" of {len(told.parts)} parts each" if len(told.parts) > 1 else ""
    lines = [f"{told.members:,} rooms, {told.attempts:,} messages{times}"]
    if told.bucket:
        lines.append(
            f"at least {told.seconds:,.0f} s at {told.rate:,.3g} per second"
            f" (limit {printable(told.bucket)})"
        )
    else:
        lines.append("no limit of the account is known")
    for number, part in enumerate(told.parts, 1):
        lines += [f"-- part {number}", *map(printable, part.splitlines())]
    return lines


async def _alone(
    config: GatewayConfig,
    application: Application,
    template: Send,
    rooms: list[str],
    doing: Doing,
) -> int:
    """Send the broadcast from memory: if the command stops, the rest is not sent."""
    async with open_gateway(attrs.evolve(accounts_of(config), when_suspended="end")) as gateway:
        job = await gateway.broadcast(
            template.instance_id,
            rooms,
            template.text,
            key=template.key,
            ttl=template.ttl,
            not_before=template.not_before,
            format=template.format,
            files=template.files,
            on_file_error=template.on_file_error,
        )
        try:
            state = await follow(template.instance_id, _of_job(job))
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                left = _as_state(await job.cancel())
            print(f"gateway: stopped: {left.line()}; the rest gets nothing", file=sys.stderr)
            raise
        failures = []
        async for receipt in job.failed():
            failures.append(receipt)
            if len(failures) == MOST_TOLD:
                break
    application.say()
    return conclude(state, failures, json=doing.json)


async def _of_job(job: Job) -> AsyncIterator[State]:
    while True:
        progress = await job.progress()
        yield _as_state(progress)
        if progress.ended:
            return
        await trio.sleep(LOOK)


def _as_state(progress: Progress) -> State:
    counts = {str(how): count for how, count in progress.counts.items()}
    return State(
        progress.group_id, progress.members, counts, progress.waiting, progress.paused,
        progress.cancelled,
    )  # fmt: skip


async def _ask(application: Application, template: Send, rooms: list[str], doing: Doing) -> int:
    """Have the running gateway send the broadcast, and show its progress."""
    from gateway_contrib.durable.operators import asking  # noqa: PLC0415 - an extra

    if template.key is None:  # so it is one group, whichever process run of the gateway answers
        template = attrs.evolve(template, key=f"asked {uuid4().hex}")
    if template.ttl is not None:
        template = attrs.evolve(template, ttl=None, deadline=time() + template.ttl)
    assert application.outbox is not None  # noqa: S101 - somebody has it open
    with application.outbox.operator() as operator:
        asked = {"do": "broadcast", "template": to_json(template), "rooms": rooms}
        try:
            told = await asking.group(operator, patience=PATIENCE, **asked)
        except asking.Unanswered as error:
            raise Ended(str(error), 1) from None
        name = str(told["accepted"])
        application.say()
        if doing.detach:
            print(in_json({"group": name}) if doing.json else f"group {name} is accepted")
            return 0
        try:
            state = await follow(template.instance_id, _in_file(operator, name))
        except trio.Cancelled:
            left = f"the broadcast goes on; to see how far it is: gateway group show {name}"
            print(f"gateway: {left}", file=sys.stderr)
            raise
        failures = operator.failures(name, MOST_TOLD)
    return conclude(state, failures, json=doing.json)


async def _in_file(operator: Any, name: str) -> AsyncIterator[State]:
    while True:
        stored = operator.group(name)
        if stored is None:
            raise Ended(f"the outbox does not know group {name} any more", 1)
        yield state_of(stored)
        if stored.ended:
            return
        await trio.sleep(LOOK)
