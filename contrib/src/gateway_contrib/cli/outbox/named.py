"""Finds the outbox and the envelopes that a command's arguments name."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from time import time
from typing import Annotated, Any

import attrs
from cyclopts import App, Parameter
from cyclopts.validators import Number

from gateway_contrib.cli.ending import Ended, printable
from gateway_contrib.cli.outbox.engines import Stored, stored
from gateway_core import (
    ConfigError,
    Disposition,
    PluginError,
    load_config,
    load_outbox,
)

app = App(name="outbox", help="Inspect a durable outbox; retry, discard and erase its envelopes.")


def utf8(_: object, text: str | None) -> None:
    """Refuse an argument whose bytes are not UTF-8, since an outbox cannot contain it."""
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise ValueError("Is not UTF-8.") from None


Config = Annotated[Path, Parameter(help="The configuration file, which names the outbox.")]
Json = Annotated[bool, Parameter(negative=(), help="Print JSON.")]

Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=1_000_000), help="At most this many.")]
Envelopes = Annotated[str, Parameter(help="Ids of envelopes, as `list` prints them.")]
Waiting = Annotated[
    bool, Parameter(negative=(), help="Unfinished envelopes, instead of failed ones.")
]

CONFIG = Path("gateway.toml")


@Parameter(name="*")
@attrs.frozen
class Filters:
    """Filters for envelopes; None: any."""

    instance: Annotated[
        str | None, Parameter(help="Only those of this instance.", validator=utf8)
    ] = None
    room: Annotated[str | None, Parameter(help="Only those of this room.", validator=utf8)] = None
    disposition: Annotated[
        Disposition | None, Parameter(help="Only envelopes of this disposition.", show_choices=True)
    ] = None
    age: Annotated[
        float | None,
        Parameter(
            validator=Number(gte=0), help="Only envelopes accepted at least this many seconds ago."
        ),
    ] = None

    def which(self, *, waiting: bool = False) -> Any:
        """The filters as the outbox takes them."""
        if waiting and self.disposition is not None:
            raise Ended("--waiting cannot be combined with --disposition: leave out one of them")
        from gateway_contrib.durable.operators.looking import Which  # noqa: PLC0415 - likewise
        from gateway_contrib.durable.rows import SETTLED  # noqa: PLC0415 - likewise

        if self.disposition in SETTLED:
            others = ", ".join(sorted(set(Disposition) - SETTLED))
            raise Ended(
                f"--disposition {self.disposition} matches nothing: of such envelopes only the"
                " receipt is stored (see `show`), and none can be tried again; give one of"
                f" {others}"
            )
        older = time() - self.age if self.age is not None else None
        return Which(
            instance=self.instance, room=self.room, disposition=self.disposition, older=older
        )


ANY = Filters()


def operator_of(config: Path) -> Any:
    """An operator of the outbox that the configuration names. Raises `Ended` or `OutboxError`."""
    try:
        return outbox_in(config).operator()
    except Ended as ended:
        if str(ended).startswith("outbox."):
            raise Ended(f"{config}: {ended}") from None
        raise


def outbox_in(config: Path) -> Stored:
    """The durable outbox that the configuration names. Raises `Ended` if it names none."""
    try:
        settings = load_outbox(config)
    except ConfigError as error:
        raise Ended(told(config, error)) from None
    found = stored(settings)
    if found is None:
        named = f"{config} names no outbox in a file or in PostgreSQL: set `outbox` in it"
        raise Ended(mistake_in_outbox(config) or named)
    return found


def mistake_in_outbox(config: Path) -> str:
    """What `gateway check` says about the file's `outbox`; empty: nothing."""
    try:
        load_config(config)
    except PluginError:
        return ""
    except ConfigError as error:
        found = [each for each in error.problems if each.place.partition(".")[0] == "outbox"]
        return told(config, ConfigError(found)) if found else ""
    return ""


def told(config: Path, error: ConfigError) -> str:
    """A line that says what is wrong with the configuration file."""
    first, *others = map(str, error.problems)
    more = f" (and {len(others)} more)" if others else ""
    return (first if first.startswith(str(config)) else f"{config}: {first}") + more


def choose(
    operator: Any, named: tuple[str, ...], filters: Filters, limit: int, *, waiting: bool = False
) -> list[str]:
    """Ids of the named envelopes, or of those that match the filters, in order of acceptance.

    The oldest come first, since rooms have an order.
    """
    if named and filters != ANY:
        raise Ended("name envelopes, or give filters: not both")
    if named:
        strangers = [name for name in named if operator.show(name) is None]
        if strangers:
            raise Ended("; ".join(map(unknown_to_it, strangers)))
        ordered: list[str] = operator.in_order(named)
        return ordered
    if filters == ANY:
        raise Ended("name envelopes, or give a filter, such as --instance")
    which = filters.which(waiting=waiting)
    find = operator.waiting if waiting else partial(operator.failed, oldest=True)
    rows = find(which, limit)
    if not rows:
        note_unknown(operator, filters.instance)
    if len(rows) == limit:
        print(f"the oldest {limit} that match were chosen; there may be more (--limit)")
    return [row["id"] for row in rows]


def note_unknown(operator: Any, instance: str | None) -> None:
    """Say so if the outbox does not know the instance, which may be why nothing matches."""
    if instance is not None and (said := operator.lacks(instance)):
        note(said)


def note(line: str) -> None:
    """Print the line on standard error."""
    print(f"gateway: {printable(line)}", file=sys.stderr)


def unknown_to_it(envelope: str) -> str:
    """A line that says that the outbox does not know this envelope."""
    return f"the outbox does not know {envelope}"
