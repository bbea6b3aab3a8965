"""`gateway outbox reseal`: seals everything that is stored with the first key."""

from __future__ import annotations

from time import time
from typing import Any

from gateway_contrib.cli.ending import Ended, printable
from gateway_contrib.cli.outbox.named import CONFIG, Config, app, operator_of, outbox_in


@app.command
async def reseal(*, config: Config = CONFIG) -> None:
    """Seal all that is stored with the first key: after a rotation, or when keys are new.

    The running gateway does it beside its work; if none runs, this command does. Exit code 1:
    keep the old key, since some rows cannot be opened and stay as they are, or an open
    transaction of a process that hands over still needs it.
    """
    outbox = outbox_in(config)
    if not outbox.settings.keys:
        raise Ended(f"{config}: outbox.keys names no key: add one")
    with operator_of(config) as operator:
        done = await _asked(operator) if operator.owner is not None else None
    if done is None:
        done = await outbox.reseal()
    if "cannot be opened" in done or "ask again" in done:
        raise Ended(printable(done), 1)
    print(printable(done))


async def _asked(operator: Any) -> str:
    """The running gateway's answer, however long it takes."""
    if operator.sealing != operator.key:
        raise Ended(
            f"the gateway that has the outbox open does not seal with key {operator.key} yet: "
            "restart it with these keys, and ask again"
        )
    from gateway_contrib.durable.operators.asking import answers_to  # noqa: PLC0415 - an extra

    number = operator.ask("reseal", time())
    answers = await answers_to(operator, [number])
    if not answers:
        raise Ended("the gateway stopped before it was done: the next one goes on with it", 1)
    return answers[number]
