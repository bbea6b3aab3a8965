"""Texts for Telegram: byte for byte, in parts that fit."""

from __future__ import annotations

import pytest

from gateway_core import Call, Send
from gateway_plugin_telegram import hooks
from gateway_plugin_telegram.rendering.plain import utf16_units

WHERE = {"instance_id": "support", "external_room_id": "-100123"}
FAMILY = "👨‍👩‍👧‍👦"


def plan(instance, text, mode="as_asked", **fields):
    fields = {"format": "plain"} | fields
    return hooks.chunk(instance, Send(**WHERE, text=text, **fields), mode)


def test_a_text_that_fits_is_one_part_byte_for_byte(instance):
    text = f"  @everyone <b>&amp;</b> *not bold* {FAMILY}\n"
    [part] = plan(instance, text, link_previews=True)
    assert {"text": text} == part.payload
    assert (0, len(text)) == part.span


def test_the_limit_counts_code_points(instance):
    assert [4096] == [len(part.payload["text"]) for part in plan(instance, "😀" * 4096)]
    assert [4096, 1] == [len(part.payload["text"]) for part in plan(instance, "😀" * 4097)]


@pytest.mark.parametrize("mode", ["stricter", "plain"])
def test_after_a_refusal_utf16_units_are_counted(instance, mode):
    parts = plan(instance, "😀" * 4096, mode)
    assert [4096, 4096] == [utf16_units(part.payload["text"]) for part in parts]


def test_no_part_is_more_than_the_server_reads(instance):
    """32,768 bytes of raw text: out of reach of 4,096 code points."""
    parts = plan(instance, "\U0010ffff" * 10_000)
    assert max(len(part.payload["text"].encode()) for part in parts) == 16_384


def test_spans_tell_where_a_part_came_from(instance):
    text = "first paragraph " * 200 + "\n\n" + "second one " * 300
    parts = plan(instance, text)
    assert len(parts) == 2
    assert [text[slice(*part.span)] for part in parts] == [part.payload["text"] for part in parts]
    assert "".join(text.split()) == "".join("".join(part.payload["text"] for part in parts).split())


def test_a_stretch_of_nothing_visible_makes_no_part(instance):
    """The server would refuse such a part as empty."""
    [part] = plan(instance, "x" * 4096 + "\u200b" * 4096)
    assert "x" * 4096 == part.payload["text"]
    assert [] == plan(instance, "\u200b" * 10)


def test_a_call_has_no_plan(instance):
    assert () == hooks.chunk(instance, Call(**WHERE, method="getMe"), "as_asked")
