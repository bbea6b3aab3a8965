"""Rows of the comparison as tables, and those tables in the page that shows them.

The page marks the place of each table: `<!-- telegram, limits -->` and what ends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from bench.peers.platform import ROOT

PAGE = ROOT / "docs/explanation/comparison.md"
TITLES = {"telegram": "Telegram", "slack": "Slack", "discord": "Discord"}
NAMES = {
    "gateway": "**this gateway**",
    "python-telegram-bot": "python-telegram-bot 22.8, AIORateLimiter",
    "aiogram": "aiogram 3.31, retry loop",
    "slack_sdk": "slack_sdk 3.48, its handlers",
    "discord.py": "discord.py 2.7.1",
    "hikari": "hikari 2.7.0",
}
ARRIVALS = {"round_robin": "in turn", "mixed": "mixed", "room_by_room": "room by room"}
FAULTS = {
    "reset_after": "stored, then cut",
    "reset_before": "cut before storing",
    "server_error": "502",
    "no_answer": "stored, no answer",
}

Row: TypeAlias = Mapping[str, Any]


def _seconds(row: Row) -> str:
    """A run that was ended has no makespan."""
    spent = row["makespan_s"]
    return f"no end in {spent:.0f}" if row["unanswered"] else f"{spent:.1f}"


def _ratio(row: Row) -> str:
    return "-" if row["unanswered"] else f"{row['makespan_s'] / row['bound_s']:.2f}"


def _announced(row: Row) -> str:
    return str(row["announced"]) if row["client"] == "gateway" else "-"


def _above_http(row: Row) -> str:
    """Of a run without an end there is nothing to compare."""
    return "-" if row["unanswered"] else f"{row['cpu_us_above_http']:,}"


LIMITS: dict[str, Callable[[Row], str]] = {
    "client": lambda row: NAMES[row["client"]],
    "arrival": lambda row: ARRIVALS[row["arrival"]],
    "makespan, s": _seconds,
    "of the bound": _ratio,
    "429s": lambda row: f"{row['rate_limited']:,}",
    "lost": lambda row: str(row["lost"]),
    "late": lambda row: str(row["late"]),
    "misreported": lambda row: str(row["misreported"]),
    "CPU, µs": lambda row: f"{row['cpu_us_per_message']:,}",
    "above HTTP": _above_http,
    "peak, MB": lambda row: f"{row['peak_rss_mb']:.0f}",
}
FAULTY: dict[str, Callable[[Row], str]] = {
    "client": lambda row: NAMES[row["client"]],
    "fault": lambda row: FAULTS[row["fault"]],
    "lost": lambda row: str(row["lost"]),
    "duplicated": lambda row: str(row["duplicated"]),
    "announced": _announced,
    "late": lambda row: str(row["late"]),
    "misreported": lambda row: str(row["misreported"]),
    "makespan, s": _seconds,
}


def table(rows: Iterable[Row], columns: Mapping[str, Callable[[Row], str]]) -> str:
    """In Markdown, a line for each row."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(cell(row) for cell in columns.values()) + " |" for row in rows]
    return "\n".join(lines)


def replaced(page: str, rows: Iterable[Row]) -> str:
    """The page with the tables of these rows; a channel without any keeps what it has."""
    rows = list(rows)
    for channel in TITLES:
        of_channel = [row for row in rows if row["channel"] == channel]
        kinds = {
            "limits": table([row for row in of_channel if row["fault"] == "none"], LIMITS),
            "faults": table([row for row in of_channel if row["fault"] != "none"], FAULTY),
        }
        for kind, text in kinds.items():
            if text.count("\n") > 1:
                page = _put(page, f"{channel}, {kind}", text)
    return page


def _put(page: str, place: str, text: str) -> str:
    pattern = re.compile(f"(<!-- {place} -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)
    page, found = pattern.subn(lambda match: f"{match[1]}{text}{match[2]}", page)
    if found != 1:
        raise ValueError(f"{PAGE.name} has {found} places for {place!r}")
    return page


def write(rows: Iterable[Row]) -> None:
    """Put the tables into the page."""
    PAGE.write_text(replaced(PAGE.read_text(), rows))
