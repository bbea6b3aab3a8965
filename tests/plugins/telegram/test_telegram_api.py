"""What the adapter sends, and what it makes of a yes."""

from __future__ import annotations

import attrs
import pytest

from gateway_core import Edit, Identity, Instance, MessageRef, Part, Send
from gateway_core.authors import Answer, TransportError
from gateway_plugin_telegram import TelegramApiError, hooks
from gateway_plugin_telegram.api import LONGEST_DESCRIPTION
from gateway_plugin_telegram.kinds import table
from gateway_plugin_telegram.media.kinds import KINDS
from gateway_plugin_telegram.methods import FIELDS

REF = MessageRef(instance_id="support", external_room_id="-100123", envelope_id="e0")


def part_of(instance: Instance, **fields) -> Part:
    envelope = Send(instance_id="support", external_room_id="-100123", text="hello", **fields)
    [part] = hooks.chunk(instance, envelope, "as_asked")
    return part


async def test_a_send_as_it_goes_over_the_wire(telegram, attempt, perform, instance, token):
    part = part_of(instance, silent=True)
    answer = await perform(attempt(part=part, thread="4", reply="12"))
    assert Answer(message_id="-100123:77") == answer
    assert [f"/bot{token}/sendMessage"] == telegram.paths
    sent = {
        "chat_id": -100123,
        "message_thread_id": 4,
        "text": "hello",
        "link_preview_options": {"is_disabled": True},
        "disable_notification": True,
        "reply_parameters": {"message_id": 12, "allow_sending_without_reply": False},
    }
    assert [("sendMessage", sent)] == telegram.posted


async def test_a_channel_is_addressed_by_its_name(telegram, attempt, perform, instance):
    await perform(attempt(room="@news_channel", part=part_of(instance, link_previews=True)))
    assert [("sendMessage", {"chat_id": "@news_channel", "text": "hello"})] == telegram.posted


async def test_extra_fields_are_merged_over_the_content(telegram, attempt, perform, instance):
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    extra = {"reply_markup": keyboard, "link_preview_options": {"url": "https://e.x"}, "x": None}
    await perform(attempt(part=part_of(instance), extra=extra))
    expected = {
        "chat_id": -100123,
        "text": "hello",
        "reply_markup": keyboard,
        "link_preview_options": {"url": "https://e.x"},
    }
    assert [("sendMessage", expected)] == telegram.posted


@pytest.mark.parametrize(
    ("markup", "kept"),
    [({"inline_keyboard": []}, True), ({"keyboard": []}, False), ({"force_reply": True}, False)],
)
async def test_of_keyboards_only_one_on_the_message_goes_with_an_edit(
    telegram, attempt, perform, instance, markup, kept
):
    """The others belong to the chat, and editMessageText refuses them."""
    await perform(attempt("edit", part=part_of(instance), extra={"reply_markup": markup}))
    [(_, fields)] = telegram.posted
    assert kept == ("reply_markup" in fields)


def test_an_edit_that_names_a_keyboard_of_the_chat_is_refused(instance):
    edit = Edit(
        instance_id="support",
        external_room_id="-100123",
        target=REF,
        text="hello",
        extra={"reply_markup": {"remove_keyboard": True}},
    )
    [problem] = hooks.validate(instance, edit)
    assert "extra.reply_markup" == problem.place


async def test_an_edit_and_a_delete(telegram, attempt, perform, instance):
    # A part that was planned for a silent send may come back in an edit.
    edited = await perform(attempt("edit", part=part_of(instance, silent=True)))
    telegram.answers(200, {"ok": True, "result": True})
    deleted = await perform(attempt("delete"))
    previews = {"is_disabled": True}
    assert [
        (
            "editMessageText",
            {
                "chat_id": -100123,
                "message_id": 9,
                "text": "hello",
                "link_preview_options": previews,
            },
        ),
        ("deleteMessage", {"chat_id": -100123, "message_id": 9}),
    ] == telegram.posted
    assert (Answer(message_id="9"), Answer(message_id="9")) == (edited, deleted)


@pytest.mark.parametrize(
    "case",
    [
        ("sendChatAction", {"action": "typing"}, "4",
         {"chat_id": -100123, "message_thread_id": 4, "action": "typing"}),
        ("setmessagereaction", {"message_id": 3, "reaction": []}, None,
         {"chat_id": -100123, "message_id": 3, "reaction": []}),
        ("answerCallbackQuery", {"callback_query_id": "1", "text": None}, "4",
         {"callback_query_id": "1"}),
        ("getChat", {"chat_id": "@other_chat"}, None, {"chat_id": "@other_chat"}),
    ],
)  # fmt: skip
async def test_a_call_gets_its_room_where_it_takes_one(telegram, attempt, perform, case):
    method, arguments, thread, expected = case
    telegram.answers(200, {"ok": True, "result": True})
    answer = await perform(attempt(f"call:{method}", arguments=arguments, thread=thread))
    assert [(method, expected)] == telegram.posted
    assert Answer(result=True) == answer


@pytest.mark.parametrize(
    ("method", "room", "given", "sent"),
    [
        ("setMessageReaction", "-7", {"message_id": "-7:12"}, {"chat_id": -7, "message_id": 12}),
        ("pinChatMessage", "7", {"message_id": "12"}, {"chat_id": 7, "message_id": 12}),
        ("copyMessage", "7", {"from_chat_id": -8, "message_id": "-8:3"},
         {"chat_id": 7, "from_chat_id": -8, "message_id": 3}),
        ("deleteMessages", "-7", {"message_ids": ["-7:1", "2", 3]},
         {"chat_id": -7, "message_ids": [1, 2, 3]}),
    ],
)  # fmt: skip
async def test_a_call_names_messages_as_receipts_do(
    telegram, attempt, perform, method, room, given, sent
):
    telegram.answers(200, {"ok": True, "result": True})
    await perform(attempt(f"call:{method}", room=room, arguments=given))
    assert [(method, sent)] == telegram.posted


async def test_a_call_about_a_message_that_a_move_left_behind_is_refused(
    telegram, attempt, perform
):
    """Another message of the new group has that number."""
    tried = attempt("call:pinChatMessage", room="-1007", arguments={"message_id": "-7:12"})
    with pytest.raises(TelegramApiError, match="stayed in the group") as caught:
        await perform(tried)
    verdict = hooks.classify_error(tried, caught.value)
    assert ("non_retryable", "message_gone") == (verdict.error_class, verdict.reason)
    assert [] == telegram.posted


@pytest.mark.parametrize(("room", "name"), [("-1001234567890", "77"), ("-1007", "-1007:77")])
async def test_a_call_that_makes_a_message_tells_its_id(telegram, attempt, perform, room, name):
    """In a group of the old kind with the group, as of any other message."""
    tried = attempt("call:copyMessage", room=room, arguments={"from_chat_id": 7, "message_id": 1})
    answer = await perform(tried)
    assert Answer(message_id=name, result={"message_id": 77}) == answer


FITTING = {"text": "x", "flag": True, "list": [1], "table": {"a": 1}}


async def test_nothing_is_sent_but_the_fields_of_the_table(telegram, attempt, perform, instance):
    """Whatever a part holds: only `extra` and a call's arguments add to the table."""
    odd = Part(payload={"text": "x", "entities": [], "parse_mode": "HTML", "chat_id": 1, "y": 2})
    for operation in ("send", "edit", "delete", "draft"):
        tried = attempt(operation, part=odd, thread="1", reply="2", message_id="3")
        await perform(tried)
    [one] = attempt("upload").files
    known, held = (attrs.evolve(one, held=held) for held in (False, True))
    for operation, files, kinds in (
        *(("upload", [known], [kind]) for kind in KINDS),
        ("upload", [known, known], ["photo", "video"]),
        ("edit", [known], ["document"]),
        ("edit", [held], ["voice"]),
    ):
        shown = [{"type": kind, "has_spoiler": True} for kind in kinds]
        part = attrs.evolve(odd, payload={**odd.payload, "caption": "x", "media": shown})
        await perform(attempt(operation, part=part, files=tuple(files), message_id="3"))
    await perform(attrs.evolve(attempt("edit", message_id="3"), part=None))
    for name, kind in table.KINDS.items():
        own = {field: FITTING.get(form, 1) for field, form in kind.fields.items()}
        payload = {name: {**own, "chat_id": 1, "y": 2}, "text": "x"}
        await perform(attempt("send", part=Part(payload=payload), thread="1"))
    telegram.answers(200, {"ok": True, "result": {"id": 5, "username": "support_bot"}})
    await perform(attempt("probe"))
    assert set(FIELDS) == {method for method, _ in telegram.posted}
    for method, fields in telegram.posted:
        assert fields.keys() <= FIELDS[method]
        assert fields.get("chat_id", -100123) == -100123


async def test_a_probe_tells_who_the_bot_is(telegram, attempt, perform):
    telegram.answers(200, {"ok": True, "result": {"id": 5, "username": "support_bot"}})
    assert Identity(id="5", name="support_bot") == await perform(attempt("probe"))
    assert [("getMe", {})] == telegram.posted


@pytest.mark.parametrize("body", [b"<html>", b'{"ok":true,"result":true}', b'{"ok":true}'])
async def test_a_probe_is_not_answered_by_anything_else(telegram, attempt, perform, body):
    telegram.answers(200, body)
    with pytest.raises(TelegramApiError) as caught:
        await perform(attempt("probe"))
    verdict = hooks.classify_error(attempt("probe"), caught.value)
    assert ("retryable", "instance") == (verdict.error_class, verdict.scope)


UNREADABLE = [b"", b'{"ok":true,"result":{"mess', b"\xff\xfe\x00", b"[]", b"7", b"{}", b"null",
              b'{"ok":true}', b'{"ok":true,"result":{"message_id":"no number"}}',
              b'{"ok":true,"result":{"message_id":NaN}}', b"x" * ((1 << 20) + 1)]  # fmt: skip


@pytest.mark.parametrize("operation", ["send", "upload"])
@pytest.mark.parametrize("body", UNREADABLE)
async def test_a_yes_that_cannot_be_read_is_a_yes(telegram, attempt, perform, body, operation):
    telegram.answers(200, body)
    assert Answer(message_id=None) == await perform(attempt(operation))


@pytest.mark.parametrize(
    "result",
    [
        True,
        [],
        {"message_id": 1},
        [{"message_id": 1}],
        [{"message_id": 1}, None],
        [{"message_id": 1}, {"message_id": "2"}],
        [{"message_id": 1}] * 3,
    ],
)
async def test_an_album_whose_messages_are_not_all_told_has_no_id(
    telegram, attempt, perform, result
):
    [one] = attempt("upload").files
    telegram.answers(200, {"ok": True, "result": result})
    part = Part(payload={"media": [{"type": "photo"}, {"type": "video"}]})
    assert Answer() == await perform(attempt("upload", part=part, files=(one, one)))


@pytest.mark.parametrize("photo", [None, [], [{}], [{"file_id": 5}], "f"])
async def test_a_file_whose_id_cannot_be_read_is_sent_all_the_same(
    telegram, attempt, perform, photo
):
    telegram.answers(200, {"ok": True, "result": {"message_id": 77, "photo": photo}})
    assert Answer(message_id="-100123:77") == await perform(attempt("upload"))


async def test_an_unreadable_no_is_a_no(telegram, attempt, perform):
    telegram.answers(502, b"x" * ((1 << 20) + 1))
    with pytest.raises(TelegramApiError) as caught:
        await perform(attempt())
    verdict = hooks.classify_error(attempt(), caught.value)
    assert ("retryable", "unknown") == (verdict.error_class, verdict.dispatched)


async def test_the_token_is_in_no_error(telegram, attempt, perform, token):
    """Something in between may quote the path of the request."""
    quoted = f"no route to /bot{token}/sendMessage"
    telegram.answers(400, {"ok": False, "error_code": 400, "description": quoted})
    with pytest.raises(TelegramApiError) as caught:
        await perform(attempt())
    verdict = hooks.classify_error(attempt(), caught.value)
    for text in (repr(caught.value), str(caught.value), repr(verdict), str(verdict)):
        assert token not in text
    assert "no route to /bot" in verdict.raw


async def test_a_dead_server_is_core_s_affair(network, attempt, perform, token):
    with pytest.raises(TransportError) as caught:
        await perform(attempt())
    assert "no" == caught.value.dispatched
    assert token not in repr(caught.value)
    assert hooks.classify_error(attempt(), caught.value) is None


def test_an_edit_s_extra_may_be_absent(instance):
    edit = Edit(instance_id="support", external_room_id="-100123", target=REF, text="new")
    [part] = hooks.chunk(instance, edit, "as_asked")
    assert {"text": "new", "link_preview_options": {"is_disabled": True}} == part.payload


async def test_a_description_of_a_megabyte_is_cut_before_it_is_read(telegram, attempt, perform):
    """Some hundred patterns are looked for in it, while everything else waits."""
    words = "Bad Request: chat not found" + " " * 900_000
    telegram.answers(400, {"ok": False, "error_code": 400, "description": words})
    with pytest.raises(TelegramApiError, match="chat not found") as caught:
        await perform(attempt())
    assert len(caught.value.description) == LONGEST_DESCRIPTION
