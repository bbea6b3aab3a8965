"""The whole way: envelopes through a gateway and this adapter to the emulated Slack."""

import json

import pytest
import trio

from gateway_contrib.emulators.faults import Fault, FaultPlan, Said
from gateway_contrib.emulators.slack import SlackEmulator, pings
from gateway_core import Call, Delete, Disposition, Instance, Invalid, Reason, Secret, Send
from gateway_plugin_slack.settings import Settings

TOKEN = "xoxb-1111-2222-abcDEF"
ROOM = "C024BE91L"


@pytest.fixture
def opened(open_to):
    """Opens a gateway to an emulator."""

    def make(emulator, settings=None):
        instance = Instance("support", "slack", settings or Settings(token=Secret(TOKEN)))
        return open_to("https://slack.com", emulator.app, instance)

    return make


def texts(emulator, room=ROOM):
    return [message.text for message in emulator.rooms.conversation(room)]


async def test_rooms_keep_their_order_without_one_foreseeable_429(opened, autojump_clock):
    emulator = SlackEmulator()
    rooms = [f"C0ROOM{n:02d}" for n in range(20)]
    async with opened(emulator) as gateway:
        tickets = [
            await gateway.submit(Send(instance_id="support", external_room_id=room, text=f"{n}"))
            for n in range(5)
            for room in rooms
        ]
        receipts = [await ticket.receipt() for ticket in tickets]
    assert {Disposition.DELIVERED} == {receipt.disposition for receipt in receipts}
    assert [["0", "1", "2", "3", "4"]] * 20 == [texts(emulator, room) for room in rooms]
    assert (100, 0) == (emulator.counters["stored"], emulator.counters["rate_limited"])


async def test_a_text_is_sent_edited_and_deleted(opened, autojump_clock):
    emulator = SlackEmulator()
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", ROOM, "a & b <!channel>", format="plain")
        edited = await gateway.edit(receipt.ref, "a &amp; b", format="plain")
        [message] = emulator.rooms.conversation(ROOM)
        assert (["a & b <!channel>"], "a &amp; b", ()) == (
            message.revisions,
            message.text,
            pings(message),
        )
        deleted = await gateway.submit(
            Delete(instance_id="support", external_room_id=ROOM, target=edited.ref)
        )
        assert (await deleted.receipt()).delivered
    assert [] == texts(emulator)


async def test_the_same_text_again_is_no_request(opened, autojump_clock):
    emulator = SlackEmulator()
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", ROOM, "word " * 2000, reply_to="1700000000.000100")
        before = emulator.counters["requests"]
        await gateway.edit(receipt.ref, "word " * 2000)
    assert before == emulator.counters["requests"]


@pytest.mark.parametrize("form", ["plain", "markdown", "native"])
@pytest.mark.parametrize("unit", ["word ", "a & b ", "語", "**b** `c` "])
async def test_whatever_was_sent_can_be_edited_to_the_same_length(
    opened, form, unit, autojump_clock
):
    """chat.update takes 4,000 bytes of text; chat.postMessage takes more, which is not used."""
    emulator = SlackEmulator()
    text = unit * (9000 // len(unit))
    async with opened(emulator) as gateway:
        sent = await gateway.send("support", ROOM, "x" + text[1:], format=form)
        edited = await gateway.edit(sent.ref, text, format=form)
    assert (True, ()) == (edited.delivered, edited.transforms)
    assert len(sent.ref.parts) == len(edited.ref.parts) > 1
    for message in emulator.rooms.conversation(ROOM):
        assert len(message.fields["text"].encode()) <= 4000
        assert len(json.dumps(message.fields.get("blocks"), ensure_ascii=False)) <= 12_000


async def test_a_direct_message_is_edited_by_what_its_ref_remembers(opened, autojump_clock):
    emulator = SlackEmulator()
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", "U024BE7LH", "hi")
        await gateway.edit(receipt.ref, "hello")
    assert ["hello"] == texts(emulator, "D024BE7LH")


async def test_all_parts_of_a_reply_stand_in_its_thread(opened, autojump_clock):
    emulator = SlackEmulator()
    async with opened(emulator) as gateway:
        parent = await gateway.send("support", ROOM, "question")
        ts = parent.ref.parts[0].message_id
        await gateway.send("support", ROOM, "word " * 2000, reply_to=ts)
    assert [None, ts, ts, ts] == [m.thread for m in emulator.rooms.conversation(ROOM)]


async def test_faults_lose_nothing_and_announce_what_they_may_double(opened, autojump_clock):
    faults = [Fault.RESET_AFTER, Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.MALFORMED]
    plan = FaultPlan(script={2 * n: fault for n, fault in enumerate(faults)})
    emulator = SlackEmulator(faults=plan)
    async with opened(emulator) as gateway:
        receipts = [await gateway.send("support", ROOM, f"text {n}") for n in range(4)]
    assert ["text 0", "text 0", "text 1", "text 2", "text 3"] == texts(emulator)
    assert [True, False, True, False] == [r.possible_duplicate for r in receipts]


async def test_a_room_that_is_gone_ends_its_own_messages_only(opened, autojump_clock):
    emulator = SlackEmulator()
    emulator.remove_room("C0GONE")
    async with opened(emulator) as gateway:
        gone = await gateway.send("support", "C0GONE", "x", raises=False)
        there = await gateway.send("support", ROOM, "y")
    assert (Disposition.REJECTED, Reason.ROOM_GONE) == (gone.disposition, gone.verdict.reason)
    assert there.delivered


async def test_a_revoked_token_suspends_until_it_is_good_again(opened, autojump_clock):
    emulator = SlackEmulator()
    emulator.revoke(TOKEN)
    async with opened(emulator) as gateway:
        ticket = await gateway.submit(
            Send(instance_id="support", external_room_id=ROOM, text="x", ttl=3000)
        )
        await trio.sleep(20)
        assert [] == texts(emulator)
        emulator.restore(TOKEN)
        assert (await ticket.receipt()).delivered
    assert ["x"] == texts(emulator)


async def test_an_expired_token_is_exchanged_on_the_way(opened, autojump_clock):
    emulator = SlackEmulator(tokens=[TOKEN])
    settings = Settings(
        token=Secret(TOKEN),
        refresh_token=Secret(emulator.grant_refresh(TOKEN)),
        client_id="1.2",
        client_secret=Secret("s"),
    )
    emulator.expire(TOKEN)
    async with opened(emulator, settings) as gateway:
        began = trio.current_time()
        assert (await gateway.send("support", ROOM, "x")).delivered
        assert trio.current_time() - began < 5
    assert ["x"] == texts(emulator)


async def test_twenty_rooms_meet_the_expiry_and_one_exchange_serves_them(opened, autojump_clock):
    """Each has an attempt in flight as the token expires; answers take 20 to 80 ms."""
    emulator = SlackEmulator(tokens=[TOKEN])
    settings = Settings(
        token=Secret(TOKEN),
        refresh_token=Secret(emulator.grant_refresh(TOKEN)),
        client_id="1.2",
        client_secret=Secret("s"),
    )
    rooms = [f"C0ROOM{n:02d}" for n in range(20)]
    async with opened(emulator, settings) as gateway:
        sends = [Send(instance_id="support", external_room_id=r, text=f"{n}")
                 for n in range(3) for r in rooms]  # fmt: skip
        tickets = [await gateway.submit(send) for send in sends]
        await trio.sleep(1.01)
        emulator.expire(TOKEN)
        before = emulator.counters["requests"]
        receipts = [await ticket.receipt() for ticket in tickets]
    assert {True} == {receipt.delivered for receipt in receipts}
    assert [["0", "1", "2"]] * 20 == [texts(emulator, room) for room in rooms]
    # The refused ones, one exchange, and what was left to send.
    assert emulator.counters["requests"] - before <= 20 + 1 + 40
    assert 1 == settings.tokens.generation


async def test_blocks_that_slack_refuses_leave_the_text(opened, autojump_clock):
    emulator = SlackEmulator()
    async with opened(emulator) as gateway:
        receipt = await gateway.send(
            "support", ROOM, "the text", extra={"blocks": [{"type": "nothing"}]}
        )
    assert ["the text"] == texts(emulator)
    assert receipt.degradations


@pytest.mark.parametrize(
    ("room", "fields", "place"),
    [
        ("general", {}, "external_room_id"),
        (ROOM, {"thread": "x"}, "thread_id"),
        (ROOM, {"extra": {"channel": "C0"}}, "extra.channel"),
    ],
)
async def test_a_mistake_is_refused_by_its_field(opened, room, fields, place, autojump_clock):
    async with opened(SlackEmulator()) as gateway:
        with pytest.raises(Invalid) as caught:
            await gateway.send("support", room, "x", **fields)
    assert [place] == [problem.place for problem in caught.value.problems]


@pytest.mark.parametrize(
    "error", ["channel_not_found", "is_archived", "not_in_channel", "restricted_action"]
)
async def test_a_closed_channel_ends_its_backlog_and_no_other(opened, autojump_clock, error):
    emulator = SlackEmulator()
    emulator.close_room(ROOM, error)
    async with opened(emulator) as gateway:
        sends = [Send(instance_id="support", external_room_id=r, text="x")
                 for r in (ROOM, ROOM, "C0OTHER")]  # fmt: skip
        tickets = [await gateway.submit(send) for send in sends]
        receipts = [await ticket.receipt() for ticket in tickets]
        emulator.restore_room(ROOM)
        assert (await gateway.send("support", ROOM, "again")).delivered
    assert ["rejected", "rejected", "delivered"] == [str(r.disposition) for r in receipts]
    assert error == receipts[1].verdict.raw
    assert [["again"], ["x"]] == [texts(emulator), texts(emulator, "C0OTHER")]


async def test_a_locked_thread_ends_its_own_backlog_and_not_the_rooms(opened, autojump_clock):
    emulator = SlackEmulator()
    async with opened(emulator) as gateway:
        parent = (await gateway.send("support", ROOM, "question")).ref.parts[0].message_id
        other = (await gateway.send("support", ROOM, "another")).ref.parts[0].message_id
        emulator.lock_thread(ROOM, parent)
        places = (parent, parent, other, None)
        sends = [Send(instance_id="support", external_room_id=ROOM, thread_id=t, text=f"{n}")
                 for n, t in enumerate(places)]  # fmt: skip
        tickets = [await gateway.submit(send) for send in sends]
        receipts = [await ticket.receipt() for ticket in tickets]
    ends = ["rejected", "rejected", "delivered", "delivered"]
    assert ends == [str(receipt.disposition) for receipt in receipts]
    assert 1 == receipts[0].attempts + receipts[1].attempts  # the second was not tried
    assert ["question", "another", "2", "3"] == texts(emulator)


async def test_what_slack_was_seen_to_answer_is_waited_out(opened, autojump_clock):
    """A limit spelled in two ways, with HTTP 200, with no body, and a wait that is no number."""
    answers = [
        Said(status=429, body=b"", headers={"Retry-After": "3"}),
        Said(status=200, body={"ok": False, "error": "rate_limited"}, headers={"Retry-After": "2"}),
        Said(status=429, body=b"<html>", headers={"Retry-After": "soon"}),
    ]
    emulator = SlackEmulator(faults=FaultPlan(script=dict(enumerate(answers))))
    async with opened(emulator) as gateway:
        before = trio.current_time()
        receipt = await gateway.send("support", ROOM, "x")
        assert 5 <= trio.current_time() - before < 10
    assert (["x"], False) == (texts(emulator), receipt.possible_duplicate)


async def called(gateway, method, thread=None, **arguments):
    call = Call(instance_id="support", external_room_id=ROOM, thread_id=thread, method=method,
                arguments=arguments)  # fmt: skip
    return await (await gateway.submit(call)).receipt()


async def test_what_people_do_to_messages_is_called(opened, autojump_clock):
    """A message is reacted to, pinned and unpinned, twice each; a press opens a view."""
    emulator = SlackEmulator()
    async with opened(emulator) as gateway:
        ts = (await gateway.send("support", ROOM, "x")).ref.parts[0].message_id
        for _ in range(2):
            assert (await called(gateway, "reactions.add", timestamp=ts, name="eyes")).delivered
            assert (await called(gateway, "pins.add", timestamp=ts)).delivered
        assert (1, [ts]) == (len(emulator.reactions(ROOM, ts)), emulator.pins(ROOM))
        for _ in range(2):
            assert (await called(gateway, "reactions.remove", timestamp=ts, name="eyes")).delivered
            assert (await called(gateway, "pins.remove", timestamp=ts)).delivered
        view = {"type": "modal", "title": {"type": "plain_text", "text": "Sure?"}}
        opened_view = await called(gateway, "views.open", trigger_id="1.2", view=view)
    assert ([], []) == (emulator.reactions(ROOM, ts), emulator.pins(ROOM))
    assert ("V0VIEW0001", 1) == (opened_view.result["view"]["id"], len(emulator.views))


async def test_typing_takes_nothing_from_messages(opened, autojump_clock):
    """A hundred signs of typing in a thread delay no message: they draw on no limit."""
    emulator = SlackEmulator()
    method, ts = "assistant.threads.setStatus", "1700000000.000100"
    async with opened(emulator) as gateway:
        before = trio.current_time()
        for _ in range(100):
            call = Call(instance_id="support", external_room_id=ROOM, thread_id=ts, order="none",
                        method=method, arguments={"status": "is typing…"})  # fmt: skip
            await gateway.submit(call)
        await gateway.send("support", ROOM, "x")
        assert trio.current_time() - before < 1
    assert {(ROOM, ts): "is typing…"} == emulator.statuses
