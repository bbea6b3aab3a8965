"""`gateway emulate`: serves an emulated platform on a port, with a page and control over HTTP."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Literal

import trio
from cyclopts import Parameter
from cyclopts.validators import Number

from gateway_contrib.cli.ending import Ended
from gateway_contrib.cli.logs import Verbose, set_up_log
from gateway_contrib.emulators.faults import Fault
from gateway_contrib.emulators.testing.control import PREFIX, controlled
from gateway_contrib.emulators.testing.held import UNLIMITED, Held
from gateway_contrib.emulators.testing.requests import Asked

Channel = Literal["telegram", "slack", "discord"]


async def emulate(
    channel: Annotated[Channel, Parameter(help="The platform.")],
    /,
    *,
    port: Annotated[
        int, Parameter(validator=Number(gte=0, lte=65_535), help="The port; 0: a free one.")
    ] = 0,
    host: Annotated[str, Parameter(help="The address to listen on.")] = "127.0.0.1",
    limits: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            help="A limit instead of the platform's own, such as chat_seconds=0; none: no limits.",
        ),
    ] = None,
    faults: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            help="A fault and the share of requests that it hits, such as no_answer=0.05.",
        ),
    ] = None,
    seed: Annotated[
        str, Parameter(help="The seed that decides which requests a fault hits.")
    ] = "0",
    json_: Annotated[
        bool,
        Parameter(name="--json", negative=(), help="Print the addresses as one JSON object."),
    ] = False,
    verbose: Verbose = False,
) -> int:
    """Serve an emulated platform until interrupted; each request is a line on standard error."""
    from gateway_contrib.emulators.serve import serve  # noqa: PLC0415 - a server: few commands are one

    set_up_log(verbose=verbose)
    held = _held(channel, limits or (), faults or (), seed)
    async with trio.open_nursery() as nursery:
        try:
            url = await nursery.start(partial(serve, controlled(held), host=host, port=port))
        except OSError as error:
            raise Ended(
                f"cannot listen at {host}, port {port}: {error.strerror or error}"
            ) from None
        held.locate(url)
        (_print_json if json_ else _introduce)(held)
    return 0


def _held(channel: Channel, limits: Iterable[str], faults: Iterable[str], seed: str) -> Held:
    """The platform that the options describe. Raises `Ended` if an option is wrong."""
    given = dict(map(_named, (word for word in limits if word != UNLIMITED)))
    if UNLIMITED in limits and given:
        raise Ended(f"--limits {UNLIMITED} cannot be combined with a limit")
    try:
        return Held(
            channel,
            limits=UNLIMITED if UNLIMITED in limits else given,
            rates={_fault(name): float(share) for name, share in map(_named, faults)},
            seed=seed,
            wall_clock=time.time,  # clients compare Discord's times with their own clock
            tell=_tell,
        )
    except ValueError as error:
        raise Ended(str(error)) from None


def _fault(name: str) -> Fault:
    if name not in list(Fault):
        raise ValueError(f"{name} is not a fault; there are {', '.join(Fault)}")
    return Fault(name)


def _named(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise Ended(f"{word}: is not NAME=VALUE")
    return name, value


def _tell(asked: Asked) -> None:
    answer = "cut" if asked.status is None else asked.status
    line = f"{asked.verb} {asked.path} {answer} {asked.seconds * 1000:.0f} ms"
    print(line, file=sys.stderr, flush=True)


def _print_json(held: Held) -> None:
    told = {
        "channel": held.channel,
        "url": held.url,
        "base_url": held.base_url,
        "token": held.platform.token,
        "webhook": held.webhook,
        "control": f"{held.url}{PREFIX}",
    }
    print(json.dumps(told), flush=True)


def _introduce(held: Held) -> None:
    print(f"{held.channel} is emulated at {held.url}/ (a page to look at; Ctrl-C ends it)")
    if held.webhook is not None:
        print(f"An incoming webhook: {held.webhook}")
    print(f"To see what arrived, and to make requests fail: {held.url}{PREFIX}")
    print("In gateway.toml:\n")
    print(f'[instances.my-{held.channel}]\nchannel = "{held.channel}"')
    print(f'token = "{held.platform.token}"\nbase_url = "{held.base_url}"', flush=True)
