"""A process's share of a limit: the shares of all together are never more than the platform's."""

from fractions import Fraction

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from gateway_core import ConfigError, GatewayConfig, Limit, Send
from gateway_core.authors import Answer, BucketReport
from gateway_core.plugins.sharing import fraction_of, shared_limit, shared_report
from gateway_core.testing import FakeChannel, open_test_gateway

EIGHTH = Fraction(1, 8)
counts = st.integers(1, 10_000)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (Limit("b", 30, 1.0, most=30), Limit("b", 3, 1.0, most=3)),
        (Limit("b", 20, 60.0, "window"), Limit("b", 2, 60.0, "window")),
        (Limit("b", 1, 1.0), Limit("b", 1, 8.0)),
        (Limit("b", 5, 2.0, "window", of="room"), Limit("b", 1, 3.2, "window", of="room")),
        (Limit("b", 4, 1.0, start=2, most=4), Limit("b", 1, 2.0, start=1, most=1)),
        (Limit("b", 80, 1.0, start=16), Limit("b", 10, 1.0, start=2)),
    ],
)
def test_an_eighth_of_a_limit(limit, expected):
    assert expected == shared_limit(limit, EIGHTH)


@given(counts, st.floats(0.001, 86_400), st.integers(1, 100))
def test_all_shares_together_are_never_more(count, per, processes):
    limit = shared_limit(Limit("b", count, per, "window"), Fraction(1, processes))
    together = processes * limit.count / Fraction(limit.per)
    assert together <= Fraction(count) / Fraction(per) * (1 + Fraction(1, 10**12))


@given(st.integers(1, 1000))
def test_a_share_is_the_fraction_that_was_meant(processes):
    assert Fraction(1, processes) == fraction_of(1 / processes)


@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(1, 100))
def test_what_is_left_is_left_for_all_together(remaining, limit, processes):
    report = BucketReport(bucket="b", limit=limit, remaining=remaining, reset_after=1.0)
    shared = shared_report(report, Fraction(1, processes))
    assert processes * shared.remaining <= remaining
    assert shared.limit >= 1
    assert BucketReport(bucket="b") == shared_report(BucketReport(bucket="b"), EIGHTH)


@pytest.mark.parametrize("share", [0, -1, 1.1, "half", True])
def test_a_share_is_above_nothing_and_not_above_all(share):
    with pytest.raises((ConfigError, ValueError), match="share"):
        GatewayConfig(share=share)


async def test_eight_gateways_on_one_account_keep_its_limit(autojump_clock):
    """Each sends ten messages at once to rooms of its own, under 16 a second of the account."""
    times = []

    async def worker(number, nursery):
        channel = FakeChannel(limits=lambda _r, _o: [Limit("all", 16, 1.0, "window")])
        async with open_test_gateway(channel, share=1 / 8, seed=str(number)) as gateway:
            for n in range(10):
                await gateway.enqueue("bot", f"room {n}", "x")
            assert (Limit("all", 2, 1.0, "window"),) == gateway.preview(
                Send(instance_id="bot", external_room_id="r", text="x")
            ).limits
        times.extend(channel.times)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(worker, number, nursery)
    times.sort()
    assert 80 == len(times)
    assert all(b - a >= 1.0 for a, b in zip(times, times[16:], strict=False))
    assert times[-1] < 6


async def test_reports_of_the_platform_are_shared_too(autojump_clock):
    """Another process sends as much as this one, which shows in what the platform says is left."""
    answered = []

    async def answers(_attempt):
        answered.append(trio.current_time())
        left = max(0, 16 - 2 * len(answered)) if len(answered) <= 8 else 14
        after = 10.0 - trio.current_time() % 10
        report = BucketReport(bucket="all", limit=16, remaining=left, reset_after=after)
        return Answer(message_id="1", buckets=(report,))

    channel = FakeChannel(script=answers, limits=lambda _r, _o: [Limit("all", 16, 1.0, "learned")])
    async with open_test_gateway(channel, share=0.5) as gateway:
        for n in range(9):
            await gateway.enqueue("bot", f"room {n}", "x")
    assert 7 >= round(answered[7], 3) >= 0
    assert 10 == pytest.approx(answered[8], abs=0.1)
