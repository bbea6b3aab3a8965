"""What must hold of a text on each channel."""

from __future__ import annotations

import json

import regex
from seen.on_discord import expected_on_discord, loosened, read_discord, with_bullets
from seen.on_slack import expected_on_slack, read_slack
from seen.on_telegram import expected_on_telegram, read_telegram
from seen.plans import Seen, on_discord, on_slack, on_telegram, shown

from gateway_core.text import Document, Kind, Style, parse


def agree(document: Document, expected: list[Seen], parts: list[list[Seen]]) -> None:
    """The parts put together are the document, but for table headers that are repeated."""
    headers = {document.text[b.start : b.body] for b in document.blocks if b.kind is Kind.TABLE}
    at, cuts = 0, []
    for part in parts:
        wanted = expected[at : at + len(part)]
        for header in [*headers, ""]:
            repeated = len(list(shown(header)))
            if part != wanted and [s.sign for s in part[:repeated]] == [
                s.sign for s in shown(header)
            ]:
                shorter = part[repeated:]
                if shorter == expected[at : at + len(shorter)]:
                    part, wanted = shorter, shorter  # noqa: PLW2901 - without its header
        assert wanted == part
        at += len(part)
        cuts.append(at)
    assert at == len(expected)
    no_cluster_is_split(document.text, cuts[:-1])


def no_cluster_is_split(text: str, cuts: list[int]) -> None:
    """Each cut, told by how many visible characters stand before it, is between two clusters."""
    places = [at for at, sign in enumerate(text) for _ in shown(sign)]
    edges = {found.end() for found in regex.finditer(r"\X", text)}
    for cut in cuts:
        assert edges & {*range(places[cut - 1] + 1, places[cut] + 1)}


def check_telegram(source: str, limit: int) -> None:
    document = parse(source)
    parts = on_telegram(source, limit)
    assert all(len(part.payload["text"]) <= limit for part in parts)
    for part in parts:
        entities = part.payload.get("entities", [])
        assert len(entities) <= 100
        assert none_within_its_like(entities)
    agree(document, expected_on_telegram(document), [*map(read_telegram, parts)])


def none_within_its_like(entities: list[dict]) -> bool:
    """Whether no stretch has a style twice: each counts against what a message may have."""
    ends: dict[str, int] = {}
    for entity in sorted(entities, key=lambda one: one["offset"]):
        if entity["offset"] < ends.get(entity["type"], 0):
            return False
        ends[entity["type"]] = entity["offset"] + entity["length"]
    return True


def check_slack(source: str, limit: int) -> None:
    document = parse(source)
    parts = on_slack(source, limit)
    for part in parts:
        assert len(part.payload["text"].encode()) <= limit
        assert len(json.dumps(part.payload["blocks"], ensure_ascii=False)) <= 12_000
    agree(document, expected_on_slack(document), [*map(read_slack, parts)])


def check_discord(source: str, limit: int) -> None:
    document = parse(source)
    parts = on_discord(source, limit)
    code = [span for span in document.spans if span.style is Style.CODE]
    fenced = not any("```" in document.text[span.start : span.end] for span in code)
    for part in parts:
        assert len(part.payload["content"].encode("utf-16-le")) // 2 <= limit
        assert not fenced or part.payload["content"].count("```") % 2 == 0
    read = [[*map(loosened, read_discord(with_bullets(part)))] for part in parts]
    agree(document, [*map(loosened, expected_on_discord(document))], read)


CHECKS = {"telegram": check_telegram, "slack": check_slack, "discord": check_discord}
