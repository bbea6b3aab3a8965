"""`gateway call`: calls any other method of a platform, and prints the answer.

If the application's gateway runs with an outbox, that gateway makes the call, as with `send`.
"""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any

from cyclopts import Parameter

from gateway_contrib.cli.apart import Application
from gateway_contrib.cli.ending import Ended, in_json, printable
from gateway_contrib.cli.sending import (
    DELIVERY,
    Delivery,
    Key,
    deliver,
    said_of,
    standard_input,
)
from gateway_core import Call


async def call(
    instance: Annotated[str, Parameter(help="The account, as gateway.toml names it.")],
    method: Annotated[
        str,
        Parameter(help="The platform's method, such as sendDice or GET /users/@me."),
    ],
    arguments: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="The method's arguments, a JSON object; - is standard input.",
        ),
    ] = "{}",
    /,
    *,
    room: Annotated[
        str, Parameter(help="The conversation, for methods that need one.", show_default=False)
    ] = "",
    thread: Annotated[str | None, Parameter(help="The thread or topic in the room.")] = None,
    key: Key = None,
    delivery: Delivery = DELIVERY,
) -> int:
    """Call a method of the platform, and print its answer.

    If it sends a message, --json prints the message's ref, which `edit` and `delete` take.
    """
    given = _arguments(standard_input("ARGUMENTS") if arguments == "-" else arguments)

    def envelope(application: Application) -> Call:
        application.refuse_known(instance, room, key)
        return Call(
            instance_id=instance,
            external_room_id=room,
            method=method,
            arguments=given,
            thread_id=thread,
            key=key,
            ttl=delivery.ttl,
        )

    receipt = await deliver(envelope, delivery)
    if not delivery.json:
        print(printable(said_of(receipt)))
        print(in_json(receipt.result, indent=2))
    return 0


def _arguments(text: str) -> dict[str, Any]:
    try:
        given = jsonlib.loads(text)
    except ValueError as error:
        raise Ended(f"the arguments are not JSON: {error}") from None
    except RecursionError:
        raise Ended("the arguments are nested too deeply") from None
    if not isinstance(given, dict):
        raise Ended(f"the arguments must be a JSON object, not {type(given).__name__}")
    return given
