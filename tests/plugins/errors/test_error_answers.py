"""What platforms and what stands before them answer, and what that means for who sent a message.

`error_answers.csv` holds answers as public sources name them, each with the verdict that a careful
reader of the words gives. Its columns:

channel     whose answer it is; `all`: of something that may stand before any of them
operation   `send`, `reply` and `thread` (sends), `edit`, `delete`, or `call:<method>`
status      of HTTP
answer      the platform's words, for Discord after their code; `json:` a whole body; `page:` what
            is no JSON
headers     of the answer, separated by semicolons
source      what names it in public
class       and the following: the verdict. Of words that leave it open, several: `a|b`
transform   empty: none; where there is one, core does the same whatever the class
wait        seconds until the next attempt, where the answer names them
argued      why the adapter gives another verdict all the same
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from starlette.responses import Response

from gateway_core import ErrorClass, Instance, Part, Reason, Scope, Secret, Verdict
from gateway_core.authors import Attempt, Dispatched, Transform
from gateway_core.testing import open_network
from gateway_plugin_discord import hooks as discord
from gateway_plugin_discord.methods import route_of
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack import hooks as slack
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram import TelegramSettings
from gateway_plugin_telegram import hooks as telegram

TABLE = Path(__file__).with_name("error_answers.csv")
AGREEMENT = 0.99
SENDS = {"send": {}, "reply": {"reply": "5"}, "thread": {"thread": "6"}}


@attrs.frozen
class Channel:
    """An adapter, and a room of it."""

    hooks: Any
    settings: Any
    host: str
    room: str
    message: str
    text: str


CHANNELS = {
    "telegram": Channel(
        telegram,
        TelegramSettings(token=Secret("1234567:" + "a" * 35)),
        "https://api.telegram.org",
        "-100123",
        "9",
        "text",
    ),
    "slack": Channel(
        slack,
        SlackSettings(token=Secret("xoxb-1-secret")),
        "https://slack.com",
        "C024BE91L",
        "1700000000.000100",
        "text",
    ),
    "discord": Channel(
        discord,
        DiscordSettings(token=Secret("a.secret.c")),
        "https://discord.com",
        "1100000000000000001",
        "5",
        "content",
    ),
}


@attrs.frozen(eq=False)
class Row:
    """A row of the table, for one channel."""

    channel: str
    operation: str
    status: int
    answer: str
    headers: dict[str, str]
    source: str
    verdict: dict[str, list[str]]
    wait: list[float]
    argued: str

    def body(self) -> bytes:
        kind, _, rest = self.answer.partition(":")
        if kind == "page":
            return rest.encode()
        if kind == "json":
            return rest.strip().encode()
        return json.dumps(self._own()).encode()

    def _own(self) -> dict[str, Any]:
        if self.channel == "telegram":
            return {"ok": False, "error_code": self.status, "description": self.answer}
        if self.channel == "slack":
            return {"ok": False, "error": self.answer}
        code, _, words = self.answer.partition(": ")
        return {"code": int(code), "message": words}

    def attempt(self) -> Attempt:
        channel = CHANNELS[self.channel]
        operation = "send" if self.operation in SENDS else self.operation
        called = operation.startswith("call:")
        fields: dict[str, Any] = dict(SENDS.get(self.operation, {}))
        if operation in {"send", "edit"}:
            fields["part"] = Part(payload={channel.text: "x"})
        if operation in {"edit", "delete"}:
            fields["message_id"] = channel.message
        if called:
            fields["method"] = operation.removeprefix("call:")
        if called and self.channel == "discord":
            needed = set(route_of(operation).parameters) - {"channel"}
            fields["arguments"] = dict.fromkeys(sorted(needed), "5")
        return Attempt(
            operation=operation, envelope_id="e", instance_id="bot", room=channel.room, **fields
        )

    def disagreement(self, verdict: Verdict | None) -> str:
        """What the verdict says otherwise; empty: nothing."""
        if verdict is None:
            return "taken for a yes"
        given = {
            "class": verdict.error_class.value,
            "reason": verdict.reason.value,
            "scope": verdict.scope.value,
            "dispatched": verdict.dispatched,
            "transform": verdict.transform or "",
        }
        if given["transform"] and any(self.verdict["transform"]):
            del given["class"]  # `retries.decide` changes the part and tries again, for either
        other = [f"{name} {x}" for name, x in given.items() if x not in self.verdict[name]]
        if self.wait and verdict.retry_after not in self.wait:
            other.append(f"wait {verdict.retry_after}")
        return ", ".join(other)


def rows() -> list[dict[str, str]]:
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def rows_of(channel: str) -> list[Row]:
    return [made(row, channel) for row in rows() if row["channel"] in (channel, "all")]


def made(row: dict[str, str], channel: str) -> Row:
    words = ("class", "reason", "scope", "dispatched", "transform")
    headers = [header.split(": ", 1) for header in row["headers"].split("; ") if header]
    return Row(
        channel=channel,
        operation=row["operation"],
        status=int(row["status"]),
        answer=row["answer"],
        headers=dict(headers),
        source=row["source"],
        verdict={word: row[word].split("|") for word in words},
        wait=[float(seconds) for seconds in row["wait"].split("|") if seconds],
        argued=row["argued"],
    )


async def verdict_on(row: Row) -> Verdict | None:
    """What the adapter makes of the answer; None: a yes."""
    channel, step = CHANNELS[row.channel], row.attempt()
    instance = Instance("bot", row.channel, channel.settings)

    async def platform(scope, receive, send):
        await Response(row.body(), row.status, row.headers)(scope, receive, send)

    perform = {"send": channel.hooks.send, "edit": channel.hooks.edit}
    perform["delete"] = channel.hooks.delete
    async with open_network() as network, channel.hooks.open_session(instance=instance) as session:
        network.mount(channel.host, platform)
        try:
            await perform.get(step.operation, channel.hooks.call)(session=session, attempt=step)
        except Exception as error:  # noqa: BLE001 - whatever it is, it has a verdict
            return channel.hooks.classify_error(attempt=step, error=error)
    return None


@pytest.mark.parametrize("channel", CHANNELS)
async def test_adapters_judge_as_a_careful_reader_does(channel, autojump_clock):
    """At least 99 of 100; of the others the table says why."""
    table, other = rows_of(channel), {}
    for row in table:
        disagreement = row.disagreement(await verdict_on(row))
        if disagreement:
            other[row] = f"{row.operation} {row.status} {row.answer[:70]!r}: {disagreement}"
    agreed = 1 - len(other) / len(table)
    report = f"{channel}: {agreed:.1%} of {len(table)} agree"
    print(report, *other.values(), sep="\n  ")  # noqa: T201 - the report; `pytest -s` shows it
    assert [] == [words for row, words in other.items() if not row.argued]
    assert [] == [row.answer for row in table if row.argued and row not in other]
    assert agreed >= AGREEMENT


def test_the_table_is_large_and_names_its_sources():
    table, asked = rows(), ("channel", "operation", "status", "answer", "headers")
    assert len(table) >= 250
    assert [] == [row for row in table if not row["source"].strip()]
    keys = Counter(tuple(row[name] for name in asked) for row in table)
    assert [] == [key for key, count in keys.items() if count > 1]


def test_the_table_speaks_in_the_words_of_verdicts():
    words = {
        "class": {*ErrorClass},
        "reason": {*Reason},
        "scope": {*Scope},
        "dispatched": {*get_args(Dispatched)},
        "transform": {"", *get_args(Transform)},
    }
    for row in rows():
        for name, known in words.items():
            assert set(row[name].split("|")) <= known, row
