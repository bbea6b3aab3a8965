"""`gateway outbox retry|discard|erase`: ask the outbox's gateway, and print its answers."""

from __future__ import annotations

from time import time
from typing import Annotated, Any

from cyclopts import Parameter

from gateway_contrib.cli.ending import Ended, printable
from gateway_contrib.cli.outbox.named import (
    ANY,
    CONFIG,
    Config,
    Envelopes,
    Filters,
    Limit,
    Waiting,
    app,
    choose,
    operator_of,
    utf8,
)

PATIENCE = 10.0
"""Seconds to wait for a running gateway's answer."""
DONE = frozenset({"goes on", "ended", "discarded"})
"""The answers to a retry or a discard that was carried out; any other says why it was not."""


@app.command
async def retry(
    *envelopes: Envelopes,
    config: Config = CONFIG,
    filters: Filters = ANY,
    limit: Limit = 1000,
) -> None:
    """Try failed envelopes again, from the first part that did not arrive.

    Name the envelopes, or give at least one filter that chooses them.
    """
    with operator_of(config) as operator:
        chosen = choose(operator, envelopes, filters, limit)
        numbers = {name: operator.ask("retry", time(), envelope_id=name) for name in chosen}
        _done_for(envelopes, await _answers(operator, numbers))


@app.command
async def discard(
    *envelopes: Envelopes,
    config: Config = CONFIG,
    waiting: Waiting = False,
    filters: Filters = ANY,
    limit: Limit = 1000,
) -> None:
    """Drop the content of failed envelopes; end unfinished ones that are not being sent.

    Name the envelopes, or give at least one filter that chooses them.
    """
    with operator_of(config) as operator:
        chosen = choose(operator, envelopes, filters, limit, waiting=waiting)
        numbers = {name: operator.ask("discard", time(), envelope_id=name) for name in chosen}
        _done_for(envelopes, await _answers(operator, numbers))


@app.command
async def erase(
    *,
    instance: Annotated[str, Parameter(help="The instance.", validator=utf8)],
    room: Annotated[str, Parameter(help="The room.", validator=utf8)],
    config: Config = CONFIG,
) -> None:
    """Cancel a room's waiting envelopes, and erase everything stored about the room from disk."""
    with operator_of(config) as operator:
        operator.check_place(instance, room)
        number = operator.ask("erase", time(), place=(instance, room))
        await _answers(operator, {f"{instance} {room}": number})


async def _answers(operator: Any, numbers: dict[str, int]) -> list[str]:
    """Print and return the gateway's answers; without one, say that the next gateway does it."""
    if not numbers:
        print("nothing matches the filters: nothing was done")
        return []
    from gateway_contrib.durable.operators.asking import answers_to  # noqa: PLC0415 - an extra

    names = {number: name for name, number in numbers.items()}

    def heard(number: int, answer: str) -> None:
        print(printable(f"{names[number]}: {answer}"))

    answers = await answers_to(operator, names, patience=PATIENCE, heard=heard)
    left = len(numbers) - len(answers)
    if left and operator.owner is None:  # no gateway runs, or it stopped before it did these
        print(f"{left} requested: the next gateway that opens the outbox does it")
    elif left:
        raise Ended(
            f"{left} requested, but the gateway has not answered yet: it may still do it", 1
        )
    return list(answers.values())


def _done_for(named: tuple[str, ...], answers: list[str]) -> None:
    """End with the exit code 1 if nothing was done for an envelope that was named."""
    refused = sum(answer not in DONE for answer in answers)
    if named and refused:
        raise Ended(f"nothing was done for {refused} of {len(answers)}", 1)
