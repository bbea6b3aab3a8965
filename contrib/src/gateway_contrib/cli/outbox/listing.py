"""Formats rows of an outbox as lines for people, in columns and with units. Sans-I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway_contrib.cli.ending import printable
from gateway_core import Ended

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def envelope_lines(rows: Sequence[Mapping[str, Any]], now: float) -> list[str]:
    """A line for each envelope: its id, place, age, class, length, and why it is here."""
    return _aligned(
        (
            row["id"],
            row["instance"],
            row["room"],
            age(now - row["accepted_at"]),
            row["class"] or "",
            _length(row["length"]),
            row["disposition"],
            row["cause"],
            row["raw"],
        )
        for row in rows
    )


def room_lines(rows: Sequence[Mapping[str, Any]], now: float, within: float) -> list[str]:
    """A line for each room: envelopes that wait and since when, that failed, and new ones."""
    return _aligned(
        (
            row["instance"],
            row["room"],
            f"{row['waiting']:,} waiting",
            f"for up to {age(now - row['oldest'])}" if row["oldest"] is not None else "",
            f"{row['failed']:,} failed",
            f"{row['accepted']:,} accepted in {age(within)}",
        )
        for row in rows
    )


def member_lines(parts: Sequence[Any], now: float) -> list[str]:
    """A line for each process that takes part: its role, its name, since when, its lease."""
    return _aligned(
        (
            _part(part),
            part.name,
            f"for {age(now - part.since)}",
            f"epoch {part.epoch}" if part.epoch is not None else _share(part),
            f"lease {part.lease:g} s" if part.lease is not None else "",
            f"seen {age(now - part.seen)} ago",
            f"release {part.release}",
        )
        for part in parts
    )


def _part(part: Any) -> str:
    if part.accounts is not None:
        return "drains" if part.draining else "shares"
    return "owner" if part.owns else "stands by"


def _share(part: Any) -> str:
    if part.accounts is None:
        return ""
    return f"{part.accounts:,} account{'s' * (part.accounts != 1)}, weight {part.weight:g}"


def account_lines(owned: Sequence[Any], now: float, running: Collection[str]) -> list[str]:
    """A line for each account: its owner, since when, its epoch, and where it is pinned.

    running  the names of the processes that take part; others have died
    """

    def named(name: str) -> str:
        return name if name in running else f"{name} (not running)"

    return _aligned(
        (
            it.account,
            named(it.member) if it.member is not None else "nobody",
            f"for {age(now - it.since)}" if it.since is not None else "",
            f"epoch {it.epoch}",
            f"pinned to {named(it.pinned)}" if it.pinned is not None else "",
        )
        for it in owned
    )


def ending_line(ended: Ended) -> str:
    """A line for an ending: its cursor, time, disposition, place, envelope id, and reason."""
    receipt = ended.receipt
    when = datetime.fromtimestamp(receipt.ended_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    why = "" if receipt.verdict is None else f"{receipt.verdict.reason} {receipt.verdict.raw}"
    place = f"{receipt.instance_id}  {receipt.external_room_id}"
    line = f"{ended.cursor}  {when}  {receipt.disposition}  {place}  {receipt.envelope_id}  {why}"
    return printable(line.rstrip())


def _length(characters: int | None) -> str:
    if characters is None:
        return "no text"
    return f"{characters:,} character{'s' * (characters != 1)}"


def age(seconds: float) -> str:
    """The seconds in the largest unit that is not larger than they are."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows in columns as wide as their widest cell; empty columns are left out."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if not cells:
        return []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(_padded(row, widths)).rstrip() for row in cells]


def _padded(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for cell, width in zip(row, widths, strict=True):
        if width:
            yield cell.ljust(width)
