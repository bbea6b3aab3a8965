"""Where incoming updates came from."""

from __future__ import annotations

import pytest
import telegram

from gateway_core import Address
from gateway_plugin_telegram import hooks


def address(room, thread, reply, key) -> Address:
    return Address(external_room_id=room, thread_id=thread, reply_to=reply, key=key)


MESSAGE = {"message_id": 5, "chat": {"id": -1001234567890, "type": "supergroup"}, "date": 0}
TOPIC = {**MESSAGE, "message_thread_id": 3, "is_topic_message": True}
CHAIN = {**MESSAGE, "message_thread_id": 3}


def place(address):
    """Where an answer goes, without who asked."""
    if address is None:
        return None
    room, reply, key = address.external_room_id, address.reply_to, address.key
    return Address(external_room_id=room, thread_id=address.thread_id, reply_to=reply, key=key)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"update_id": 1, "message": MESSAGE}, address("-1001234567890", None, "5", "update-1")),
        ({"update_id": 2, "message": TOPIC}, address("-1001234567890", "3", "5", "update-2")),
        ({"update_id": 3, "edited_message": CHAIN},
         address("-1001234567890", None, "5", "update-3")),
        ({"update_id": 4, "channel_post": MESSAGE},
         address("-1001234567890", None, "5", "update-4")),
        ({"update_id": 5, "callback_query": {"id": "9", "message": TOPIC}},
         address("-1001234567890", "3", "5", "update-5")),
        ({"update_id": 6, "message_reaction": {"chat": {"id": 7}, "message_id": 8}},
         address("7", None, "8", "update-6")),
        # In an ordinary group, as in the ids of sent messages; the key keeps to the number.
        ({"chat": {"id": -7}, "message_id": 8}, address("-7", None, "-7:8", "message--7-8")),
        ({"update_id": 6, "message_reaction": {"chat": {"id": -7}, "message_id": 8}},
         address("-7", None, "-7:8", "update-6")),
        ({"update_id": 7, "my_chat_member": {"chat": {"id": 7}, "date": 0}},
         address("7", None, None, "update-7")),
        (MESSAGE, address("-1001234567890", None, "5", "message--1001234567890-5")),
        ({**MESSAGE, "edit_date": 9},
         address("-1001234567890", None, "5", "message--1001234567890-5-9")),
        ({"id": "9", "chat_instance": "1", "message": TOPIC},
         address("-1001234567890", "3", "5", "callback-9")),
        ({"update_id": 8, "poll": {"id": "1"}}, None),
        ({"update_id": 9, "callback_query": {"id": "9", "inline_message_id": "x"}}, None),
        ({"update_id": 10, "business_message": MESSAGE}, None),
        ({**MESSAGE, "business_connection_id": "b"}, None),
        # A reaction's message has been answered under its own key already.
        ({"chat": {"id": 7}, "message_id": 8, "date": 0, "old_reaction": [], "new_reaction": []},
         address("7", None, "8", None)),
        ({"chat": {"id": 7}, "message_id": 8, "date": 0, "reactions": []},
         address("7", None, "8", None)),
        ({"update_id": 11, "message": {"chat": {"id": "7"}}}, None),
        ({"update_id": 12, "message": {"chat": 7}}, None),
        ([], None),
        (None, None),
        ("text", None),
    ],
)  # fmt: skip
def test_where_an_update_came_from(event, expected):
    assert expected == place(hooks.address(event))


UPDATES = [
    {"update_id": 1, "message": MESSAGE},
    {"update_id": 2, "message": TOPIC},
    {"update_id": 3, "edited_message": {**CHAIN, "edit_date": 9}},
    {
        "update_id": 5,
        "callback_query": {
            "id": "9",
            "from": {"id": 1, "is_bot": False, "first_name": "A"},
            "chat_instance": "1",
            "data": "yes",
            "message": TOPIC,
        },
    },
    {
        "update_id": 8,
        "poll_answer": {"poll_id": "1", "option_ids": [0], "option_persistent_ids": ["x"]},
    },
]


@pytest.mark.parametrize("update", UPDATES)
def test_the_objects_of_python_telegram_bot_say_the_same_as_their_json(update):
    read = telegram.Update.de_json(update, None)
    assert hooks.address(update) == hooks.address(read)
    for carried in (read.message, read.edited_message, read.callback_query):
        if carried is not None:
            assert hooks.address(carried.to_dict()) == hooks.address(carried)


@pytest.mark.parametrize("update", UPDATES[:4])
def test_the_objects_of_aiogram_say_the_same_as_their_json(update):
    types = pytest.importorskip("aiogram.types", reason="aiogram is not installed")
    assert hooks.address(update) == hooks.address(types.Update.model_validate(update))


def test_who_asked_and_where():
    """A press is of whoever pressed, and not of the bot whose message has the button."""
    private = {"chat": {"id": 7, "type": "private"}, "message_id": 8, "from": {"id": 5}}
    found = hooks.address({"update_id": 1, "message": private})
    assert ("5", True, "8") == (found.user_id, found.direct, found.message_id)
    press = {"id": "x", "chat_instance": "y", "from": {"id": 6}, "message": private}
    for pressed in ({"update_id": 1, "callback_query": press}, press):
        found = hooks.address(pressed)
        assert ("6", "x", False) == (
            found.user_id,
            found.interaction.id,
            found.interaction.by_token,
        )
    post = {"chat": {"id": -100, "type": "channel"}, "message_id": 8}
    found = hooks.address({"update_id": 1, "channel_post": post})
    assert (None, False) == (found.user_id, found.direct)
    assert hooks.typing(found) is None
