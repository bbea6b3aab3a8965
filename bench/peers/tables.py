"""Formats rows of the comparison as tables, and puts the tables into the page that shows them.

The page marks the place of each table (`<!-- telegram, limits -->`), and of the note that says
when and on what a platform's tables were measured (`<!-- telegram, measured -->`), and its end.
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
    "python-telegram-bot": "python-telegram-bot",
    "aiogram": "aiogram",
    "slack_sdk": "slack_sdk",
    "discord.py": "discord.py",
    "hikari": "hikari",
}
ARRIVALS = {
    "round_robin": "at once, in turn",
    "mixed": "at once, mixed",
    "room_by_room": "at once, room by room",
    "per_room": "loop per room",
    "paced": "loop per room, paced",
}
FAULTS = {
    "reset_after": "stored, then cut",
    "reset_before": "cut before storing",
    "server_error": "refused with 502",
    "no_answer": "stored, no answer",
}

Row: TypeAlias = Mapping[str, Any]


def _seconds(row: Row) -> str:
    """The makespan; a run that was cut off has none."""
    spent = row["makespan_s"]
    return f"no end in {spent:.0f}" if row["unanswered"] else f"{spent:.1f}"


def _ratio(row: Row) -> str:
    return "-" if row["unanswered"] else f"{row['makespan_s'] / row['bound_s']:.2f}"


def _announced(row: Row) -> str:
    return str(row["announced"]) if row["client"] == "gateway" else "-"


def _above_http(row: Row) -> str:
    """The CPU above the HTTP library's; nothing for a run that was cut off."""
    return "-" if row["unanswered"] else f"{row['cpu_us_above_http']:,}"


LIMITS: dict[str, Callable[[Row], str]] = {
    "client": lambda row: NAMES[row["client"]],
    "handed over": lambda row: ARRIVALS[row["arrival"]],
    "time, s": _seconds,
    "of bound": _ratio,
    "429s": lambda row: f"{row['rate_limited']:,}",
    "lost": lambda row: str(row["lost"]),
    "late": lambda row: str(row["late"]),
    "wrong report": lambda row: str(row["misreported"]),
    "CPU, µs": lambda row: f"{row['cpu_us_per_message']:,}",
    "above HTTP": _above_http,
}
FAULTY: dict[str, Callable[[Row], str]] = {
    "client": lambda row: NAMES[row["client"]],
    "handed over": lambda row: ARRIVALS[row["arrival"]],
    "fault": lambda row: FAULTS[row["fault"]],
    "lost": lambda row: str(row["lost"]),
    "copies": lambda row: str(row["duplicated"]),
    "announced": _announced,
    "late": lambda row: str(row["late"]),
    "wrong report": lambda row: str(row["misreported"]),
    "time, s": _seconds,
}


def table(rows: Iterable[Row], columns: Mapping[str, Callable[[Row], str]]) -> str:
    """The rows as a Markdown table, with a line for each row."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(cell(row) for cell in columns.values()) + " |" for row in rows]
    return "\n".join(lines)


def replaced(page: str, rows: Iterable[Row]) -> str:
    """The page with the tables of these rows; a channel without rows keeps its tables."""
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
        if of_channel:
            page = _put(page, f"{channel}, measured", note(of_channel))
    return page


def note(rows: Iterable[Row]) -> str:
    """When, on what and with what these rows were measured, with all values of each fact."""
    rows = list(rows)
    measured = [row["measured"] for row in rows]
    loads = sorted({facts["load"] for facts in measured})
    used = {row["client"] for row in rows}
    there = sorted({version for facts in measured for version in facts["versions"]})
    versions = "".join(f", {version}" for version in there if version.split()[0] in used)
    return (
        f"Measured on {_days(measured)} on {_all(measured, 'machine')}, with a load of "
        f"{_span(loads)} when it began. {_all(measured, 'python')}{versions}."
    )


def _all(measured: Iterable[Row], fact: str) -> str:
    return " and ".join(dict.fromkeys(facts[fact] for facts in measured))


def _days(measured: Iterable[Row]) -> str:
    """The days; if all are in one month, the month is named once: 29 and 30 November 2026."""
    dates = [*dict.fromkeys(facts["date"] for facts in measured)]
    days, months = zip(*(date.split(" ", 1) for date in dates), strict=True)
    one_month = len({*months}) == 1
    return f"{' and '.join(days)} {months[0]}" if one_month else " and ".join(dates)


def _span(values: list[float]) -> str:
    return " to ".join(f"{value:.1f}" for value in dict.fromkeys((values[0], values[-1])))


def _put(page: str, place: str, text: str) -> str:
    pattern = re.compile(f"(<!-- {place} -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)
    page, found = pattern.subn(lambda match: f"{match[1]}{text}{match[2]}", page)
    if found != 1:
        raise ValueError(f"{PAGE.name} has {found} places for {place!r}")
    return page


def write(rows: Iterable[Row]) -> None:
    """Put the tables into the page."""
    PAGE.write_text(replaced(PAGE.read_text(), rows))
