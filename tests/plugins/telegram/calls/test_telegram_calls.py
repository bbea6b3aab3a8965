"""Calls get their room and topic: after a refusal, a move, and in the next run as well."""

from __future__ import annotations

import pytest
import trio

from gateway_core import Call
from gateway_core.testing import MemoryOutbox

OLD, NEW = "-1007", "-1001234567890"
VENUE = {"latitude": 1, "longitude": 2, "title": "here", "address": "there"}
MOVED = {
    "ok": False,
    "error_code": 400,
    "description": "Bad Request: group chat was upgraded to a supergroup chat",
    "parameters": {"migrate_to_chat_id": int(NEW)},
}
AWAY = {"ok": False, "error_code": 500, "description": "Internal Server Error"}


@pytest.fixture
def opened(telegram, instance, open_to):
    return lambda outbox=None: open_to(instance.settings.base_url, telegram, instance, outbox)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("sendVenue", VENUE),
        ("sendDice", {}),
        ("sendContact", {"phone_number": "1", "first_name": "Ann"}),
    ],
)
async def test_the_room_and_the_topic_are_sent(opened, telegram, method, arguments, autojump_clock):
    async with opened() as gateway:
        receipt = await gateway.call("support", NEW, method, arguments, thread="4")
    place = {"chat_id": int(NEW), "message_thread_id": 4}
    assert [(method, {**place, **arguments})] == telegram.posted
    assert ("4", ["77"]) == (
        receipt.ref.thread_id,
        [part.message_id for part in receipt.ref.parts],
    )


class Failing:
    """Says one thing after the other to calls, the last for ever; who the bot is, it always says.

    began  set with each call that comes in
    """

    def __init__(self, telegram, *said) -> None:
        self.telegram, self.said = telegram, list(said)
        self.began = trio.Event()

    async def __call__(self, scope, receive, send):
        if scope["path"].endswith("/getMe"):
            self.telegram.answers(200, {"ok": True, "result": {"id": 1, "username": "bot"}})
        else:
            status, body = self.said.pop(0) if len(self.said) > 1 else self.said[0]
            self.telegram.answers(status, body)
            self.began.set()
        await self.telegram(scope, receive, send)

    @property
    def rooms(self):
        """Method and chat of each call, in order."""
        posted = [call for call in self.telegram.posted if call[0] != "getMe"]
        return [
            (method, fields["chat_id"], fields.get("message_thread_id"))
            for method, fields in posted
        ]


MADE = (200, {"ok": True, "result": {"message_id": 77, "chat": {"id": int(NEW)}}})


async def test_so_they_are_after_a_failure_and_a_move(telegram, instance, open_to, autojump_clock):
    """And whatever changes the message later goes to the new room."""
    platform = Failing(telegram, (500, AWAY), (400, MOVED), MADE)
    async with open_to(instance.settings.base_url, platform, instance) as gateway:
        made = await gateway.call("support", OLD, "sendVenue", VENUE, thread="4")
        await gateway.delete(made.ref)
    venues = [("sendVenue", int(room), 4) for room in (OLD, OLD, NEW)]
    assert [*venues, ("deleteMessage", int(NEW), None)] == platform.rooms
    assert (OLD, NEW) == (made.ref.external_room_id, made.moved_to)


async def test_so_they_are_in_the_run_after_a_kill(telegram, instance, open_to, autojump_clock):
    """The first run is killed while Telegram is out of order."""
    outbox = MemoryOutbox()
    call = Call(
        instance_id="support", external_room_id=NEW, method="sendDice", thread_id="4", key="k"
    )
    platform = Failing(telegram, (500, AWAY))
    async with open_to(instance.settings.base_url, platform, instance, outbox) as gateway:
        await gateway.submit(call)
        await platform.began.wait()
        platform.said = [MADE]
    async with open_to(instance.settings.base_url, platform, instance, outbox) as gateway:
        receipt = await (await gateway.submit(call)).receipt()
    assert [("sendDice", int(NEW), 4)] * 2 == platform.rooms
    assert ["77"] == [part.message_id for part in receipt.ref.parts]


async def test_an_album_is_a_message_of_several_parts(opened, telegram, autojump_clock):
    made = [{"message_id": number, "chat": {"id": int(NEW)}} for number in (77, 78, 79)]
    telegram.answers(200, {"ok": True, "result": made})
    async with opened() as gateway:
        media = [{"type": "photo", "media": f"https://example.org/{n}.png"} for n in range(3)]
        sent = await gateway.call("support", NEW, "sendMediaGroup", {"media": media})
        assert ["77", "78", "79"] == [part.message_id for part in sent.ref.parts]
        assert (1, ["delivered"] * 3) == (sent.attempts, [part.outcome for part in sent.parts])
        telegram.answers(200, {"ok": True, "result": True})
        await gateway.delete(sent.ref)
    gone = [fields["message_id"] for method, fields in telegram.posted if method == "deleteMessage"]
    assert [79, 78, 77] == gone


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("editMessageReplyMarkup", {"inline_message_id": "x"}),
        ("sendGift", {"gift_id": "g", "user_id": 7}),
        ("setChatMenuButton", {"chat_id": None}),
        ("sendDice", {"chat_id": 9}),
    ],
)
async def test_what_names_another_place_is_left_alone(
    attempt, perform, telegram, method, arguments
):
    answer = await perform(attempt(f"call:{method}", thread=None, arguments=arguments))
    given = {name: value for name, value in arguments.items() if value is not None}
    assert [(method, given)] == telegram.posted
    if method != "setChatMenuButton":
        assert answer.message_id is None
