"""`gateway plugins` and `gateway check`: show what is installed, and check a configuration."""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import attrs
import trio
from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway_contrib.cli.advice import advice, unlike_itself
from gateway_contrib.cli.apart import accounts_of, note
from gateway_contrib.cli.ending import Ended, in_json, printable
from gateway_contrib.cli.logs import Verbose, set_up_log
from gateway_contrib.cli.outbox.engines import stored
from gateway_core import (
    ChannelBinding,
    ConfigError,
    Gateway,
    GatewayConfig,
    HookContractError,
    Identity,
    Instance,
    ProbeFailed,
    Problem,
    Send,
    installed_channels,
    load_config,
    open_gateway,
)

PROBE_SECONDS = 30.0
"""Seconds that `check --live` waits for one platform."""

Json = Annotated[bool, Parameter(negative=(), help="Print one JSON object and nothing else.")]


def plugins(*, json: Json = False) -> int:
    """Show the installed channels, their versions, and which plugins serve each hook."""
    channels = installed_channels()
    if json:
        shown = {"channels": [attrs.asdict(channel) for channel in channels]}
        print(in_json(shown, indent=2))
        return 0
    if not channels:
        print("no channel is installed: install gateway-plugin-telegram (-slack, -discord)")
    console = Console(highlight=False)
    for channel in channels:
        console.print(*_shown(channel), sep="\n")
    return 0


def _shown(channel: ChannelBinding) -> Iterator[Text | Table]:
    """The channel's adapter, its policies, and a table of hooks by the plugins that serve them."""
    what = f"{channel.distribution or channel.adapter} {channel.version}".strip()
    yield Text.assemble((channel.channel, "bold"), f": {what}")
    if channel.policies:
        yield Text(f"policies: {', '.join(channel.policies)}")
    alike: dict[str, list[str]] = defaultdict(list)
    for hook, labels in channel.hooks.items():
        alike[", ".join(map(_short, labels)) or "nobody"].append(hook)
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("asked, in this order", no_wrap=True)
    table.add_column("hooks")
    for asked, hooks in alike.items():
        table.add_row(asked, ", ".join(hooks))
    yield table


def _short(label: str) -> str:
    """The plugin's name without its distribution, which is printed above."""
    return label.partition(" (")[0]


async def check(
    config: Annotated[Path, Parameter(help="The configuration file.")] = Path("gateway.toml"),
    *,
    live: Annotated[
        bool, Parameter(negative=(), help="Also ask each platform whether the account works.")
    ] = False,
    verbose: Verbose = False,
) -> int:
    """Check a configuration, and show every mistake with its place."""
    set_up_log(verbose=verbose, level=logging.CRITICAL)  # the command's own lines say the same
    loaded = await _loaded(config)
    outbox = stored(loaded.outbox)
    if outbox is not None and outbox.misplaced:
        note(f"on this machine, {outbox.misplaced}")
    if not loaded.instances:
        print(f"{config}: no mistakes, and {NO_INSTANCE}")
        return 0
    if not live:
        for instance in loaded.instances:
            print(f"{instance.id} ({instance.channel}): configured")
        print(f"{config}: {_count(len(loaded.instances))}, no mistakes")
        return 0
    return await _probe_all(loaded)


async def _loaded(config: Path) -> GatewayConfig:
    """The configuration. Prints a line for each mistake, since there may be many."""
    try:
        return await _unbroken(load_config(config))
    except ConfigError as error:
        if error.problems[0].place == str(config):  # the file itself cannot be read
            raise
        for problem in error.problems:
            print(f"{config}: {printable(str(problem))}", file=sys.stderr)
        count = len(error.problems)
        raise Ended(f"{config} has {count} mistake{'s' * (count != 1)}") from None


NO_INSTANCE = (
    "no [instances.NAME]: only a program that adds accounts or has an instance_source can send"
)
ROOMS = ("1", "C0123456789")
"""Room ids that are valid on some platform; nothing is sent to these rooms."""


async def _unbroken(config: GatewayConfig) -> GatewayConfig:
    async with open_gateway(accounts_of(config)) as gateway:
        mistakes = [*_breaking(gateway, config.instances)]
    if mistakes:
        raise ConfigError(mistakes)
    return config


def _breaking(gateway: Gateway, instances: Iterable[Instance]) -> Iterator[Problem]:
    """A problem for each instance on which each message would crash."""
    for instance in instances:
        for room in (*getattr(instance.settings, "rooms", ()), *ROOMS):
            text = Send(instance_id=instance.id, external_room_id=room, text="Is this well?")
            try:
                if not gateway.preview(text).problems:
                    break
            except HookContractError as error:
                yield Problem(f"instances.{instance.id}", f"each message would crash: {error}")
                break


def _count(number: int) -> str:
    return f"{number} instance{'s' * (number != 1)}"


async def _probe_all(config: GatewayConfig) -> int:
    """Probe each account, without touching anything of an application that uses the accounts."""
    bound = installed_channels(allowed=config.plugins)
    unasked = {binding.channel for binding in bound if not binding.hooks["probe"]}
    answers = {
        instance.id: ("configured; its channel has no probe, so it was not asked", True)
        for instance in config.instances
        if instance.channel in unasked
    }
    async with open_gateway(accounts_of(config)) as gateway:

        async def ask(instance: Instance) -> None:
            answers[instance.id] = await _probed(gateway, instance)

        async with trio.open_nursery() as nursery:
            for instance in config.instances:
                if instance.id not in answers:
                    nursery.start_soon(ask, instance)
    for instance in config.instances:
        print(f"{instance.id} ({instance.channel}): {answers[instance.id][0]}", flush=True)
    if failed := [instance.id for instance in config.instances if not answers[instance.id][1]]:
        raise Ended(f"not working: {', '.join(failed)}", 1)
    return 0


async def _probed(gateway: Gateway, instance: Instance) -> tuple[str, bool]:
    """The words for an instance, and whether it works."""
    identity: Identity | None = None
    with trio.move_on_after(PROBE_SECONDS) as limit:
        try:
            identity = await gateway.probe(instance.id)
        except ProbeFailed as error:
            return f"does not work: {printable(advice(instance, error.verdict))}", False
    if limit.cancelled_caught:
        return f"does not work: no answer within {PROBE_SECONDS:g} s", False
    if identity is not None and not identity.id:
        return f"does not work: {unlike_itself(instance)}", False
    who = f", as {printable(identity.name)} ({printable(identity.id)})" if identity else ""
    return f"works{who}", True
