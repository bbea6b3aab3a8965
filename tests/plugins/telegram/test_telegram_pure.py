"""The adapter's decisions without a network: settings, checks, plans, limits, addresses."""

from __future__ import annotations

import pytest
import telegram

from gateway_core import (
    Address,
    Call,
    Delete,
    Edit,
    Instance,
    KeyRef,
    Limit,
    MessageRef,
    PartRef,
    Problem,
    Secret,
    Send,
    Traits,
)
from gateway_plugin_telegram import TelegramSettings, hooks
from gateway_plugin_telegram.checks import OWNED
from gateway_plugin_telegram.ids import is_message_id, kept_id, number_in
from gateway_plugin_telegram.limits import REPEAT_SAFE_CALLS
from gateway_plugin_telegram.rendering.parts import is_blank, utf16_units

TOKEN = "123456789:AAbbCCddEEffGGhh-iiJJkkLLmm_nnOOpp"
WHERE = {"instance_id": "support", "external_room_id": "-100123"}
FAMILY = "👨‍👩‍👧‍👦"


def address(room, thread, reply, key) -> Address:
    return Address(external_room_id=room, thread_id=thread, reply_to=reply, key=key)


def settings(**fields) -> TelegramSettings:
    return TelegramSettings(token=Secret(TOKEN), **fields)


def places(envelope) -> list[str]:
    problems = hooks.validate(envelope)
    assert all(isinstance(problem, Problem) and problem.text for problem in problems)
    return [problem.place for problem in problems]


@pytest.mark.parametrize(
    "wrong", ["letmein", "98765", "abc:def", "1:a/b", "1:a?b", "1:a b", "1:", ":a", "1:a\n", "1:é"]
)
def test_a_token_of_another_form_is_refused_unseen(wrong):
    """Anything else would end up in the request's path."""
    with pytest.raises(ValueError, match="not a bot token") as caught:
        TelegramSettings(token=Secret(wrong))
    assert wrong not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "http://api.telegram.org"},
        {"base_url": "https://api.telegram.org/?x=1"},
        {"text_limit": 4097},
        {"text_limit": 1},
        {"chat_count": 0},
        {"bot_seconds": 0.0},
        {"read_timeout": 29.9},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r".") as caught:
        settings(**wrong)
    assert TOKEN not in str(caught.value)


def test_settings_never_print_the_token():
    assert TOKEN not in repr(settings(base_url="http://127.0.0.1:8081"))
    assert hooks.settings_type() is TelegramSettings


def test_traits_promise_no_deduplication():
    expected = Traits(independent_threads=True, repeat_safe_calls=REPEAT_SAFE_CALLS)
    assert expected == hooks.traits()


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
    assert expected == places(Call(instance_id="support", external_room_id=room, method="getMe"))


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


CHAT = Limit("chat:7", 1, 1.0, "even")
BOT = Limit("bot", 30, 1.0, "even")
GROUP = [Limit("chat:-7", 1, 1.0, "even"), Limit("group:-7", 20, 60.0, "window"), BOT]


@pytest.mark.parametrize(
    ("room", "operation", "expected"),
    [
        ("7", "send", [CHAT, BOT]),
        ("7", "edit", [CHAT, BOT]),
        ("7", "delete", [BOT]),
        ("-7", "send", GROUP),
        ("-7", "edit", GROUP),
        ("-7", "call:sendPhoto", GROUP),
        ("-7", "call:editMessageReplyMarkup", GROUP),
        ("-7", "call:copyMessage", GROUP),
        ("@news", "send", [Limit("chat:@news", 1, 1.0, "even"), BOT]),
        ("-7", "call:setMessageReaction", [BOT]),
        ("-7", "call:sendChatAction", []),
        ("-7", "call:SENDCHATACTION", []),
        ("-7", "call:answerCallbackQuery", []),
        ("-7", "call:getChat", []),
    ],
)
def test_what_an_attempt_draws_on(instance, room, operation, expected):
    assert expected == list(hooks.rate_limit(instance, room, operation, "normal"))
    assert expected == list(hooks.rate_limit(instance, room, operation, "bulk"))


def test_a_higher_ceiling_leaves_bulk_at_what_is_documented():
    """Thirty a second are documented for bulk notifications; other classes may go beyond."""
    bot = Instance("i", "telegram", settings(bot_count=60))
    for priority in ("urgent", "normal"):
        assert [CHAT, Limit("bot", 60, start=30)] == list(
            hooks.rate_limit(bot, "7", "send", priority)
        )
    bulk = [CHAT, Limit("bulk", 30), Limit("bot", 60, start=30)]
    assert bulk == list(hooks.rate_limit(bot, "7", "send", "bulk"))
    assert bulk[1:] == list(hooks.rate_limit(bot, "7", "delete", "bulk"))


def test_a_field_that_the_method_does_not_know_is_named():
    """The server would pass it over in silence: a name mistyped, or another method's."""
    target = MessageRef(**WHERE, envelope_id="e")
    assert ["extra.reply_markp"] == places(Send(**WHERE, text="x", extra={"reply_markp": {}}))
    protected = {"protect_content": True}
    assert [] == places(Send(**WHERE, text="x", extra=protected))
    edit = Edit(**WHERE, target=target, text="x", extra=protected)
    assert ["extra.protect_content"] == places(edit)


@pytest.mark.parametrize(
    ("room", "kept"),
    [
        ("7", "12"),
        ("@news", "12"),
        ("-1001234567890", "12"),
        ("-7", "-7:12"),
        ("-999999999999", "-999999999999:12"),
    ],
)
def test_a_message_of_a_group_that_may_move_carries_the_group(room, kept):
    assert kept == kept_id(room, 12)
    assert is_message_id(kept)
    assert 12 == number_in(room, kept)


def test_a_message_that_a_moved_group_left_behind_has_no_number_there():
    assert number_in("-1001234567890", "-7:12") is None
    assert 12 == number_in("-7", "12")  # an id as Telegram's own events have it


@pytest.mark.parametrize("text", ["", "-7", "x:1", "-7:", "-7:0", "7:12", "-7:-12", "-07:1"])
def test_anything_else_is_no_message_id(text):
    assert not is_message_id(text)


def test_limits_are_settings():
    own = settings(chat_count=2, chat_seconds=3, group_count=4, group_seconds=5, bot_count=6,
                   bot_seconds=7)  # fmt: skip
    expected = [
        Limit("chat:-7", 2, 3),
        Limit("group:-7", 4, 5, "window"),
        Limit("bot", 6, 7, "even"),
    ]
    assert expected == list(
        hooks.rate_limit(Instance("i", "telegram", own), "-7", "send", "urgent")
    )


MESSAGE = {"message_id": 5, "chat": {"id": -100123, "type": "supergroup"}, "date": 0}
TOPIC = {**MESSAGE, "message_thread_id": 3, "is_topic_message": True}
CHAIN = {**MESSAGE, "message_thread_id": 3}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"update_id": 1, "message": MESSAGE}, address("-100123", None, "5", "update-1")),
        ({"update_id": 2, "message": TOPIC}, address("-100123", "3", "5", "update-2")),
        ({"update_id": 3, "edited_message": CHAIN}, address("-100123", None, "5", "update-3")),
        ({"update_id": 4, "channel_post": MESSAGE}, address("-100123", None, "5", "update-4")),
        ({"update_id": 5, "callback_query": {"id": "9", "message": TOPIC}},
         address("-100123", "3", "5", "update-5")),
        ({"update_id": 6, "message_reaction": {"chat": {"id": 7}, "message_id": 8}},
         address("7", None, "8", "update-6")),
        ({"update_id": 7, "my_chat_member": {"chat": {"id": 7}, "date": 0}},
         address("7", None, None, "update-7")),
        (MESSAGE, address("-100123", None, "5", "message--100123-5")),
        ({**MESSAGE, "edit_date": 9}, address("-100123", None, "5", "message--100123-5-9")),
        ({"id": "9", "chat_instance": "1", "message": TOPIC},
         address("-100123", "3", "5", "callback-9")),
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
    assert expected == hooks.address(event)


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
