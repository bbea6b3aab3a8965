"""The whole way: envelopes through a gateway and this adapter to the emulated Discord."""

import pytest
import trio

from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits
from gateway_contrib.emulators.faults import Fault, FaultPlan, Said
from gateway_core import Call, Delete, Disposition, Edit, Instance, Invalid, Reason, Secret, Send
from gateway_plugin_discord.settings import DiscordSettings, RoomLimits

ROOM = "1100000000000000001"
THREAD = "1100000000000000002"
HERE = {"instance_id": "support", "external_room_id": ROOM}


@pytest.fixture
def opened(open_to):
    """Opens a gateway to an emulator."""
    instance = Instance("support", "discord", DiscordSettings(token=Secret("a.b.c")))
    return lambda emulator: open_to("https://discord.com", emulator.app, instance)


def texts(emulator, room=ROOM):
    return [message.text for message in emulator.rooms.conversation(room)]


async def test_rooms_keep_their_order_without_one_foreseeable_429(opened, autojump_clock):
    """Two rooms hot, thirty lukewarm: buckets and the global limit, learned from headers."""
    emulator = DiscordEmulator()
    rooms = [str(2000 + n) for n in range(32)]
    counts = {room: 20 if n < 2 else 4 for n, room in enumerate(rooms)}
    async with opened(emulator) as gateway:
        tickets = [
            await gateway.submit(Send(instance_id="support", external_room_id=room, text=f"{n}"))
            for n in range(20)
            for room in rooms
            if n < counts[room]
        ]
        receipts = [await ticket.receipt() for ticket in tickets]
    assert {Disposition.DELIVERED} == {receipt.disposition for receipt in receipts}
    for room, count in counts.items():
        assert [str(n) for n in range(count)] == texts(emulator, room)
    assert 0 == emulator.counters["rate_limited"]


BARE = Said(
    status=429,
    body={"message": "You are being rate limited.", "retry_after": 1.0, "global": False},
    headers={"Via": "1.1 google", "Retry-After": "1", "Content-Type": "application/json"},
)
"""A 429 that says nothing of the bucket."""


@pytest.mark.parametrize("refused", [(1,), (1, 2), (1, 2, 3), (5, 6, 7)], ids=str)
async def test_a_429_without_a_bucket_costs_its_wait_and_no_more(opened, autojump_clock, refused):
    """Twenty messages, five in 5 s: 15 s, and those waits that fall outside of Discord's own."""
    emulator = DiscordEmulator(faults=FaultPlan(script=dict.fromkeys(refused, BARE)))
    async with opened(emulator) as gateway:
        await gateway.send("support", "2000", "the bot has another room")
        before = trio.current_time()
        tickets = [
            await gateway.submit(Send(instance_id="support", external_room_id=ROOM, text=f"{n}"))
            for n in range(20)
        ]
        assert all([(await ticket.receipt()).delivered for ticket in tickets])
        seconds = trio.current_time() - before
    waits = 0 if refused[0] == 5 else len(refused)
    assert 15 + waits <= seconds < 15 + waits + 0.7
    assert [str(n) for n in range(20)] == texts(emulator)


async def test_routes_that_share_a_bucket_are_learned(opened, autojump_clock):
    create, edit = (
        "POST /channels/{channel}/messages",
        "PATCH /channels/{channel}/messages/{message}",
    )
    emulator = DiscordEmulator(limits=DiscordLimits(shared={edit: create}))
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", ROOM, "0")
        await gateway.edit(receipt.ref, "1")
        for number in range(2, 14):
            receipt = await gateway.send("support", ROOM, f"{number}")
            await gateway.edit(receipt.ref, f"{number} edited")
    assert 0 == emulator.counters["rate_limited"]
    assert (13, 13) == (emulator.counters["stored"], emulator.counters["edited"])


async def test_faults_lose_nothing_and_double_nothing(opened, autojump_clock):
    """The enforced nonce makes a lost answer harmless: no copy, and none is announced."""
    rates = dict.fromkeys(
        (Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.SERVER_ERROR, Fault.RATE_LIMITED), 0.08
    )
    plan = FaultPlan(seed="discord", rates=rates | {Fault.NO_ANSWER: 0.02, Fault.MALFORMED: 0.02})
    emulator = DiscordEmulator(faults=plan)
    rooms = [str(3000 + n) for n in range(10)]
    async with opened(emulator) as gateway:
        tickets = [
            await gateway.submit(Send(instance_id="support", external_room_id=room, text=f"{n}"))
            for n in range(8)
            for room in rooms
        ]
        receipts = [await ticket.receipt() for ticket in tickets]
    assert {Disposition.DELIVERED} == {receipt.disposition for receipt in receipts}
    assert [[str(n) for n in range(8)]] * 10 == [texts(emulator, room) for room in rooms]
    assert not any(receipt.possible_duplicate for receipt in receipts)
    assert 0 == emulator.counters["rate_limited"]
    assert plan.counts.total() >= 10


async def test_a_message_whose_answer_was_garbled_can_be_edited(opened, autojump_clock):
    emulator = DiscordEmulator(faults=FaultPlan(script={0: Fault.MALFORMED}))
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", ROOM, "one")
        await gateway.edit(receipt.ref, "two")
    assert ["two"] == texts(emulator)
    assert not receipt.possible_duplicate


async def test_a_thread_is_another_conversation(opened, autojump_clock):
    emulator = DiscordEmulator()
    async with opened(emulator) as gateway:
        await gateway.send("support", ROOM, "in the room")
        receipt = await gateway.send("support", ROOM, "in the thread", thread=THREAD)
        await gateway.edit(receipt.ref, "edited there")
    assert (["in the room"], ["edited there"]) == (texts(emulator), texts(emulator, THREAD))


async def test_long_texts_replies_and_extras_meet_on_the_right_parts(opened, autojump_clock):
    emulator = DiscordEmulator()
    extra = {"embeds": [{"title": "report"}]}
    async with opened(emulator) as gateway:
        first = (await gateway.send("support", ROOM, "question")).ref.parts[0].message_id
        text = "\n\n".join(f"{n} " + "word " * 300 for n in range(3))
        await gateway.send("support", ROOM, text, reply_to=first, extra=extra)
    _, *parts = emulator.rooms.conversation(ROOM)
    assert [first, None, None] == [part.reply_to for part in parts]
    assert [None, None, extra["embeds"]] == [part.fields.get("embeds") for part in parts]
    assert [4, 4, 0] == [part.fields["flags"] for part in parts]


async def test_a_reply_to_nothing_is_sent_without_it_and_says_so(opened, autojump_clock):
    emulator = DiscordEmulator()
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", ROOM, "answer", reply_to="5")
    assert ("without_reply",) == receipt.transforms
    assert ["answer"] == texts(emulator)


async def test_a_message_that_a_moderator_took_away_is_deleted(opened, autojump_clock):
    emulator = DiscordEmulator()
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", ROOM, "one")
        edited = await gateway.submit(Edit(**HERE, target=receipt.ref, text="two"))
        ref = (await edited.receipt()).ref
        emulator.rooms.get(ROOM, ref.parts[0].message_id).deleted = True
        ticket = await gateway.submit(Delete(**HERE, target=ref))
        assert Disposition.DELIVERED == (await ticket.receipt()).disposition
    assert ([], 0) == (texts(emulator), emulator.counters["deleted"])


async def test_calls_reach_their_routes(opened, autojump_clock):
    emulator = DiscordEmulator()
    async with opened(emulator) as gateway:
        message = (await gateway.send("support", ROOM, "one")).ref.parts[0].message_id
        react = "PUT /channels/{channel}/messages/{message}/reactions/{emoji}/@me"
        for method, arguments in (
            (react, {"message": message, "emoji": "👍"}),
            ("POST /channels/{channel}/typing", {}),
        ):
            ticket = await gateway.submit(Call(**HERE, method=method, arguments=arguments))
            assert (await ticket.receipt()).delivered
    assert ["👍"] == [emoji for _, emoji in emulator.reactions(ROOM, message)]


CALLBACK = "POST /interactions/{interaction}/{token}/callback"
FOLLOW_UP = "POST /webhooks/{webhook}/{token}"
ORIGINAL = "PATCH /webhooks/{webhook}/{token}/messages/@original"


async def called(gateway, method, **arguments):
    ticket = await gateway.submit(Call(**HERE, method=method, arguments=arguments))
    return await ticket.receipt()


async def test_an_interaction_is_answered_changed_and_followed_without_one_429(
    opened, autojump_clock
):
    """The buckets of its token are learned from the answers' headers."""
    emulator = DiscordEmulator()
    pressed = emulator.interaction(ROOM)
    own = {"token": pressed.token, "webhook": pressed.application}
    async with opened(emulator) as gateway:
        answer = {"interaction": pressed.id, "token": pressed.token, "type": 5}
        assert (await called(gateway, CALLBACK, **answer)).delivered
        assert (await called(gateway, ORIGINAL, **own, content="0")).delivered
        for number in range(1, 12):
            assert (await called(gateway, FOLLOW_UP, **own, content=f"{number}")).delivered
    assert [str(number) for number in range(12)] == texts(emulator)
    assert 0 == emulator.counters["rate_limited"]


async def test_an_answer_whose_answer_was_lost_is_not_made_twice(opened, autojump_clock):
    emulator = DiscordEmulator(faults=FaultPlan(script={0: Fault.RESET_AFTER}))
    pressed = emulator.interaction(ROOM)
    answer = {"interaction": pressed.id, "token": pressed.token, "type": 4}
    async with opened(emulator) as gateway:
        receipt = await called(gateway, CALLBACK, **answer, data={"content": "done"})
    assert (True, False) == (receipt.delivered, receipt.possible_duplicate)
    assert ["done"] == texts(emulator)


async def test_a_message_is_pinned_and_unpinned(opened, autojump_clock):
    emulator = DiscordEmulator()
    path = "/channels/{channel}/messages/pins/{message}"
    async with opened(emulator) as gateway:
        message = (await gateway.send("support", ROOM, "one")).ref.parts[0].message_id
        assert (await called(gateway, f"PUT {path}", message=message)).delivered
        assert [message] == emulator.pins(ROOM)
        assert (await called(gateway, f"DELETE {path}", message=message)).delivered
    assert [] == emulator.pins(ROOM)


async def test_typing_takes_nothing_from_messages(opened, autojump_clock):
    """A hundred signs of typing delay no message and close nothing, refused or not."""
    emulator = DiscordEmulator()
    async with opened(emulator) as gateway:
        before = trio.current_time()
        typing = [Call(**HERE, method="POST /channels/{channel}/typing", order="none")] * 100
        tickets = [await gateway.submit(call) for call in typing]
        for number in range(5):
            await gateway.send("support", ROOM, f"{number}")
        assert trio.current_time() - before < 1
        ends = {(await ticket.receipt()).disposition for ticket in tickets}
    assert {Disposition.DELIVERED, Disposition.REJECTED} == ends


async def test_a_room_that_is_gone_ends_its_own_envelopes_only(opened, autojump_clock):
    emulator = DiscordEmulator()
    emulator.remove_room(ROOM)
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", ROOM, "lost", raises=False)
        assert (Disposition.REJECTED, Reason.ROOM_GONE) == (
            receipt.disposition,
            receipt.verdict.reason,
        )
        assert (await gateway.send("support", THREAD, "kept")).delivered


async def test_a_revoked_token_suspends_until_it_is_back(opened, autojump_clock):
    emulator = DiscordEmulator()
    async with opened(emulator) as gateway:
        emulator.revoke("a.b.c")
        ticket = await gateway.submit(Send(**HERE, text="patience", ttl=3600))
        await trio.sleep(60)
        assert [] == texts(emulator)
        emulator.restore("a.b.c")
        assert (await ticket.receipt()).delivered
    assert ["patience"] == texts(emulator)


async def test_slow_mode_waits_as_long_as_it_says(opened, autojump_clock):
    emulator = DiscordEmulator()
    async with opened(emulator) as gateway:
        emulator.limit_shared(ROOM, 30)
        before = trio.current_time()
        assert (await gateway.send("support", ROOM, "late")).delivered
    assert 30 <= trio.current_time() - before < 32
    assert 1 == emulator.counters["rate_limited"]


@pytest.mark.parametrize(("slow", "most"), [(5, 2), (30, 4), (3600, 60)])
async def test_a_channel_in_slow_mode_is_learned(opened, autojump_clock, slow, most):
    """Sixty messages. Each time the slow mode has been believed for long enough, one is refused."""
    emulator = DiscordEmulator()
    emulator.slow_mode(ROOM, slow)
    async with opened(emulator) as gateway:
        before = trio.current_time()
        sends = [Send(**HERE, text=f"{n}", ttl=10**6) for n in range(60)]
        tickets = [await gateway.submit(send) for send in sends]
        assert all([(await ticket.receipt()).delivered for ticket in tickets])
        took = trio.current_time() - before
    assert [f"{n}" for n in range(60)] == texts(emulator)
    assert 1 <= emulator.counters["rate_limited"] <= most
    assert 59 * slow <= took <= 60 * slow * 1.01 + 5


async def test_a_slow_mode_that_was_taken_away_is_forgotten(opened, autojump_clock):
    """It is believed for ten minutes: the first message after them finds out."""
    emulator = DiscordEmulator()
    emulator.slow_mode(ROOM, 60)
    async with opened(emulator) as gateway:
        for number in range(3):
            await gateway.send("support", ROOM, f"{number}")
        emulator.slow_mode(ROOM, 0)
        before = trio.current_time()
        for number in range(30):
            await gateway.send("support", ROOM, f"{number}")
        assert trio.current_time() - before < 660
        assert 1 == emulator.counters["rate_limited"]
        before = trio.current_time()
        for number in range(5):
            await gateway.send("support", ROOM, f"{number}")
        assert trio.current_time() - before < 6


async def test_slow_mode_holds_back_its_own_channel_alone(opened, autojump_clock):
    emulator = DiscordEmulator()
    emulator.slow_mode(ROOM, 60)
    async with opened(emulator) as gateway:
        tickets = [await gateway.submit(Send(**HERE, text=f"{n}")) for n in range(4)]
        await trio.sleep(10)
        before = trio.current_time()
        await gateway.send("support", THREAD, "at once")
        assert trio.current_time() - before < 1
        assert [(await ticket.receipt()).delivered for ticket in tickets] == [True] * 4


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"text": ""}, "text"),
        ({"text": "hi", "external_room_id": "general"}, "external_room_id"),
        ({"text": "hi", "extra": {"embed": {}}}, "extra.embed"),
    ],
)
async def test_bad_input_is_refused_by_its_field(opened, autojump_clock, fields, place):
    async with opened(DiscordEmulator()) as gateway:
        with pytest.raises(Invalid) as caught:
            await gateway.submit(Send(**{**HERE, **fields}))
    assert place in [problem.place for problem in caught.value.problems]


@pytest.mark.parametrize("code", [10003, 10004, 50001, 50007, 50008, 50013, 50083, 160005])
async def test_a_closed_channel_ends_its_backlog_and_no_other(opened, autojump_clock, code):
    emulator = DiscordEmulator()
    emulator.close_room(ROOM, code)
    async with opened(emulator) as gateway:
        sends = [Send(instance_id="support", external_room_id=r, text="x")
                 for r in (ROOM, ROOM, THREAD)]  # fmt: skip
        tickets = [await gateway.submit(send) for send in sends]
        receipts = [await ticket.receipt() for ticket in tickets]
        emulator.restore_room(ROOM)
        assert (await gateway.send("support", ROOM, "again")).delivered
    assert ["rejected", "rejected", "delivered"] == [str(r.disposition) for r in receipts]
    assert f"code {code}" in receipts[1].verdict.raw
    assert [["again"], ["x"]] == [texts(emulator), texts(emulator, THREAD)]


async def test_what_discord_was_seen_to_answer_is_waited_out(opened, autojump_clock):
    """A wait as text, a header larger than the body, slow mode, and the front door without JSON.

    Its ten minutes are asked about after five.
    """
    via = {"Via": "1.1 google"}
    answers = [
        Said(status=429, body={"retry_after": "1.5", "global": False}, headers=via),
        Said(status=429, body={"retry_after": 0.5}, headers={**via, "Retry-After": "2"}),
        Said(status=429, body={"code": 20016, "retry_after": 9.25}, headers=via),
        Said(status=429, body=b"<html>Error 1015</html>", headers={"Retry-After": "60"}),
    ]
    emulator = DiscordEmulator(faults=FaultPlan(script=dict(enumerate(answers))))
    async with opened(emulator) as gateway:
        before = trio.current_time()
        assert (await gateway.send("support", ROOM, "x")).delivered
        assert 312 < trio.current_time() - before < 318
    assert ["x"] == texts(emulator)


async def test_the_first_request_of_an_unknown_route_goes_alone(opened, autojump_clock):
    """Ten messages at once, and the channel takes two in five seconds: its headers tell in time."""
    emulator = DiscordEmulator(limits=DiscordLimits(count=2))
    async with opened(emulator) as gateway:
        sends = [Send(**HERE, text=f"{n}", order="none") for n in range(10)]
        tickets = [await gateway.submit(send) for send in sends]
        assert all([(await ticket.receipt()).delivered for ticket in tickets])
    assert (10, 0) == (emulator.counters["stored"], emulator.counters["rate_limited"])


async def test_invalid_answers_stop_before_the_front_door_closes(open_to, autojump_clock):
    """Thirty channels refuse with 403; at 80 % of what closes the door nothing more is asked."""
    emulator = DiscordEmulator(limits=DiscordLimits(invalid=20))
    settings = DiscordSettings(token=Secret("a.b.c"), invalid_answers=20)
    instance = Instance("support", "discord", settings)
    rooms = [str(5000 + n) for n in range(30)]
    for room in rooms:
        emulator.close_room(room, 50001)
    async with open_to("https://discord.com", emulator.app, instance) as gateway:
        before = trio.current_time()
        sends = [Send(instance_id="support", external_room_id=room, text="x") for room in rooms]
        tickets = [await gateway.submit(send) for send in sends]
        await trio.sleep(300)
        assert 16 <= emulator.counters["requests"] < 20
        receipts = [await ticket.receipt() for ticket in tickets]
        assert 600 < trio.current_time() - before < 700
        assert (await gateway.send("support", ROOM, "open")).delivered
    assert {Reason.FORBIDDEN} == {receipt.verdict.reason for receipt in receipts}
    assert ["open"] == texts(emulator)


async def test_a_new_token_goes_on_where_the_revoked_one_stopped(opened, autojump_clock):
    emulator = DiscordEmulator()
    emulator.revoke("a.b.c")
    async with opened(emulator) as gateway:
        tickets = [await gateway.submit(Send(**HERE, text=f"{n}", ttl=3600)) for n in range(3)]
        await trio.sleep(5)
        settings = DiscordSettings(token=Secret("new.token.of-it"))
        gateway.replace_instance(Instance("support", "discord", settings))
        assert all([(await ticket.receipt()).delivered for ticket in tickets])
    assert ["0", "1", "2"] == texts(emulator)


async def test_channels_in_slow_mode_are_not_taken_for_the_whole_bot(opened, autojump_clock):
    """Five channels wait an hour; a sixth does not notice."""
    emulator = DiscordEmulator()
    slow = [str(6000 + n) for n in range(5)]
    for room in slow:
        emulator.limit_shared(room, 3600)
    async with opened(emulator) as gateway:
        for room in slow:
            await gateway.submit(
                Send(instance_id="support", external_room_id=room, text="x", ttl=60_000)
            )
        await trio.sleep(1)
        before = trio.current_time()
        assert (await gateway.send("support", ROOM, "at once")).delivered
        assert trio.current_time() - before < 1
        await trio.sleep(3700)
    assert [["x"]] * 5 == [texts(emulator, room) for room in slow]


async def test_a_spent_bucket_holds_back_its_own_route_alone(opened, autojump_clock):
    """Edits are refused for a minute, and messages to the same channel go on."""
    spent = {
        "Via": "1.1 google",
        "X-RateLimit-Bucket": "edits",
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset-After": "60.0",
        "X-RateLimit-Scope": "user",
    }
    said = Said(status=429, body={"retry_after": 60.0, "global": False}, headers=spent)
    emulator = DiscordEmulator(faults=FaultPlan(script={1: said}))
    async with opened(emulator) as gateway:
        receipt = await gateway.send("support", ROOM, "one")
        edit = await gateway.submit(Edit(**HERE, target=receipt.ref, text="two"))
        await trio.sleep(1)
        before = trio.current_time()
        free = await gateway.submit(Send(**HERE, text="meanwhile", order="none"))
        assert (await free.receipt()).delivered
        assert trio.current_time() - before < 1
        assert (await edit.receipt()).delivered
        assert 59 < trio.current_time() - before < 61
    assert ["two", "meanwhile"] == texts(emulator)


async def test_a_room_keeps_to_its_own_limit_whatever_discord_allows(open_to, autojump_clock):
    """Discord names a bucket of 5 in 5 s, and 2 in 10 s are configured for this room."""
    emulator = DiscordEmulator()
    rooms = {ROOM: RoomLimits(message_count=2, message_per=10.0)}
    settings = DiscordSettings(token=Secret("a.b.c"), rooms=rooms)
    instance = Instance("bot", "discord", settings)
    async with open_to("https://discord.com", emulator.app, instance) as gateway:
        for number in range(6):
            await gateway.send("bot", ROOM, f"text {number}")
            if number < 5:
                await gateway.send("bot", THREAD, "quick")
        assert 25 < trio.current_time() < 27  # a new process takes one of the two for spent
    assert 6 == len(emulator.rooms.conversation(ROOM))
