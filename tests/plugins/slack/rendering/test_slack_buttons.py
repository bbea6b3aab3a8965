"""Buttons beside a text that has no blocks: Slack shows blocks alone where there are some."""

from __future__ import annotations

import pytest

from gateway_core import Button
from gateway_core.authors import Attempt, Part
from gateway_plugin_slack.methods import POST_EXTRA, POST_FIELDS
from gateway_plugin_slack.rendering.buttons import fields_with
from gateway_plugin_slack.requests import content_of

ROWS = ((Button("Yes", "y"),),)
DIVIDER = {"type": "divider"}


def blocks(text, mode, extra, *, mrkdwn=False):
    part = Part(payload={"text": text, "mrkdwn": mrkdwn})
    attempt = Attempt(
        operation="send",
        envelope_id="e",
        instance_id="bot",
        room="C024BE91L",
        part=part,
        extra=extra,
        mode=mode,
    )
    return content_of(attempt, POST_FIELDS, POST_EXTRA).get("blocks")


@pytest.mark.parametrize(("mrkdwn", "kind"), [(True, "mrkdwn"), (False, "plain_text")])
def test_the_text_becomes_blocks_of_3_000_characters(mrkdwn, kind):
    *sections, actions = blocks("word " * 700, "as_asked", fields_with(ROWS, {}), mrkdwn=mrkdwn)
    assert [("section", kind)] * 2 == [(b["type"], b["text"]["type"]) for b in sections]
    assert ("word " * 700).strip() == " ".join(b["text"]["text"].strip() for b in sections)
    assert all(len(b["text"]["text"]) <= 3_000 for b in sections)
    assert "actions" == actions["type"]


def test_where_slack_refused_the_formatting_buttons_stay_and_other_blocks_go():
    extra = fields_with(ROWS, {"blocks": [DIVIDER]})
    assert ["section", "actions"] == [b["type"] for b in blocks("hello", "plain", extra)]
    assert blocks("hello", "plain", {"blocks": [DIVIDER]}) is None


def test_without_a_text_there_is_no_block_for_it():
    assert ["actions"] == [b["type"] for b in blocks("", "as_asked", fields_with(ROWS, {}))]
    assert blocks("hello", "as_asked", {}) is None
