"""The table beside other libraries counts our own messages as it counts theirs."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from bench import text as bench

SOURCE = (Path(__file__).parents[1] / "texts/01-deploy-checklist-en.md").read_text()


def without_entities(payload):
    return {**payload, "entities": []}


def without_its_end(payload):
    return {**payload, "text": payload["text"][:-9]}


def too_long(payload):
    return {**payload, "text": payload["text"] + "x" * 5000}


def italic(payload):
    return {
        **payload,
        "blocks": json.loads(json.dumps(payload["blocks"]).replace("bold", "italic")),
    }


def without_stars(payload):
    return {**payload, "content": payload["content"].replace("**", "")}


@pytest.fixture(autouse=True)
def _one_text(monkeypatch):
    monkeypatch.setattr(bench, "texts", lambda: [SOURCE])


@pytest.mark.parametrize("name", bench.OURS)
def test_nothing_is_counted_of_our_messages(name):
    row = bench.measured(*bench.OURS[name])
    assert [0, 0, 0, 0] == [row[count] for count in ("over", "lost", "wrong", "failed")]


@pytest.mark.parametrize(
    ("name", "spoilt", "counted"),
    [
        ("gateway, Telegram", without_entities, "wrong"),
        ("gateway, Telegram", without_its_end, "lost"),
        ("gateway, Telegram", too_long, "over"),
        ("gateway, Slack", italic, "wrong"),
        ("gateway, Discord", without_stars, "wrong"),
    ],
)
def test_it_would_count_ours_if_they_were_worse(name, spoilt, counted):
    limit, plan, read = bench.OURS[name]

    def worse(source):
        return [attrs.evolve(part, payload=spoilt(part.payload)) for part in plan(source)]

    assert bench.measured(limit, worse, read)[counted] > 0
