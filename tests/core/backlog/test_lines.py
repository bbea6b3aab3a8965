"""The requests of a room keep their order, though several are under way at once."""

from __future__ import annotations

import pytest
import trio

from gateway_core import Delete, KeyRef, OutboxError, Send
from gateway_core.backlog.lines import MOST_AT_ONCE, Lines
from gateway_core.outboxes.records import Request

PLACE = ("bot", "room")
AGAIN = 1.0


def message(number, **fields):
    envelope = Send(instance_id="bot", external_room_id="room", text=f"{number}")
    return Request(
        kind="submit", number=number, instance_id="bot", envelope=envelope, claims=True, **fields
    )


def deletion(number):
    target = KeyRef(instance_id="bot", external_room_id="room", key="k")
    envelope = Delete(instance_id="bot", external_room_id="room", target=target)
    return Request(kind="submit", number=number, envelope=envelope, claims=True)


class Room:
    """Carries requests out: each takes `takes` seconds, and comes in at once.

    log      the numbers that began, and those that ended (negative)
    failing  how often the outbox fails at each number
    """

    def __init__(self, nursery, takes=1.0):
        self.takes, self.failing = takes, {}
        self.log, self.after, self.failed = [], {}, []
        self.answered = set()
        self.lines = Lines(self.carry_out, self.fails)
        self.lines.spawn = nursery.start_soon

    async def carry_out(self, request, comes_in):
        number = request.number
        self.log.append(number)
        self.after[number] = request.after
        comes_in()
        await trio.sleep(self.takes + number / 1e6)  # a batch ends in the order of its entries
        if self.failing.get(number):
            self.failing[number] -= 1
            raise OutboxError("it fails")
        if request.after and request.after not in self.answered:
            raise OutboxError("the one before is not answered")
        self.answered.add(number)
        self.log.append(-number)

    def fails(self, request):
        self.failed.append(request.number)
        return AGAIN


@pytest.fixture
async def room(nursery, autojump_clock):
    return Room(nursery)


async def test_messages_share_their_time_and_know_who_comes_before(room):
    for number in (1, 2, 3):
        room.lines.add(PLACE, message(number))
    await trio.sleep(room.takes + 0.5)
    assert [1, 2, 3, -1, -2, -3] == room.log
    assert {1: 0, 2: 1, 3: 2} == room.after
    room.lines.add(PLACE, message(4))
    await trio.sleep(room.takes + 0.5)
    assert 0 == room.after[4]


@pytest.mark.parametrize(
    "alone", [deletion(2), Request(kind="ask", number=2), Request(kind="group", number=2)]
)
async def test_what_is_no_message_comes_alone(room, alone):
    for request in (message(1), alone, message(3)):
        room.lines.add(PLACE, request)
    await trio.sleep(10)
    assert [1, -1, 2, -2, 3, -3] == room.log
    assert {0} == set(room.after.values())


async def test_a_message_that_its_entry_does_not_answer_comes_alone(room):
    for number in (1, 2):
        room.lines.add(PLACE, Request(kind="submit", number=number, envelope=message(1).envelope))
    await trio.sleep(10)
    assert [1, -1, 2, -2] == room.log


async def test_only_so_many_are_under_way(room):
    for number in range(1, MOST_AT_ONCE + 51):
        room.lines.add(PLACE, message(number))
    await trio.sleep(room.takes / 2)
    assert list(range(1, MOST_AT_ONCE + 1)) == room.log
    await trio.sleep(10)
    assert MOST_AT_ONCE + 50 == len(room.answered)


async def test_at_a_failure_all_later_ones_are_repeated_in_their_order(room):
    room.failing[2] = 2
    for number in (1, 2, 3):
        room.lines.add(PLACE, message(number))
    await trio.sleep(20)
    ended = [-number for number in room.log if number < 0]
    assert [1, 2, 3] == ended
    assert [2, 2] == room.failed
    assert {1: 0, 2: 0, 3: 2} == room.after
    assert [1, 2, 3, 2, 3, 2, 3] == [number for number in room.log if number > 0]


async def test_what_is_forgotten_is_not_repeated_and_what_comes_then_goes_on(room):
    room.failing |= {1: 1, 2: 1}
    for number in (1, 2):
        room.lines.add(PLACE, message(number))
    await trio.sleep(room.takes / 2)
    room.lines.forget("another")
    room.lines.forget("bot")
    room.lines.add(PLACE, message(5))
    await trio.sleep(20)
    assert [1, 2, 5, -5] == room.log
    assert [] == room.failed
    assert 0 == room.after[5]


async def test_what_another_process_carries_out_is_left_to_it(room):
    room.failing[1] = 1
    room.lines._on_failed = lambda request: room.failed.append(request.number)
    for number in (1, 2):
        room.lines.add(PLACE, message(number))
    await trio.sleep(20)
    assert [1] == room.failed
    assert [1, 2, 2, -2] == room.log


async def test_it_is_current_until_it_is_done_or_forgotten(room):
    first, second = message(1), deletion(2)
    room.lines.add(PLACE, first)
    room.lines.add(PLACE, second)
    await trio.sleep(room.takes / 2)
    assert [True, False] == [room.lines.is_current(PLACE, each) for each in (first, second)]
    await trio.sleep(room.takes)
    assert [False, True] == [room.lines.is_current(PLACE, each) for each in (first, second)]
    room.lines.forget("bot")
    assert not room.lines.is_current(PLACE, second)
    await trio.sleep(room.takes)
    assert not room.lines.is_current(PLACE, second)
