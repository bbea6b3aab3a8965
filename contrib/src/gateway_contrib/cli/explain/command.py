"""`gateway explain`: shows what each channel would make of a text, and sends nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway_contrib.cli.ending import Ended, in_json, one_line, printable
from gateway_contrib.cli.explain.bubbles import page_of, picture_of
from gateway_contrib.cli.explain.plans import (
    ROOMS,
    TOKENS,
    Explained,
    Piece,
    explain,
    later,
    seconds,
)
from gateway_contrib.cli.sending import CONFIG, WRITTEN, Attachments, Shown, Written
from gateway_core import (
    ConfigError,
    GatewayConfig,
    Instance,
    Send,
    installed_channels,
    load_config,
    parse_config,
)

_NUMBERS = 52
"""Columns of the terminal that a part's numbers take; its first words get the others."""
_SHOWN = 60
"""How many characters of a policy's change in a text are shown."""

ATTACHMENTS = Attachments()
Json = Annotated[bool, Parameter(negative=(), help="Print the plans as one JSON object.")]


def explain_command(
    text: Shown = None,
    /,
    *,
    channel: Annotated[
        str | None, Parameter(help="Only this platform; by default all that are installed.")
    ] = None,
    attachments: Attachments = ATTACHMENTS,
    written: Written = WRITTEN,
    room: Annotated[
        str | None, Parameter(help="The conversation; it may have limits of its own.")
    ] = None,
    config: Annotated[
        Path | None, Parameter(help="Take accounts and their settings from this file.")
    ] = None,
    instance: Annotated[
        str | None, Parameter(help="Only this account of the configuration.")
    ] = None,
    html: Annotated[
        Path | None, Parameter(help="Draw the messages as an HTML page into this file.")
    ] = None,
    svg: Annotated[
        Path | None, Parameter(help="Draw the messages as an SVG picture into this file.")
    ] = None,
    json: Json = False,
) -> int:
    """Show the messages that a text becomes: sizes, losses, costs and time. Sends nothing."""
    words = attachments.words(text, written)
    if instance is not None and config is None:
        config = CONFIG
    settings = _defaults(channel) if config is None else load_config(config)
    plans = [
        explain(
            account,
            Send(
                instance_id=account.id,
                external_room_id=room or ROOMS.get(account.channel, "room"),
                text=words,
                format=written.format,
                files=attachments.files,
            ),
            settings,
        )
        for account in _accounts(settings, channel, instance)
    ]
    title = f"gateway explain: {Path(written.file).name if written.file else 'a text'}"
    for path, paint in ((html, page_of), (svg, picture_of)):
        if path is not None:
            path.write_text(paint(plans, title), encoding="utf-8", errors="replace")
    _show(plans, json=json)
    return _code(plans)


def _accounts(
    config: GatewayConfig, channel: str | None, instance: str | None
) -> Sequence[Instance]:
    found = [
        account
        for account in config.instances
        if channel in (None, account.channel) and instance in (None, account.id)
    ]
    if not found:
        known = ", ".join(f"{a.id} ({a.channel})" for a in config.instances) or "none"
        what = f"instance {instance!r}" if instance is not None else "instance"
        of = f" on channel {channel!r}" if channel is not None else ""
        raise Ended(printable(f"there is no {what}{of}; configured: {known}"))
    return found


def _defaults(channel: str | None) -> GatewayConfig:
    """An account with default settings on the channel, or on each channel that needs no others."""
    installed = [binding.channel for binding in installed_channels()]
    if channel is not None and channel not in installed:
        raise Ended(f"--channel: no plugin serves {channel!r}; installed: {', '.join(installed)}")
    if channel is not None:
        return parse_config({"instances": {channel: _table(channel)}})
    accounts: list[Instance] = []
    for name in installed:
        try:
            accounts += parse_config({"instances": {name: _table(name)}}).instances
        except ConfigError as error:
            print(f"gateway: {name} needs --config: {one_line(error)}", file=sys.stderr)
    return GatewayConfig(instances=tuple(accounts))


def _table(channel: str) -> dict[str, str]:
    token = TOKENS.get(channel)
    return {"channel": channel} | ({"token": token} if token else {})


def _show(plans: Sequence[Explained], *, json: bool) -> None:
    if json:
        plain = [{**attrs.asdict(plan), "last_at": plan.last_at} for plan in plans]
        print(in_json({"plans": plain}))
        return
    console = Console(highlight=False)
    shown = [plan for plan in plans if plan.pieces]
    for index, plan in enumerate(shown):
        if index:
            console.print()
        console.print(_parts_of(plan, max(console.width - _NUMBERS, _NUMBERS // 2)))
        for line in _lines(plan):
            console.print(Text(printable(line)), soft_wrap=True)


def _parts_of(plan: Explained, room: int) -> Table:
    bound = f", at most {plan.limit:,}" if plan.limit is not None else ""
    title = Text(printable(f"{plan.instance} ({plan.channel}): {plan.unit}{bound}"), "bold")
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("part", "size", "full", "source", "out after"):
        table.add_column(name, justify="right", no_wrap=True, header_style="dim")
    table.add_column("begins with", header_style="dim")
    for number, piece in enumerate(plan.pieces, 1):
        span = f"{piece.span[0]}\u2013{piece.span[1]}"
        cells = (str(number), f"{piece.size:,}", _full(piece, plan), span, seconds(piece.at))
        table.add_row(*cells, _begun(piece, room))
    return table


def _begun(piece: Piece, room: int) -> Text:
    """The first words of a part, and below them its files and its degradations."""
    words = Text(" ".join(printable(piece.text[: 2 * room]).split()))
    words.truncate(room, overflow="ellipsis")
    for file in piece.files:
        words.append(f"{chr(10) if words else ''}{printable(file.said)}", "dim")
    if piece.degraded:
        words.append(f"\n{printable('degraded: ' + '; '.join(piece.degraded))}", "yellow")
    return words


def _full(piece: Piece, plan: Explained) -> str:
    """The part's share of its nearest bound; names the bound if it is not the text's."""
    if not piece.bounds:
        return ""
    nearest = piece.bounds[0]
    of = "" if nearest.unit == plan.unit else f" of {nearest.unit.rpartition(' ')[2]}"
    return f"{nearest.share:.0%}{of}"


def _lines(plan: Explained) -> list[str]:
    """The lines below the table: changes by policies, the budgets, then the time."""
    changes = []
    if plan.room != plan.asked_room:
        changes.append(f"policies: it goes to {plan.room!r} instead of {plan.asked_room!r}")
    if plan.text != plan.asked_text:
        at = _first_difference(plan.asked_text, plan.text)
        was, becomes = plan.asked_text[at : at + _SHOWN], plan.text[at : at + _SHOWN]
        changes.append(f"policies: from character {at} on, {was!r} becomes {becomes!r}")
    budgets = [
        f"{budget.bucket}: takes {budget.tokens}, allows {budget.count} in {seconds(budget.per)}"
        f" ({budget.pace})"
        for budget in plan.budgets
    ]
    return [*changes, *budgets, f"the last part is out {later(plan.last_at)} on an idle account"]


def _first_difference(one: str, other: str) -> int:
    """The place where two texts begin to differ."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _code(plans: Sequence[Explained]) -> int:
    """0. Raises `Ended` if the text would be refused."""
    refused = [f"{plan.instance}: {'; '.join(plan.refused)}" for plan in plans if plan.refused]
    if refused:
        raise Ended(printable(f"would be refused: {' | '.join(refused)}"))
    return 0
