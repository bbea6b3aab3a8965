"""`gateway outbox suspend|resume`: stop or resume an account, whichever process owns it."""

from __future__ import annotations

import json as jsonlib
import tomllib
from collections.abc import Iterable
from getpass import getuser
from pathlib import Path
from socket import gethostname
from time import time
from typing import Annotated, Any

from cyclopts import Parameter

from gateway_contrib.cli.ending import Ended, printable
from gateway_contrib.cli.outbox.named import CONFIG, Config, app, note_unknown, operator_of, utf8
from gateway_core.outboxes import Suspension, suspension_question

PATIENCE = 10.0
"""Seconds to wait for a running gateway's answer."""
Account = Annotated[str, Parameter(help="An instance, by its id.", validator=utf8)]


@app.command
async def suspend(
    account: Account,
    /,
    *,
    why: Annotated[str, Parameter(help="The reason, as `stats` shows it.", validator=utf8)],
    config: Config = CONFIG,
) -> None:
    """Stop an account from sending until `resume`, also after a restart or a move."""
    suspension = Suspension(why=why, by=_by(), since=time())
    await _ask("suspend", account, suspension, config)


@app.command
async def resume(account: Account, /, *, config: Config = CONFIG) -> None:
    """Let an account send again, whatever suspended it; it goes on where it stopped."""
    await _ask("resume", account, None, config)


def _by() -> str:
    """The user that runs the command, as far as the system knows, and the host."""
    try:
        name = getuser()
    except (KeyError, OSError):
        name = "somebody"
    return f"{name}@{gethostname()}"


def _configured(config: Path) -> Iterable[str]:
    """The names of the instances in the file; no setting of theirs is read."""
    found: object = tomllib.loads(config.read_text(encoding="utf-8")).get("instances")
    return found if isinstance(found, dict) else ()


async def _ask(kind: str, account: str, suspension: Suspension | None, config: Any) -> None:
    from gateway_contrib.durable.operators.asking import answers_to  # noqa: PLC0415 - an extra

    with operator_of(config) as operator:
        question = suspension_question(account, suspension)
        number = operator.ask(kind, time(), place=(account, ""), asked=question)
        answers = await answers_to(operator, [number], patience=PATIENCE)
        if not answers and operator.owner is not None:
            raise Ended(
                f"{account}: requested, but the gateway has not answered yet: it may still do it", 1
            )
        if not answers and account not in {*_configured(config), *operator.suspended()}:
            note_unknown(operator, account)  # nobody would read a later refusal
    if not answers:
        print(
            printable(f"{account}: requested: the next gateway that opens the outbox does it first")
        )
        return
    told = jsonlib.loads(answers[number])
    if "refused" in told:
        raise Ended(printable(f"{account}: refused: {told['refused']}"))
    print(printable(f"{account}: {'suspended' if told['suspended'] else 'goes on'}"))
