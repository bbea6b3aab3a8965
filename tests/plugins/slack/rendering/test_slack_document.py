"""Markdown as rich_text blocks: the elements that each construct becomes."""

from __future__ import annotations

import json

import pytest

from gateway_core import Secret, Send
from gateway_plugin_slack.rendering.parts import parts_of
from gateway_plugin_slack.settings import Settings


def elements(source: str, *, part_bytes: int = 4000, **fields) -> list[dict]:
    message = Send(
        instance_id="i", external_room_id="C024BE91L", text=source, format="markdown", **fields
    )
    parts = parts_of(Settings(token=Secret("xoxb-1"), part_bytes=part_bytes), message, "as_asked")
    return [element for part in parts for element in part.payload["blocks"][0]["elements"]]


def text(words: str, **style: bool) -> dict:
    return {"type": "text", "text": words, **({"style": style} if style else {})}


def section(*inner: dict) -> dict:
    return {"type": "rich_text_section", "elements": list(inner)}


def listed(style: str, *items: dict, indent: int = 0, **fields) -> dict:
    return {
        "type": "rich_text_list", "style": style, "elements": list(items), "indent": indent,
        **fields,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# T\ntext", [section(text("T", bold=True), text("\ntext"))]),
        ("***a***", [section(text("a", italic=True, bold=True))]),
        ("- a\n- b\n  - c", [
            listed("bullet", section(text("a")), section(text("b"))),
            listed("bullet", section(text("c")), indent=1),
        ]),
        ("3. a\n4. b", [listed("ordered", section(text("a")), section(text("b")), offset=2)]),
        ("1. a\n\n5) b", [
            listed("ordered", section(text("a")), offset=0),
            listed("ordered", section(text("b")), offset=4),
        ]),
        ("- a\n\n  b", [listed("bullet", section(text("a\nb")))]),
        ("-\n- a", [listed("bullet", section(text(" ")), section(text("a")))]),
        ("- a\n\n# T\nb", [
            listed("bullet", section(text("a"))),
            section(text("\n"), text("T", bold=True), text("\nb")),
        ]),
        ("- a\n\nb", [listed("bullet", section(text("a"))), section(text("\nb"))]),
        ("> a\n\n# T", [
            {"type": "rich_text_quote", "elements": [text("a")]},
            section(text("\n"), text("T", bold=True)),
        ]),
        ("- [x] a", [section(text("☑ a"))]),
        ("```py\nx\n```", [{"type": "rich_text_preformatted", "elements": [text("x")]}]),
        ("> a\n>\n> - b", [
            {"type": "rich_text_quote", "elements": [text("a")]},
            listed("bullet", section(text("b")), border=1),
        ]),
        ("[a **b**](http://c.d)", [section(
            {"type": "link", "url": "http://c.d", "text": "a "},
            {"type": "link", "url": "http://c.d", "text": "b", "style": {"bold": True}},
        )]),
        ("<!channel> <@U024BE7LH>", [section(text("<!channel> <@U024BE7LH>"))]),
    ],
)  # fmt: skip
def test_constructs(source, expected):
    assert expected == elements(source)


def test_mentions_that_are_asked_for_are_elements_that_notify():
    source = "**hi <@U024BE7LH|ada>** <!here>, <!subteam^S0123> `<@U024BE7LH>` end"
    assert [
        section(
            text("hi ", bold=True),
            {"type": "user", "user_id": "U024BE7LH"},
            text(" "),
            {"type": "broadcast", "range": "here"},
            text(", "),
            {"type": "usergroup", "usergroup_id": "S0123"},
            text(" "),
            text("<@U024BE7LH>", code=True),
            text(" end"),
        )
    ] == elements(source, mentions=True)


def test_an_item_that_goes_on_in_the_next_part_has_no_second_marker():
    first, second = elements("- " + "word " * 30, part_bytes=100)
    assert ("rich_text_list", "rich_text_section") == (first["type"], second["type"])


def planned(text: str, **fields) -> list:
    message = Send(instance_id="i", external_room_id="C1", text=text, **fields)
    return list(parts_of(Settings(token=Secret("xoxb-1")), message, "as_asked"))


@pytest.mark.parametrize("form", ["markdown", "plain"])
def test_a_text_stands_beside_blocks_of_the_callers_own(form):
    """The attempt puts theirs behind it."""
    [part] = planned("a", format=form, extra={"blocks": [{"type": "divider"}]})
    assert [{"type": "rich_text", "elements": [section(text("a"))]}] == part.payload["blocks"]


def test_the_callers_own_blocks_take_of_the_room_for_all():
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}] * 3
    without = planned("**a** " * 600)
    beside = planned("**a** " * 600, extra={"blocks": blocks})
    sizes = [len(json.dumps(part.payload["blocks"])) for part in beside]
    assert len(beside) > len(without)
    assert max(sizes) <= 12_000 - len(json.dumps(blocks))
    full = planned("**a** " * 600, extra={"blocks": blocks * 4})
    assert max(len(json.dumps(part.payload["blocks"])) for part in full) <= 3_000


def test_a_plain_text_is_exact_and_its_addresses_are_links():
    [part] = planned("*a* _b_ :c: <!here> https://x.example.", format="plain")
    link = {"type": "link", "url": "https://x.example", "text": "https://x.example"}
    assert [section(text("*a* _b_ :c: <!here> "), link, text("."))] == part.payload["blocks"][0][
        "elements"
    ]


def test_control_and_bidirectional_characters_are_neutral():
    for form, shown in (("plain", "a b\tc"), ("native", "a b\tc"), ("markdown", "a b c")):
        [part] = planned("a\x07b\t\u202ec", format=form)
        assert shown == part.payload["text"]


def test_a_part_whose_blocks_were_refused_is_its_source():
    message = Send(instance_id="i", external_room_id="C1", text="**a**", format="markdown")
    [part] = parts_of(Settings(token=Secret("xoxb-1")), message, "plain")
    assert ("**a**", False) == (part.payload["text"], "blocks" in part.payload)
