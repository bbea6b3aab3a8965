"""What of an envelope is refused before acceptance, by its field."""

import pytest

from gateway_core import Call, Delete, Edit, KeyRef, MessageRef, PartRef, Send
from gateway_plugin_slack import hooks


def places(instance, envelope):
    return [problem.place for problem in hooks.validate(instance=instance, envelope=envelope)]


def message(room="C024BE91L", text="hello", **fields):
    return Send(instance_id="support", external_room_id=room, text=text, **fields)


def target(*ids, room="C024BE91L"):
    refs = tuple(PartRef(message_id=i) for i in ids)
    return MessageRef(instance_id="s", external_room_id=room, envelope_id="e", parts=refs)


def edit(*ids, room="C024BE91L", **fields):
    ref = target(*ids, room=room)
    return Edit(instance_id="s", external_room_id=room, target=ref, text="x", **fields)


@pytest.mark.parametrize(
    "room", ["C024BE91L", "G024BE91L", "D024BE91L", "U024BE7LH", "W012A3CDE", "#general", "#büro-1"]
)
def test_ids_and_names_are_rooms(instance, room):
    assert [] == places(instance, message(room))


@pytest.mark.parametrize(
    "room", ["", "general", "c024be91l", "-100123", "C", "X024BE91L", "#", "#two words", "C0/../x"]
)
def test_anything_else_is_no_room(instance, room):
    assert ["external_room_id"] == places(instance, message(room))


@pytest.mark.parametrize("thread", ["1700000000", "1700000000.1", "abc", ""])
def test_a_thread_is_a_ts(instance, thread):
    assert ["thread_id"] == places(instance, message(thread_id=thread))
    assert ["reply_to"] == places(instance, message(reply_to=thread))


def test_a_ts_is_a_thread_and_a_message_id_a_reply(instance):
    ts = "1700000000.000100"
    assert [] == places(instance, message(thread_id=ts, reply_to=ts))
    assert [] == places(instance, message(reply_to=f"D024BE91L:{ts}"))
    assert ["reply_to"] == places(instance, message(reply_to=f":{ts}"))
    assert ["reply_to"] == places(instance, message(reply_to=f"general:{ts}"))


@pytest.mark.parametrize(
    "field",
    ["channel", "link_names", "markdown_text", "parse", "text", "thread_ts", "token", "ts"],
)
def test_what_the_envelope_says_is_not_said_again_in_extra(instance, field):
    assert [f"extra.{field}"] == places(instance, message(extra={field: "x"}))


def test_the_platforms_own_fields_pass(instance):
    extra = {
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}] * 49,
        "attachments": [{"text": "x"}] * 100,
        "username": "ada",
        "reply_broadcast": True,
    }
    assert [] == places(instance, message(extra=extra))
    assert [] == places(instance, edit(extra=None))


@pytest.mark.parametrize(
    ("extra", "place"),
    [
        ({"blocks": "[]"}, "extra.blocks"),
        ({"blocks": [1]}, "extra.blocks"),
        ({"blocks": [{"type": "divider"}] * 50}, "extra.blocks"),
        ({"attachments": [{}] * 101}, "extra.attachments"),
        ({"blocks": [{"text": "x"}]}, "extra.blocks[0]"),
        (
            {"blocks": [{"type": "section", "text": {"text": "x" * 3001}}]},
            "extra.blocks[0].text",
        ),
        ({"blocks": [{"type": "header", "text": {"text": "x" * 151}}]}, "extra.blocks[0].text"),
    ],
)
def test_blocks_and_attachments_are_counted_and_measured(instance, extra, place):
    assert [place] == places(instance, message(extra=extra))
    assert [place] == places(instance, edit(extra=extra))


def test_a_text_that_is_shown_is_one_of_the_blocks(instance):
    full = {"blocks": [{"type": "divider"}] * 50}
    assert [] == places(instance, message(text="", extra=full))
    assert [] == places(instance, message(text="a", format="native", extra=full))
    assert ["extra.blocks"] == places(instance, message(text="a", format="plain", extra=full))


def test_a_text_for_notifications_must_fit_one_message(instance):
    blocks = {"blocks": [{"type": "divider"}]}
    assert [] == places(instance, message(text="a" * 4000, format="native", extra=blocks))
    assert ["text"] == places(instance, message(text="a" * 4001, format="native", extra=blocks))
    assert [] == places(instance, message(text="a" * 4001, extra=blocks))
    assert [] == places(instance, message(text="a" * 4001, format="native", extra={"blocks": []}))


def test_edits_and_deletes_need_the_conversations_id(instance):
    ts = "1700000000.000100"
    assert [] == places(instance, edit(ts))
    assert [] == places(instance, edit(f"C024BE91L:{ts}", room="#general"))
    assert ["target.parts[1].message_id"] == places(
        instance, edit(f"C024BE91L:{ts}", ts, room="#general")
    )
    delete = Delete(instance_id="s", external_room_id="C024BE91L", target=target("17"))
    assert ["target.parts[0].message_id"] == places(instance, delete)
    keyed = KeyRef(instance_id="s", external_room_id="C024BE91L", key="k")
    delete = Delete(instance_id="s", external_room_id="C024BE91L", target=keyed)
    assert [] == places(instance, delete)


def test_every_mistake_is_named_at_once(instance):
    envelope = message("general", thread_id="x", reply_to="y", extra={"ts": "1", "blocks": 1})
    assert ["external_room_id", "thread_id", "reply_to", "extra.ts", "extra.blocks"] == places(
        instance, envelope
    )


def test_a_call_names_a_method_and_no_token(instance):
    def call(method, **arguments):
        return Call(instance_id="s", external_room_id="any", method=method, arguments=arguments)

    assert [] == places(instance, call("assistant.threads.setStatus", status="…"))
    assert [] == places(instance, call("oauth.v2.access"))
    for method in ("", "reactions", "../auth.test", "a.b/c", "Chat.Update?x", "chat."):
        assert ["method"] == places(instance, call(method))
    assert ["arguments.token"] == places(instance, call("auth.test", token="x"))


def test_a_field_that_the_method_does_not_know_is_named(instance):
    """Slack would pass it over in silence: a name mistyped, or an argument of another method."""
    ts = "1700000000.000100"
    assert ["extra.blokcs"] == places(instance, message(extra={"blokcs": [], "username": "ada"}))
    assert ["extra.username"] == places(instance, edit(ts, extra={"username": "ada"}))
    assert [] == places(instance, edit(ts, extra={"metadata": {}}))
