"""All the tokens of an attempt are taken at once or not at all, and nobody starves of that."""

import pytest
import trio

from gateway_core import ErrorClass, Limit, Reason, Scope, Send, Verdict
from gateway_core.clock import SECOND
from gateway_core.ratelimits.acquire import Blocked, acquire_all, reserve, unreserve
from gateway_core.ratelimits.bucket import SOON, Bucket, PacedBucket
from gateway_core.ratelimits.limit_kinds import WindowBucket
from gateway_core.scheduling.classes import BULK, NORMAL, URGENT, ClassQueue
from gateway_core.scheduling.rooms import Lane
from gateway_core.testing import Failure, FakeChannel, open_test_gateway

MS = SECOND // 1000


def even(count=10, per=1.0, name="even"):
    return PacedBucket(Limit(name, count, per))


def window(count=2, per=1.0, name="window"):
    return WindowBucket(Limit(name, count, per, "window"))


def lane(since=1, cls=NORMAL):
    made = Lane(f"lane {since}", None, None, None)
    made.rank = (cls, 0, since)
    return made


def test_all_tokens_are_taken_in_one_step():
    buckets = [Bucket("slots", 4), even(), window()]
    assert acquire_all(lane(), buckets, 0, None) is None
    assert [1, 1, 1] == [bucket.in_flight for bucket in buckets]


def test_none_is_taken_where_one_is_missing():
    """The lane learns which of them frees last, and when."""
    account, room, free = even(10), window(1), Bucket("slots", 4)
    account.take(0)
    room.take(0)
    room.release(0)
    assert Blocked(room, SECOND) == acquire_all(lane(), [account, room, free], 0, None)
    assert (1, 0, 0) == (account.in_flight, room.in_flight, free.in_flight)
    assert Blocked(account, 100 * MS) == acquire_all(lane(), [account, free], 0, None)


def waiting_at(bucket, waiter):
    bucket.waiting = ClassQueue()
    bucket.waiting.push(waiter)
    return waiter


def test_behind_those_who_wait_a_lane_still_learns_what_frees_last():
    """It waits where it must wait longest, though somebody is ahead of it elsewhere."""
    bucket, closed = Bucket("slots", 4), Bucket("gate")
    waiting_at(bucket, lane(1))
    closed.close(5 * SECOND)
    assert Blocked(closed, 5 * SECOND) == acquire_all(lane(2), [bucket, closed], 9, None)


def test_where_two_buckets_are_reserved_until_then_it_stays_where_it_was_woken():
    """Else the two would hand it to each other for ever: both are free for all but it."""
    one, other, aged, bulk = Bucket("one", 4), Bucket("other", 4), lane(1), lane(2, BULK)
    for bucket in (one, other):
        bucket.in_flight = 3
        reserve(aged, [bucket], SECOND, 0)
    waiting_at(other, lane(3))
    for buckets in ([one, other], [other, one]):
        stood, woken = [], one
        for _ in range(4):
            blocked = acquire_all(bulk, buckets, 0, woken)
            assert blocked is not None
            assert SECOND + 1 == blocked.at
            stood.append(blocked.bucket)
            woken = blocked.bucket
        assert 1 == len(set(stood[1:]))


def test_who_comes_later_does_not_overtake_those_who_wait():
    bucket, other = Bucket("slots", 4), Bucket("gate")
    waiting_at(bucket, lane(1))
    assert Blocked(bucket, 9) == acquire_all(lane(2), [other, bucket], 9, None)


def test_who_waits_longer_goes_before_the_queue():
    bucket = Bucket("slots", 4)
    waiting_at(bucket, lane(2))
    assert acquire_all(lane(1), [bucket], 9, None) is None


def test_urgent_goes_before_the_queue():
    bucket = Bucket("slots", 4)
    waiting_at(bucket, lane(1))
    assert acquire_all(lane(2, URGENT), [bucket], 9, None) is None


def test_the_lane_just_woken_at_a_bucket_is_nobody_s_junior_there():
    bucket = Bucket("slots", 4)
    waiting_at(bucket, lane(1))
    assert acquire_all(lane(2), [bucket], 9, bucket) is None


def test_an_empty_queue_holds_nobody_up():
    bucket = Bucket("slots", 4)
    waiting_at(bucket, lane(1)).waits_in = None
    assert acquire_all(lane(2), [bucket], 9, None) is None


def test_a_reserved_token_is_kept_for_its_holder():
    bucket, old = window(1), lane(1)
    reserve(old, [bucket], SECOND, 0)
    assert Blocked(bucket, SECOND + 1) == acquire_all(lane(2), [bucket], 0, None)
    assert acquire_all(old, [bucket], 0, None) is None


def test_its_holder_takes_it_at_its_time_before_those_who_waited_for_that():
    """Also a bulk one, which a higher class goes before otherwise: both would wait for ever."""
    slot, room, bulk = Bucket("attempts", 1), window(1), lane(1, BULK)
    reserve(bulk, [slot], SECOND, 0)
    waiting_at(slot, lane(2))
    assert Blocked(slot, SECOND // 2) == acquire_all(bulk, [slot], SECOND // 2, room)
    assert acquire_all(bulk, [slot, room], SECOND, room) is None
    assert (1, 1) == (slot.in_flight, room.in_flight)


def test_what_is_back_in_time_may_be_taken():
    """Reserved for 100 ms from now: the tick of now is free, the next one is not for all."""
    bucket, old = even(10), lane(1)
    reserve(old, [bucket], 150 * MS, 0)
    assert acquire_all(lane(2), [bucket], 0, None) is None
    assert Blocked(bucket, 150 * MS + 1) == acquire_all(lane(3), [bucket], 100 * MS, None)


def test_of_two_places_one_may_be_taken():
    slots, old = Bucket("slots", 2), lane(1)
    reserve(old, [slots], SECOND, 0)
    assert acquire_all(lane(2), [slots], 0, None) is None
    assert Blocked(slots, SECOND + 1) == acquire_all(lane(3), [slots], 0, None)


def test_tokens_that_are_back_by_then_do_not_count_against_the_reservation():
    """Of two tokens one is spent until 0.5 s: reserved for 0.5 s, the other may be taken."""
    bucket = window(2)
    bucket.spent.append(SECOND // 2)
    reserve(lane(1), [bucket], SECOND // 2, 0)
    assert acquire_all(lane(2), [bucket], 0, None) is None


def test_tokens_that_are_not_back_by_then_count():
    bucket = window(2)
    bucket.spent.append(SECOND)
    reserve(lane(1), [bucket], SECOND // 2, 0)
    assert Blocked(bucket, SECOND // 2 + 1) == acquire_all(lane(2), [bucket], 0, None)


def test_a_reservation_ends_at_its_time():
    bucket = window(1)
    reserve(lane(1), [bucket], SECOND, 0)
    assert acquire_all(lane(2), [bucket], SECOND, None) is None


def test_who_is_older_takes_a_reservation_over():
    bucket, older, old = window(1), lane(1), lane(2)
    reserve(old, [bucket], SECOND, 0)
    reserve(older, [bucket], SECOND, 0)
    reserve(old, [bucket], SECOND, 0)
    assert (SECOND, older) == bucket.reserved


def test_a_holder_prolongs_its_own():
    bucket, old = window(1), lane(1)
    reserve(old, [bucket], SECOND, 0)
    reserve(old, [bucket], 2 * SECOND, SECOND)
    assert (2 * SECOND, old) == bucket.reserved


def test_a_reservation_whose_holder_never_came_is_taken_over():
    bucket, gone, old = window(1), lane(1), lane(2)
    reserve(gone, [bucket], SECOND, 0)
    reserve(old, [bucket], 2 * SECOND, SECOND + 1)
    assert (2 * SECOND, old) == bucket.reserved


def test_nothing_is_reserved_for_longer_than_a_token_needs_to_come_back():
    """Twice the period of a limit, a second of an attempt's slot."""
    far, near = 2 * SECOND + 1, 2 * SECOND
    for until, kept in ((far, False), (near, True)):
        bucket = window(1)
        reserve(lane(1), [bucket], until, 0)
        assert kept is (bucket.reserved is not None)
    for until, kept in ((SOON + 1, False), (SOON, True)):
        slots = Bucket("slots", 1)
        reserve(lane(1), [slots], until, 0)
        assert kept is (slots.reserved is not None)


def test_only_the_holder_gives_a_reservation_up():
    bucket, old = window(1), lane(1)
    reserve(old, [bucket], SECOND, 0)
    unreserve(lane(2), [bucket])
    assert bucket.reserved is not None
    unreserve(old, [bucket, Bucket("gate")])
    assert bucket.reserved is None


@pytest.mark.parametrize("slots", [1, 64])
async def test_a_room_that_is_closed_for_long_holds_up_no_other(slots, autojump_clock):
    """It has waited for seven seconds when a 429 closes it for 1,000; the others go on at 20."""

    async def script(attempt):
        if attempt.room == "closed" and attempt.number == 1:
            await trio.sleep(7)
            raise Failure(
                Verdict(
                    error_class=ErrorClass.RETRYABLE,
                    reason=Reason.RATE_LIMITED,
                    scope=Scope.ROOM,
                    retry_after=1000.0,
                )
            )

    channel = FakeChannel(script=script, limits=lambda *_: [Limit("account", 1, 1.0)])
    async with open_test_gateway(
        channel, partition_count=1, attempts_per_partition=slots, drain_timeout=0
    ) as gateway:
        await gateway.submit(Send(instance_id="bot", external_room_id="closed", text="x"))
        await trio.sleep(20)
        await gateway.send("bot", "open", "y")
        assert 20.0 == pytest.approx(trio.current_time(), abs=0.1)


async def test_a_room_at_its_limit_leaves_the_others_the_only_slot(autojump_clock):
    """There two go in ten seconds, and the third waits from the sixth second to the tenth."""

    def limits(room, _operation):
        strict = [Limit("chat", 1, 3.0), Limit("group", 2, 10.0, "window")]
        return strict if room == "strict" else []

    channel = FakeChannel(limits=limits)
    async with open_test_gateway(
        channel, partition_count=1, attempts_per_instance=1, drain_timeout=0
    ) as gateway:
        strict = Send(instance_id="bot", external_room_id="strict", text="x", order="none")
        for _ in range(8):
            await gateway.submit(strict)
        longest = 0.0
        while trio.current_time() < 25:
            begun = trio.current_time()
            await gateway.send("bot", "open", "y")
            longest = max(longest, trio.current_time() - begun)
            await trio.sleep(0.25)
    assert longest <= 1.0


def test_bulk_waits_behind_normal_at_a_bucket():
    bucket = Bucket("slots", 4)
    waiting_at(bucket, lane(5, NORMAL))
    assert Blocked(bucket, 9) == acquire_all(lane(1, BULK), [bucket], 9, None)


def test_newcomers_that_pass_by_pay_the_share_of_those_who_wait():
    """Ten of normal take what bulk waits for; the eleventh finds bulk before it."""
    bucket, gate = Bucket("slots"), Bucket("gate")
    waiting_at(bucket, lane(1, BULK))
    newcomers = [acquire_all(lane(5), [bucket, gate], 9, None) for _ in range(11)]
    assert [None] * 10 + [Blocked(bucket, 9)] == newcomers
