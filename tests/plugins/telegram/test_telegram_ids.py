"""The ids of messages, also of those in a group that may move."""

from __future__ import annotations

import pytest

from gateway_plugin_telegram.ids import is_message_id, message_id, number_in


@pytest.mark.parametrize(
    ("room", "stored"),
    [
        ("7", "12"),
        ("@news", "12"),
        ("-1001234567890", "12"),
        ("-7", "-7:12"),
        ("-999999999999", "-999999999999:12"),
    ],
)
def test_a_message_of_a_group_that_may_move_carries_the_group(room, stored):
    assert stored == message_id(room, 12)
    assert is_message_id(stored)
    assert 12 == number_in(room, stored)


def test_a_message_that_a_moved_group_left_behind_has_no_number_there():
    assert number_in("-1001234567890", "-7:12") is None
    assert 12 == number_in("-7", "12")  # an id as Telegram's own events have it


@pytest.mark.parametrize("text", ["", "-7", "x:1", "-7:", "-7:0", "7:12", "-7:-12", "-07:1"])
def test_anything_else_is_no_message_id(text):
    assert not is_message_id(text)
