"""`gateway group list|show|pause|resume|cancel|retry`: looks at groups of a durable outbox.

A command that changes a group asks the gateway that has the outbox open, or the next gateway that
opens it.
"""

from __future__ import annotations

import json as jsonlib
from time import time
from typing import Annotated, Any

import attrs
from cyclopts import App, Parameter

from gateway_contrib.cli.ending import Ended, in_json, printable
from gateway_contrib.cli.groups.following import MOST_TOLD, say_failures, state_of
from gateway_contrib.cli.outbox.named import CONFIG, Config, Json, operator_of, utf8
from gateway_core import to_json

PATIENCE = 10.0
"""Seconds to wait for a running gateway's answer."""

app = App(
    name="group", help="Inspect broadcasts and other groups; pause, resume, cancel and retry them."
)

Name = Annotated[str, Parameter(help="The group's id, as `group list` and `broadcast` print it.")]


@app.command(name="list")
def list_groups(
    *,
    instance: Annotated[
        str | None, Parameter(help="Only those of this instance.", validator=utf8)
    ] = None,
    config: Config = CONFIG,
    json: Json = False,
) -> int:
    """Show the groups that the outbox remembers, the oldest first."""
    with operator_of(config) as operator:
        found = operator.groups(instance)
    if json:
        print(in_json([_plain(stored) for stored in found]))
        return 0
    for stored in found:
        state, group = state_of(stored), stored.group
        key = f" (key {group.key})" if group.key is not None else ""
        print(printable(f"{state.id}  {group.instance_id}  {state.word}  {state.line()}{key}"))
    if not found:
        print("there are no groups")
    return 0


@app.command
def show(name: Name, /, *, config: Config = CONFIG, json: Json = False) -> int:
    """Show a group's progress, and its first failures with their reasons."""
    with operator_of(config) as operator:
        stored = _stored(operator, name)
        failures = operator.failures(name, MOST_TOLD)
    if json:
        print(in_json(_plain(stored) | {"failures": [to_json(each) for each in failures]}))
        return 0
    state = state_of(stored)
    print(printable(f"{state.word}: {state.line()}, {state.waiting:,} waiting"))
    print(printable(f"text: {stored.group.template.text[:200]}"))
    say_failures(failures, state.failed)
    return 0


@app.command
async def pause(name: Name, /, *, config: Config = CONFIG) -> None:
    """Pause a group: it reaches no further rooms until `resume`."""
    await _ask("pause", name, config, "paused")


@app.command
async def resume(name: Name, /, *, config: Config = CONFIG) -> None:
    """Let a paused group go on."""
    await _ask("resume", name, config, "goes on")


@app.command
async def cancel(name: Name, /, *, config: Config = CONFIG) -> None:
    """Cancel a group: rooms that it has not reached yet get nothing."""
    await _ask("cancel", name, config, "cancelled")


@app.command
async def retry(name: Name, /, *, config: Config = CONFIG) -> None:
    """Retry the failed messages of a group, and nothing else."""
    await _ask("retry", name, config, "")


async def _ask(do: str, name: str, config: Any, done: str) -> None:
    """Ask the gateway, and print its answer; without one, say that the next gateway does it."""
    from gateway_contrib.durable.operators.asking import answers_to  # noqa: PLC0415 - an extra

    with operator_of(config) as operator:
        _stored(operator, name)
        asked = jsonlib.dumps({"do": do, "group": name})
        number = operator.ask("group", time(), asked=asked)
        answers = await answers_to(operator, [number], patience=PATIENCE)
        if number not in answers and operator.owner is None:
            print("requested: the next gateway that opens the outbox does it")
            return
        if number not in answers:
            raise Ended("requested, but the gateway has not answered yet: it may still do it", 1)
        told = jsonlib.loads(answers[number])
        if "refused" in told:
            raise Ended(printable(f"the gateway refused it: {told['refused']}"))
        done = done or f"{told['retried']:,} tried again"
        print(printable(f"{name}: {done}; {state_of(_stored(operator, name)).line()}"))


def _stored(operator: Any, name: str) -> Any:
    stored = operator.group(name)
    if stored is None:
        raise Ended(f"the outbox does not know group {name}")
    return stored


def _plain(stored: Any) -> dict[str, Any]:
    group = stored.group
    more = {
        "instance": group.instance_id,
        "key": group.key,
        "accepted_at": group.accepted_at,
        "not_before": group.due,
        "deadline": group.deadline,
    }
    return attrs.asdict(state_of(stored)) | more
