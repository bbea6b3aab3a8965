"""The whole way: envelopes through a gateway and this adapter to the emulated Telegram."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs
import pytest
import trio

from gateway_contrib.emulators.faults import Fault, FaultPlan, Said
from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_contrib.emulators.wire import RESET
from gateway_core import (
    Call,
    DeliveryError,
    Disposition,
    GatewayConfig,
    Invalid,
    Reason,
    Receipt,
    Secret,
    Send,
    open_gateway,
)
from gateway_core.testing import virtual_wall


@pytest.fixture
def opened(open_to, instance):
    """Opens a gateway to an emulator."""
    return lambda emulator: open_to(instance.settings.base_url, emulator.app, instance)


async def receipts_of(gateway, sends: Sequence[Send]) -> list[Receipt]:
    tickets = [await gateway.submit(send) for send in sends]
    return [await ticket.receipt() for ticket in tickets]


def texts(emulator: TelegramEmulator, room: str) -> list[str]:
    return [message.text for message in emulator.rooms.conversation(room)]


async def test_people_groups_and_topics_without_one_foreseeable_429(opened, autojump_clock):
    """30 rooms of 5 texts: groups and topics keep their order, and no limit is touched."""
    emulator = TelegramEmulator()
    topics = [emulator.create_topic("-1009") for _ in range(3)]
    places = [(str(number), None) for number in range(1, 20)]
    places += [(str(-number), None) for number in range(1, 9)]
    places += [("-1009", topic) for topic in topics]
    sends = [
        Send(instance_id="support", external_room_id=room, thread_id=topic, text=f"{topic} {n}")
        for n in range(5)
        for room, topic in places
    ]
    async with opened(emulator) as gateway:
        receipts = await receipts_of(gateway, sends)
    assert {Disposition.DELIVERED} == {receipt.disposition for receipt in receipts}
    assert (150, 0) == (emulator.counters["stored"], emulator.counters["rate_limited"])
    for room, topic in places:
        arrived = [message.text for message in emulator.rooms.conversation(room)
                   if message.thread == topic]  # fmt: skip
        assert [f"{topic} {n}" for n in range(5)] == arrived


@pytest.mark.parametrize(("priority", "seconds"), [("normal", 1.28), ("bulk", 2)])
async def test_a_higher_ceiling_is_for_all_classes_but_bulk(
    network, instance, autojump_clock, priority, seconds
):
    """60 rooms, from 30 to 60 a second; bulk keeps to the 30 that are documented for it."""
    emulator = TelegramEmulator(limits=TelegramLimits(bot_count=60))
    network.mount(instance.settings.base_url, emulator.app)
    settings = attrs.evolve(instance.settings, bot_count=60)
    config = GatewayConfig(instances=[attrs.evolve(instance, settings=settings)])
    sends = [
        Send(instance_id="support", external_room_id=str(n), text="x", priority=priority)
        for n in range(1, 61)
    ]
    async with open_gateway(config, wall_clock=virtual_wall) as gateway:
        before = trio.current_time()
        await receipts_of(gateway, sends)
        assert seconds - 0.1 < trio.current_time() - before < seconds + 0.1
    assert (60, 0) == (emulator.counters["stored"], emulator.counters["rate_limited"])


async def test_a_moved_group_gets_its_message_in_its_new_room(opened, autojump_clock):
    emulator = TelegramEmulator()
    moved = emulator.migrate_room("-7")
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", "-7", "hello")
        edited = await gateway.edit(receipt.ref, "hello again")
    assert (moved, True) == (receipt.moved_to, edited.delivered)
    assert (["hello again"], []) == (texts(emulator, moved), texts(emulator, "-7"))


async def test_a_lost_reply_is_dropped_and_told(opened, autojump_clock):
    emulator = TelegramEmulator()
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", "7", "hello", reply_to="99")
    assert ["hello"] == texts(emulator, "7")
    assert ("without_reply",) == receipt.transforms


HERE = {"instance_id": "support", "external_room_id": "7"}


async def called(gateway, method, **arguments):
    ticket = await gateway.submit(Call(**HERE, method=method, arguments=arguments))
    return await ticket.receipt()


async def test_what_people_do_to_messages_is_called(opened, autojump_clock):
    """A press is answered, a keyboard changed, a message reacted to, pinned and unpinned."""
    emulator = TelegramEmulator()
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", "7", "sure?", extra={"reply_markup": keyboard})
        number = receipt.ref.parts[0].message_id
        message = {"message_id": int(number)}
        receipts = [
            await called(gateway, "answerCallbackQuery", callback_query_id="5"),
            await called(gateway, "setMessageReaction", **message,
                         reaction=[{"type": "emoji", "emoji": "👍"}]),
            await called(gateway, "editMessageReplyMarkup", **message),
            await called(gateway, "pinChatMessage", **message),
        ]  # fmt: skip
        assert [True] * 4 == [receipt.delivered for receipt in receipts]
        assert [[{"type": "emoji", "emoji": "👍"}], [number]] == [
            emulator.reactions("7", number),
            emulator.pins("7"),
        ]
        assert (await called(gateway, "unpinChatMessage", **message)).delivered
    assert [] == emulator.pins("7")


async def test_a_pin_whose_answer_was_lost_is_made_again(network, instance, autojump_clock):
    """It may be repeated: no copy is feared, and none is announced."""
    emulator, asked = TelegramEmulator(), []

    async def losing(scope, receive, send):
        asked.append(scope["path"].rpartition("/")[2])
        if asked.count("pinChatMessage") == 1 and asked[-1] == "pinChatMessage":

            async def send(_event):
                scope["extensions"][RESET]()
                await trio.sleep_forever()

        await emulator.app(scope, receive, send)

    network.mount(instance.settings.base_url, losing)
    async with open_gateway(GatewayConfig(instances=[instance])) as gateway:
        number = (await gateway.send("support", "7", "x")).ref.parts[0].message_id
        receipt = await called(gateway, "pinChatMessage", message_id=int(number))
    assert (True, False, 2) == (receipt.delivered, receipt.possible_duplicate, receipt.attempts)
    assert [number] == emulator.pins("7")


async def test_typing_takes_nothing_from_messages(opened, autojump_clock):
    """A hundred signs of typing delay no message: they draw on no limit."""
    emulator = TelegramEmulator()
    typing = {"method": "sendChatAction", "arguments": {"action": "typing"}, "order": "none"}
    async with opened(emulator) as gateway:
        before = trio.current_time()
        tickets = [await gateway.submit(Call(**HERE, **typing)) for _ in range(100)]
        await gateway.send("support", "7", "x")
        assert trio.current_time() - before < 1
        assert all([(await ticket.receipt()).delivered for ticket in tickets])


async def test_the_messages_people_send(opened, autojump_clock):
    """A silent reply in a topic with buttons and previews, in parts, each with what is its own."""
    emulator = TelegramEmulator()
    topic = emulator.create_topic("-1009")
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    async with opened(emulator) as gateway:
        asked = await gateway.send("support", "-1009", "question", thread=topic)
        number = asked.ref.parts[0].message_id
        send = Send(
            instance_id="support",
            external_room_id="-1009",
            text="word " * 1000,
            thread_id=topic,
            reply_to=number,
            silent=True,
            extra={"reply_markup": keyboard, "protect_content": True},
        )
        assert (await receipts_of(gateway, [send]))[0].delivered
    _, first, last = emulator.rooms.conversation("-1009")
    assert [topic, topic] == [first.thread, last.thread]
    assert [number, None] == [f"-1009:{first.reply_to}", last.reply_to]
    assert [True, True] == [part.fields["disable_notification"] for part in (first, last)]
    assert [{"is_disabled": True}] * 2 == [p.fields["link_preview_options"] for p in (first, last)]
    assert [None, keyboard] == [part.fields.get("reply_markup") for part in (first, last)]
    assert [None, True] == [part.fields.get("protect_content") for part in (first, last)]


async def test_a_blocked_bot_ends_the_room_alone(opened, autojump_clock):
    emulator = TelegramEmulator()
    emulator.remove_room("7")
    async with opened(emulator) as gateway:
        with pytest.raises(DeliveryError) as caught:
            await gateway.send("support", "7", "hello")
        other = await gateway.send("support", "8", "hello")
    assert Disposition.REJECTED == caught.value.receipt.disposition
    assert Reason.FORBIDDEN == caught.value.receipt.verdict.reason
    assert other.delivered


async def test_an_unchanged_edit_counts_as_delivered(opened, autojump_clock):
    """Telegram answers an edit that is already there with an error; nothing was wrong."""
    emulator = TelegramEmulator(faults=FaultPlan(script={1: Fault.RESET_AFTER}))
    async with opened(emulator) as gateway:
        sent = await gateway.send("support", "7", "old")
        edited = await gateway.edit(sent.ref, "new")
    assert (True, 2) == (edited.delivered, edited.attempts)
    assert ["new"] == texts(emulator, "7")


async def test_a_delete_whose_answer_was_lost_is_repeated(opened, autojump_clock):
    emulator = TelegramEmulator(faults=FaultPlan(script={1: Fault.RESET_AFTER}))
    async with opened(emulator) as gateway:
        sent = await gateway.send("support", "7", "soon gone")
        deleted = await gateway.delete(sent.ref)
    assert deleted.delivered
    assert [] == texts(emulator, "7")


async def test_a_revoked_token_suspends_until_it_works_again(opened, autojump_clock, token):
    emulator = TelegramEmulator()
    emulator.revoke(token)
    async with opened(emulator) as gateway:
        ticket = await gateway.submit(
            Send(instance_id="support", external_room_id="7", text="hello")
        )
        await trio.sleep(30)
        assert [] == texts(emulator, "7")
        emulator.restore(token)
        gateway.resume("support")
        receipt = await ticket.receipt()
    assert (True, ["hello"]) == (receipt.delivered, texts(emulator, "7"))


@pytest.mark.parametrize(
    ("room", "text", "place"),
    [("general", "x", "external_room_id"), ("7", "\u200b", "text"), ("7", "", "text")],
)
async def test_bad_input_is_refused_by_field(opened, autojump_clock, room, text, place):
    async with opened(TelegramEmulator()) as gateway:
        with pytest.raises(Invalid) as caught:
            await gateway.send("support", room, text)
    assert place in {problem.place for problem in caught.value.problems}


async def test_faults_lose_nothing_and_tell_of_duplicates(opened, autojump_clock):
    rates = {fault: 0.05 for fault in Fault if fault not in {Fault.TOKEN_REVOKED, Fault.ROOM_GONE}}
    emulator = TelegramEmulator(faults=FaultPlan(seed="t", rates=rates))
    sends = [
        Send(instance_id="support", external_room_id=str(room), text=f"{room}/{n}")
        for n in range(5)
        for room in range(1, 11)
    ]
    async with opened(emulator) as gateway:
        receipts = await receipts_of(gateway, sends)
    assert sum(emulator.faults.counts.values()) > 5
    stored = [text for room in range(1, 11) for text in texts(emulator, str(room))]
    for send, receipt in zip(sends, receipts, strict=True):
        assert receipt.disposition in {Disposition.DELIVERED, Disposition.UNKNOWN}
        assert stored.count(send.text) == 1 or receipt.possible_duplicate
        assert stored.count(send.text) >= 1 or receipt.disposition is Disposition.UNKNOWN


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "chat not found"),
        (400, "PEER_ID_INVALID"),
        (400, "not enough rights to send text messages to the chat"),
        (400, "CHAT_WRITE_FORBIDDEN"),
        (403, "user is deactivated"),
        (403, "bot was kicked from the group chat"),
        (403, "the group chat was deleted"),
        (403, "bot can't initiate conversation with a user"),
    ],
)
async def test_a_closed_room_ends_its_backlog_and_no_other(opened, autojump_clock, status, words):
    emulator = TelegramEmulator()
    emulator.close_room("7", status, words)
    async with opened(emulator) as gateway:
        sends = [Send(instance_id="support", external_room_id=r, text="x") for r in "778"]
        receipts = await receipts_of(gateway, sends)
        emulator.restore_room("7")
        assert (await gateway.send("support", "7", "again")).delivered
    assert ["rejected", "rejected", "delivered"] == [str(r.disposition) for r in receipts]
    assert words in receipts[1].verdict.raw
    assert [["again"], ["x"]] == [texts(emulator, room) for room in "78"]


async def test_what_telegram_was_seen_to_answer_is_waited_out(opened, autojump_clock):
    """Slow mode comes as a 400, a restart as a 500 with a wait, floods as text or with HTTP 200."""
    answers = [
        Said(status=400, body={"ok": False, "error_code": 400, "description": "SLOWMODE_WAIT",
                               "parameters": {"retry_after": 9}}),
        Said(status=500, body={"ok": False, "error_code": 500, "description": "restart",
                               "parameters": {"retry_after": 5}}),
        Said(status=200, body={"ok": False, "error_code": 429, "description": "flood",
                               "parameters": {"retry_after": "3"}}),
    ]  # fmt: skip
    emulator = TelegramEmulator(faults=FaultPlan(script=dict(enumerate(answers))))
    async with opened(emulator) as gateway:
        before = trio.current_time()
        receipt = await gateway.send("support", "7", "x")
        assert 17 <= trio.current_time() - before < 18
    assert (["x"], False) == (texts(emulator, "7"), receipt.possible_duplicate)


async def test_a_new_token_goes_on_where_the_revoked_one_stopped(
    opened, instance, autojump_clock, token
):
    emulator = TelegramEmulator()
    emulator.revoke(token)
    async with opened(emulator) as gateway:
        sends = [Send(**HERE, text=f"{n}", ttl=3600) for n in range(3)]
        tickets = [await gateway.submit(send) for send in sends]
        await trio.sleep(5)
        settings = attrs.evolve(instance.settings, token=Secret("123456789:" + "n" * 35))
        gateway.replace_instance(attrs.evolve(instance, settings=settings))
        assert all([(await ticket.receipt()).delivered for ticket in tickets])
    assert ["0", "1", "2"] == texts(emulator, "7")


async def test_a_bot_that_may_less_than_is_documented_is_found_out(opened, autojump_clock):
    """Ten a second instead of thirty: several rooms are refused at once, and the bot slows down."""
    emulator = TelegramEmulator(limits=TelegramLimits(bot_count=10))
    sends = [
        Send(instance_id="support", external_room_id=str(room), text=f"{n}")
        for n in range(3)
        for room in range(1, 41)
    ]
    async with opened(emulator) as gateway:
        receipts = await receipts_of(gateway, sends)
    assert {Disposition.DELIVERED} == {receipt.disposition for receipt in receipts}
    assert [["0", "1", "2"]] * 40 == [texts(emulator, str(room)) for room in range(1, 41)]
    assert emulator.counters["rate_limited"] < 40


REFUSED = Said(
    status=400,
    body={
        "ok": False,
        "error_code": 400,
        "description": "Bad Request: can't parse entities: x",
    },
)


async def test_the_middle_of_a_row_whose_formatting_is_refused_goes_out_as_its_source(
    opened, autojump_clock
):
    """A row of 9,000 characters: its second part is sent as it was written, the others as asked."""
    words = " ".join(f"**word{number}**" for number in range(1000))
    source = f"| a | b |\n|---|---|\n| x | {words} |\n| y | z |"
    emulator = TelegramEmulator(faults=FaultPlan(script={1: REFUSED}))
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", "7", source)
    assert ("plain",) == receipt.degradations
    first, *plain, last = receipt.parts
    assert all(source[slice(*part.span)].strip() in texts(emulator, "7") for part in plain)
    assert (0, len(source)) == (first.span[0], last.span[1])
    arrived = re.findall(r"word(\d+)", "".join(texts(emulator, "7")))
    assert [str(number) for number in range(1000)] == arrived
