"""What of an envelope is refused before acceptance, by its field."""

from __future__ import annotations

import attrs
import pytest

from gateway_core import (
    Call,
    Delete,
    Edit,
    Instance,
    KeyRef,
    MessageRef,
    PartRef,
    Problem,
    Secret,
    Send,
)
from gateway_plugin_telegram import TelegramSettings, hooks
from gateway_plugin_telegram.checks import OWNED
from gateway_plugin_telegram.rendering.plain import is_blank

BOT = Instance("support", "telegram", TelegramSettings(token=Secret("1:a")))
WHERE = {"instance_id": "support", "external_room_id": "-100123"}
FAMILY = "👨‍👩‍👧‍👦"


def places(envelope) -> list[str]:
    problems = hooks.validate(BOT, envelope)
    assert all(isinstance(problem, Problem) and problem.text for problem in problems)
    return [problem.place for problem in problems]


@pytest.mark.parametrize("room", ["7", "-7", "-1001234567890", "@name", "@a_b_1"])
def test_rooms_of_the_right_form(room):
    assert [] == places(Send(instance_id="support", external_room_id=room, text="x"))


@pytest.mark.parametrize(
    "room",
    [
        "",
        "0",
        "-0",
        "007",
        "name",
        "@",
        "@1abc",
        "@ab",
        "--7",
        "7.0",
        "+7",
        "٣",
        "7\n",
        " 7",
        "1" * 20,
    ],
)
def test_rooms_of_the_wrong_form(room):
    expected = ["external_room_id"]
    assert expected == places(Send(instance_id="support", external_room_id=room, text="x"))
    call = Call(instance_id="support", external_room_id=room, method="sendDice")
    assert expected == places(call)
    assert (expected if room else []) == places(attrs.evolve(call, method="getMe"))
    named = attrs.evolve(call, arguments={"chat_id": 7})
    assert (expected if room else []) == places(named)


def test_every_problem_of_a_send_is_named_at_once():
    send = Send(
        instance_id="support",
        external_room_id="general",
        text=" <b>\n",
        thread_id="topic",
        reply_to="-3",
        format="native",
        extra={"parse_mode": "HTML", "chat_id": 1, "reply_markup": {}},
    )
    expected = ["external_room_id", "text", "text", "extra.chat_id", "extra.parse_mode"]
    assert [*expected, "thread_id", "reply_to"] == places(send)


@pytest.mark.parametrize("name", sorted(OWNED))
def test_an_edit_s_extra_leaves_the_envelope_its_fields(name):
    target = KeyRef(instance_id="support", external_room_id="-100123", key="k")
    edit = Edit(**WHERE, target=target, text="x", extra={name: 1})
    assert [f"extra.{name}"] == places(edit)


def test_targets_are_checked_part_by_part():
    parts = (PartRef(message_id="1"), PartRef(message_id="one"))
    target = MessageRef(**WHERE, envelope_id="e", parts=parts)
    assert ["target.parts[1].message_id"] == places(Delete(**WHERE, target=target))
    assert ["target.parts[1].message_id"] == places(Edit(**WHERE, target=target, text="x"))


@pytest.mark.parametrize("method", ["", "../getMe", "get Me", "getMe?x", "sendPhoto2", "get/Me"])
def test_a_call_s_method_cannot_lead_elsewhere(method):
    assert ["method"] == places(Call(**WHERE, method=method))
    assert ["thread_id"] == places(Call(**WHERE, method="getMe", thread_id="x"))


BLANK = ["", " ", "\n\n", "\t\r\x0b", "\u00a0", "\u200b\u200c\u200d", "\u2800", "\u3000", "\ufeff",
         "\u202e", "\u2028", "\ufffc", "\x01", "\u200e\u200f"]  # fmt: skip


@pytest.mark.parametrize("text", BLANK)
def test_a_text_of_nothing_visible_is_refused(text):
    assert is_blank(text)
    assert ["text"] == places(Send(**WHERE, text=text))


@pytest.mark.parametrize("text", [".", " x ", "\u200bא", "0", FAMILY, "\u00ad", "\u3164"])
def test_a_text_of_something_visible_is_not(text):
    assert [] == places(Send(**WHERE, text=text))


def test_a_field_that_the_method_does_not_know_is_named():
    """The server would pass it over in silence: a name mistyped, or another method's."""
    target = MessageRef(**WHERE, envelope_id="e")
    assert ["extra.reply_markp"] == places(Send(**WHERE, text="x", extra={"reply_markp": {}}))
    protected = {"protect_content": True}
    assert [] == places(Send(**WHERE, text="x", extra=protected))
    edit = Edit(**WHERE, target=target, text="x", extra=protected)
    assert ["extra.protect_content"] == places(edit)
