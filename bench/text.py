"""Compares Markdown to messages with other libraries: over the limit, lost, wrong style, µs per KB.

`python -m bench.text` prints the table, `--json` one object. `--fuzz N` instead plans N hostile
texts, and texts of half a megabyte, and measures the time. The other libraries are in
`bench/requirements.txt`; a library that is not installed is printed as absent.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from bench import text_reading as reading
from gateway_core import Part, Secret, Send
from gateway_core.text import parse
from gateway_core.text.reading import builder
from gateway_plugin_discord.rendering import parts as discord
from gateway_plugin_slack.rendering import parts as slack
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.rendering import parts as telegram
from gateway_plugin_telegram.settings import TelegramSettings

TEXTS = Path(__file__).parents[1] / "tests/texts"
TELEGRAM, DISCORD, SLACK = 4096, 2000, 4000
KILOBYTE = 1024
AIM_US = 250
"""The aim for a plan of an answer of 4 KB, in microseconds."""
COMPILED = not str(builder.__file__).endswith(".py")
Outcome = tuple[list[int], reading.Seen]
"""The size of each message, and what a reader sees of all messages."""


def message(source: str) -> Send:
    return Send(instance_id="i", external_room_id="1", text=source, format="markdown")


TELEGRAM_SETTINGS = TelegramSettings(token=Secret("1:" + "a" * 35))
SLACK_SETTINGS = SlackSettings(token=Secret("xoxb-1"))


def on_telegram(source: str) -> list[Part]:
    return list(telegram.parts_of(TELEGRAM_SETTINGS, message(source), "as_asked"))


def on_slack(source: str) -> list[Part]:
    return list(slack.parts_of(SLACK_SETTINGS, message(source), "as_asked"))


def on_discord(source: str) -> list[Part]:
    return list(discord.parts_of(message(source), limit=DISCORD))


def read_telegram(parts: list[Part]) -> Outcome:
    seen: reading.Seen = []
    for part in parts:
        entities = part.payload.get("entities", [])
        places = [(e["type"], e["offset"], e["length"]) for e in entities]
        seen += [*reading.of_entities(part.payload["text"], places), ("\n", frozenset())]
    return [len(part.payload["text"]) for part in parts], seen


def read_slack(parts: list[Part]) -> Outcome:
    seen = [pair for part in parts for pair in reading.of_rich_text(part.payload["blocks"])]
    return [len(part.payload["text"].encode()) for part in parts], seen


def read_discord(parts: list[Part]) -> Outcome:
    """Read Discord's messages as CommonMark, which is near enough; the tests check styles."""
    contents = [part.payload["content"] for part in parts]
    return [len(c.encode("utf-16-le")) // 2 for c in contents], reading.of_chunks(contents)


# -- the other libraries: how each plans a text of any length, and how its messages are read


def _telegramify(module: Any, source: str) -> Any:
    return module.split_entities(*module.convert(source), TELEGRAM)


def _read_telegramify(pieces: Any) -> Outcome:
    seen: reading.Seen = []
    for text, entities in pieces:
        places = [(e.type, e.offset, e.length) for e in entities]
        seen += [*reading.of_entities(text, places), ("\n", frozenset())]
    return [len(text) for text, _ in pieces], seen


def _chatgpt(module: Any, source: str) -> Any:
    return module.split_html_for_telegram(module.telegram_format(source))


def _read_html(pieces: Any) -> Outcome:
    read = [reading.of_html(piece) for piece in pieces]
    seen = [pair for one in read for pair in [*one, ("\n", frozenset())]]
    return [len(one) for one in read], seen


def _slackify(module: Any, source: str) -> Any:
    return [module.slackify_markdown(source)]


def _mrkdwn(module: Any, source: str) -> Any:
    return [module.SlackMarkdownConverter().convert(source)]


def _read_mrkdwn(pieces: Any) -> Outcome:
    seen = [pair for piece in pieces for pair in reading.of_mrkdwn(piece)]
    return [len(piece.encode()) for piece in pieces], seen


def _splitter(module: Any, source: str) -> Any:
    return module.MarkdownSplitter(TELEGRAM).chunks(source)


def _read_chunks(pieces: Any) -> Outcome:
    return [len(piece) for piece in pieces], reading.of_chunks(pieces)


OURS: dict[str, tuple[int, Callable[[str], Any], Callable[[Any], Outcome]]] = {
    "gateway, Telegram": (TELEGRAM, on_telegram, read_telegram),
    "gateway, Slack": (SLACK, on_slack, read_slack),
    "gateway, Discord": (DISCORD, on_discord, read_discord),
}
OTHERS: dict[str, tuple[str, int, Callable[[Any, str], Any], Callable[[Any], Outcome]]] = {
    "telegramify-markdown": ("telegramify_markdown", TELEGRAM, _telegramify, _read_telegramify),
    "chatgpt-md-converter": ("chatgpt_md_converter", TELEGRAM, _chatgpt, _read_html),
    "slackify-markdown": ("slackify_markdown", SLACK, _slackify, _read_mrkdwn),
    "markdown-to-mrkdwn": ("markdown_to_mrkdwn", SLACK, _mrkdwn, _read_mrkdwn),
    "semantic-text-splitter": ("semantic_text_splitter", TELEGRAM, _splitter, _read_chunks),
}


def texts() -> list[str]:
    """The bundled texts, and all of them as one text; only this one is cut by every limit."""
    single = [path.read_text() for path in sorted(TEXTS.glob("[0-9]*.md"))]
    return [*single, "\n\n".join(single)]


def fastest(call: Callable[[], Any], rounds: int = 5) -> float:
    """CPU seconds of the fastest of some rounds, which the machine's other work disturbs least."""
    took = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        took.append(time.process_time() - start)
    return min(took)


def measured(
    limit: int, plan: Callable[[str], Any], read: Callable[[Any], Outcome]
) -> dict[str, Any]:
    """One row of the table."""
    row = {"messages": 0, "over": 0, "lost": 0, "wrong": 0, "failed": 0}
    rates = []
    for source in texts():
        try:
            sizes, seen = read(plan(source))
        except Exception:  # noqa: BLE001 - whatever a library raises on a text counts
            row["failed"] += 1
            continue
        lost, wrong = reading.compare(reading.of_document(parse(source)), seen)
        row["messages"] += len(sizes)
        row["over"] += sum(size > limit for size in sizes)
        row["lost"] += lost
        row["wrong"] += wrong
        rates.append(fastest(partial(plan, source)) * 1e6 / (len(source.encode()) / 1024))
    return {**row, "us_per_kb": round(median(rates), 1)}


ANSWERS = {
    "prose": ("13-long-essay-en", "13-long-essay-en"),
    "mixed": ("02-sql-explained-en", "25-incident-report-en", "12-config-review-en"),
    "lists": ("01-deploy-checklist-en", "01-deploy-checklist-en"),
}


def answer(kind: str) -> str:
    """4 KB of the bundled texts: an essay; headings, tables, code and lists; nested lists."""
    return first_four("\n\n".join((TEXTS / f"{name}.md").read_text() for name in ANSWERS[kind]))


def first_four(text: str) -> str:
    return text.encode()[: 4 * KILOBYTE].decode(errors="ignore")


def lengthened(text: str) -> str:
    """A text of 4 KB: this one, again and again."""
    return first_four("\n\n".join([text] * (4 * KILOBYTE // len(text.encode()) + 1)))


def four_kilobytes() -> dict[str, dict[str, float]]:
    """µs for a plan of an answer of 4 KB, and for its parsing alone."""
    planned = {kind: _timed(answer(kind), 100) for kind in ANSWERS}
    each = [_timed(lengthened(text), 30) for text in texts()[:-1]]
    columns = {name: [row[name] for row in each] for name in next(iter(planned.values()))}
    within = {name: sum(took < AIM_US for took in column) for name, column in columns.items()}
    return {
        **planned,
        "each text, median": {name: median(column) for name, column in columns.items()},
        "each text, slowest": {name: max(column) for name, column in columns.items()},
        f"each text, below {AIM_US} µs, of {len(each)}": within,
    }


def _timed(text: str, rounds: int) -> dict[str, float]:
    ways: dict[str, Callable[[str], Any]] = {name: how[1] for name, how in OURS.items()}
    return {
        name: round(fastest(partial(way, text), rounds) * 1e6, 1)
        for name, way in {**ways, "parsing": parse}.items()
    }


def table() -> dict[str, Any]:
    rows: dict[str, Any] = {name: measured(*how) for name, how in OURS.items()}
    for name, (module, limit, plan, read) in OTHERS.items():
        try:
            found = importlib.import_module(module)
        except ImportError:
            rows[name] = "absent"
            continue
        rows[name] = measured(limit, partial(plan, found), read)
    return {
        "texts": len(texts()),
        "compiled": COMPILED,
        "table": rows,
        "plan_of_4_kb_us": four_kilobytes(),
    }


# -- hostile texts

PIECES = [
    "[", "](", "**", "*", "_", "~~", "`", "```\n", "|", "\n", "> ", "- ", "# ", "\\", "<", "a",
    "http://a.b/", "\u200d", "\u202e", "\u0301", "🇫🇷", "\ud83d", "word ", "|-|-|\n",
]  # fmt: skip
PLANS = (on_telegram, on_slack, on_discord)


def hostile(random: Random) -> str:
    few = random.sample(PIECES, random.randint(1, 6))
    return "".join(
        random.choice(few) * random.choice((1, 2, random.randint(1, 90)))
        for _ in range(random.randint(1, 40))
    )


def fuzz(count: int) -> dict[str, Any]:
    """Check that no text raises, and find the worst ratio of time between a text and its double."""
    random = Random("hostile")
    slowest = 0.0
    for _ in range(count):
        source = hostile(random)
        start = time.process_time()
        for plan in PLANS:
            plan(source)
        slowest = max(slowest, (time.process_time() - start) / max(len(source), 1000) * 1e6)
    ratios = {repr(piece): max(map(partial(_ratio, piece), PLANS)) for piece in PIECES}
    worst = max(ratios, key=lambda piece: ratios[piece])
    return {
        "inputs": count,
        "slowest_us_per_character": round(slowest, 2),
        "worst_ratio_of_double": {worst: round(ratios[worst], 2)},
    }


def _ratio(piece: str, plan: Callable[[str], Any]) -> float:
    half = piece * (250_000 // len(piece))
    once = fastest(partial(plan, half), 2)
    return fastest(partial(plan, half * 2), 2) / max(once, 0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--fuzz", type=int, default=0, metavar="N", help="plan N hostile texts")
    arguments = parser.parse_args()
    figures = fuzz(arguments.fuzz) if arguments.fuzz else table()
    if arguments.json or arguments.fuzz:
        print(json.dumps(figures))
        return
    columns = ("messages", "over", "lost", "wrong", "failed", "us_per_kb")
    print(f"the gateway's code is {'compiled' if figures['compiled'] else 'in Python'}")
    print(f"{figures['texts']} texts\n{'':24}" + "".join(f"{name:>11}" for name in columns))
    for name, row in figures["table"].items():
        cells = [row] if row == "absent" else [row[column] for column in columns]
        print(f"{name:24}" + "".join(f"{cell:>11}" for cell in cells))
    for name, times in figures["plan_of_4_kb_us"].items():
        print(f"µs for a plan of 4 KB, {name}: " + ", ".join(f"{k} {v}" for k, v in times.items()))


if __name__ == "__main__":
    main()
