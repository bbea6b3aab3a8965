"""A partition's attempt slots: nobody has them all."""

from __future__ import annotations

import pytest

from gateway_core import Instance
from gateway_core.ratelimits.concurrency import ConcurrencyLimits, three_quarters


def account(instance: str, channel: str = "fake"):
    return Instance(instance, channel, None)


@pytest.mark.parametrize(
    ("slots", "most"), [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (16, 12), (64, 48), (65, 49)]
)
def test_the_last_quarter_is_for_others(slots, most):
    assert most == three_quarters(slots)


def test_an_instance_draws_on_all_on_its_channels_and_on_its_own():
    slots = ConcurrencyLimits(16)
    assert [16, 12, 9] == [bucket.capacity for bucket in slots.of(account("bot"))]


def test_instances_of_a_channel_share_its_share():
    slots = ConcurrencyLimits(16)
    one, two, other = [slots.of(a) for a in (account("a"), account("b"), account("c", "other"))]
    assert one[0] is two[0] is other[0] is slots.all
    assert one[1] is two[1] is not other[1]
    assert one[2] is not two[2]


def test_shares_are_made_once_and_forgotten_with_their_instance():
    slots, bot = ConcurrencyLimits(16), account("bot")
    first = slots.of(bot)
    assert first is slots.of(bot)
    slots.forget(bot)
    slots.forget(bot)
    again = slots.of(bot)
    assert first[:2] == again[:2]
    assert first[2] is not again[2]


def test_lanes_wait_for_slots_in_groups():
    """All are drawn on by several rooms, so that a free slot wakes one of them."""
    shares = ConcurrencyLimits(16).of(account("bot"))
    assert all(bucket.shared for bucket in shares)
