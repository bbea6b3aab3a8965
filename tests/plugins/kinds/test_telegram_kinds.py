"""Stickers, locations and their like on Telegram: where they stand, and what is refused of them."""

from __future__ import annotations

import pytest

from gateway_core import Button, Invalid, KeyRef, Poll, Send

pytestmark = pytest.mark.parametrize("world", ["telegram"], indirect=True)

PLACE = {"latitude": 52.5, "longitude": 13.4}
BUTTONS = {"inline_keyboard": [[{"text": "Go", "callback_data": "1"}]]}


async def test_a_text_goes_before_and_buttons_stand_below(world, autojump_clock):
    """The reply is on the text, which comes first; silence is on both."""
    async with world.opened() as gateway:
        asked = await gateway.send("bot", world.room, "where?")
        extra = {"location": PLACE, "reply_markup": BUTTONS}
        sent = await gateway.send(
            "bot",
            world.room,
            "here",
            extra=extra,
            reply_to=asked.ref.parts[0].message_id,
            silent=True,
        )
    _, text, place = world.messages()
    assert ["here", "52.5, 13.4"] == [text.text, place.text]
    assert ["", "", "Go"] == world.buttons()
    assert [asked.ref.parts[0].message_id, None] == [text.reply_to, place.reply_to]
    assert [True, True] == [one.fields["disable_notification"] for one in (text, place)]
    assert [text.id, place.id] == [part.message_id for part in sent.ref.parts]


async def test_no_edit_changes_it_and_a_call_can(world, autojump_clock):
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, "here", extra={"dice": "🎲"}, key="k")
        with pytest.raises(Invalid, match=r"target: .* cannot be edited"):
            await gateway.edit(sent.ref, "there")
        named = KeyRef(instance_id="bot", external_room_id=world.room, key="k")
        assert not (await gateway.edit(named, "there", raises=False)).delivered
        await gateway.call(
            "bot",
            world.room,
            "editMessageReplyMarkup",
            {"message_id": sent.ref.parts[1].message_id, "reply_markup": BUTTONS},
        )
    assert ["", "Go"] == world.buttons()
    assert "here" == world.messages()[0].text


async def test_a_poll_s_buttons_are_changed_alone(world, autojump_clock):
    """By a ref, and by a key."""
    lunch = Poll("Lunch?", ["Pizza", "Sushi"])
    named = KeyRef(instance_id="bot", external_room_id=world.room, key="k")
    async with world.opened() as gateway:
        menu = [Button("Menu", "menu")]
        sent = await gateway.send("bot", world.room, "", poll=lunch, key="k", buttons=menu)
        assert ["Menu"] == world.buttons()
        await gateway.edit(sent.ref, buttons=[Button("Pay", "pay")])
        assert ["Pay"] == world.buttons()
        await gateway.edit(named, buttons=())
    assert [""] == world.buttons()


async def test_a_poll_is_stopped_by_a_call(world, autojump_clock):
    quiz = {
        "question": "2 + 2?",
        "options": [{"text": "3"}, {"text": "4"}],
        "type": "quiz",
        "correct_option_ids": [1],
    }
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, "", extra={"poll": quiz})
        stopped = await gateway.call(
            "bot", world.room, "stopPoll", {"message_id": sent.ref.parts[0].message_id}
        )
    assert stopped.result["is_closed"]


WRONG = {
    "a number": ({"location": 7}, ["extra.location"]),
    "half a place": ({"location": {"latitude": 1}}, ["extra.location.longitude"]),
    "no place": (
        {"location": {"latitude": 91, "longitude": "east"}},
        ["extra.location.latitude", "extra.location.longitude"],
    ),
    "unknown": ({"dice": {"sides": 20}}, ["extra.dice.sides"]),
    "its room": ({"dice": {"chat_id": 1}}, ["extra.dice.chat_id"]),
    "two": ({"dice": "🎲", "sticker": "AAMCBAADGQ"}, ["extra.sticker"]),
    "an empty id": ({"sticker": ""}, ["extra.sticker.sticker"]),
    "previews": (
        {"dice": "🎲", "link_preview_options": {"is_disabled": True}},
        ["extra.link_preview_options"],
    ),
    "for others": (
        {"game": "chess", "suggested_post_parameters": {"price": {}}},
        ["extra.suggested_post_parameters"],
    ),
    "no business": (
        {"checklist": {"title": "Shop", "tasks": [{"id": 1, "text": "Tea"}]}},
        ["extra.business_connection_id"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_its_method_does_not_take_is_refused_by_its_place(world, case, autojump_clock):
    extra, places = WRONG[case]
    asked = Send(instance_id="bot", external_room_id=world.room, text="", extra=extra)
    async with world.opened() as gateway:
        assert places == [each.place for each in gateway.preview(asked).problems]


async def test_an_edit_makes_none(world, autojump_clock):
    async with world.opened() as gateway:
        sent = await gateway.send("bot", world.room, "here")
        with pytest.raises(Invalid, match="an edit cannot turn a message into one"):
            await gateway.edit(sent.ref, "there", extra={"location": PLACE})
