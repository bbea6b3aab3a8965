"""With a redirection, no call reaches another room or a person, however the call names them."""

from __future__ import annotations

import pytest

from gateway_contrib.policies import Redirection
from gateway_core import Invalid

STAGING = {"telegram": "99", "slack": "C024BE999", "discord": "1100000000000000099"}
NAMED = {
    "telegram": [
        ("sendDice", {"chat_id": "{room}"}, "arguments.chat_id"),
        ("copyMessage", {"from_chat_id": 7, "message_id": 1}, "arguments.from_chat_id"),
        ("sendGift", {"user_id": 7, "gift_id": "1"}, "arguments.user_id"),
        ("answerCallbackQuery", {"callback_query_id": "1"}, "arguments.callback_query_id"),
        ("editMessageText", {"inline_message_id": "1"}, "arguments.inline_message_id"),
        ("setMyCommands", {"scope": {"chat_id": 7}}, "arguments.scope.chat_id"),
        ("sendMediaGroup", {"media": [{"user": {"id": 7}}]}, "arguments.media.0.user"),
    ],
    "slack": [
        ("chat.postMessage", {"channel": "{room}", "text": "x"}, "arguments.channel"),
        ("chat.postEphemeral", {"user": "U024BE7LH", "text": "x"}, "arguments.user"),
        ("conversations.open", {"users": "U024BE7LH"}, "arguments.users"),
        ("views.open", {"trigger_id": "1", "view": {}}, "arguments.trigger_id"),
        ("files.completeUploadExternal", {"channel_id": "{room}"}, "arguments.channel_id"),
        ("conversations.inviteShared", {"emails": ["a@b.c"]}, "arguments.emails"),
    ],
    "discord": [
        ("POST /channels/{room}/messages", {"content": "x"}, "method"),
        ("POST /channels/{other}/messages", {"other": "{room}", "content": "x"}, "method"),
        ("POST /channels/{message}/messages", {"message": "{room}", "content": "x"}, "method"),
        ("POST /webhooks/{webhook}/{token}", {"webhook": "1", "token": "x"}, "method"),
        ("PUT /channels/{channel}/recipients/{user}", {"user": "1"}, "method"),
        ("POST /users/@me/channels", {"recipient_id": "1"}, "arguments.recipient_id"),
        ("POST /channels/{channel}/messages", {"channel": "{room}"}, "arguments.channel"),
    ],
}
MADE = {
    "telegram": [
        ("sendDice", {}),
        ("sendMessage", {"text": "x", "reply_parameters": {"message_id": 1}}),
    ],
    "slack": [("chat.postMessage", {"text": "x", "thread_ts": "{message}"})],
    "discord": [
        ("POST /channels/{channel}/messages", {"content": "x"}),
        ("POST /channels/{channel_id}/messages", {"content": "x"}),
        ("PUT /channels/{channel}/messages/pins/{message}", {"message": "{message}"}),
    ],
}


@pytest.fixture
def staging(world):
    return STAGING[world.name]


@pytest.fixture
def opened(world, staging):
    return world.opened(policies=[Redirection({"bot": staging})])


def filled(value, **given):
    """The value with a room or a message in place of its name in braces."""
    if isinstance(value, dict):
        return {name: filled(inner, **given) for name, inner in value.items()}
    for name, one in given.items():
        value = value.replace(f"{{{name}}}", one) if isinstance(value, str) else value
    return value


async def test_a_call_that_names_a_room_or_a_person_is_refused(world, opened, autojump_clock):
    async with opened as gateway:
        for method, arguments, place in NAMED[world.name]:
            call = (filled(method, room=world.room), filled(arguments, room=world.room))
            for room in (world.room, ""):
                with pytest.raises(Invalid, match="calls of this account are redirected") as caught:
                    await gateway.call("bot", room, *call)
                assert place in {problem.place for problem in caught.value.problems}, method
    assert [] == world.messages()
    assert (0, 0, 0) == world.counts()


async def test_any_other_call_goes_to_its_room(world, opened, staging, autojump_clock):
    async with opened as gateway:
        sent = await gateway.send("bot", world.room, "text")
        name = sent.ref.parts[0].message_id
        for method, arguments in MADE[world.name]:
            receipt = await gateway.call("bot", world.room, method, filled(arguments, message=name))
            assert (staging, True) == (receipt.external_room_id, receipt.delivered), method
        await gateway.react(sent.ref, "👍")
        await gateway.pin(sent.ref)
    assert [] == world.messages()
    assert 1 == len(world.emulator.reactions(staging, name))
