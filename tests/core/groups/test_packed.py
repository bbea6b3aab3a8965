"""Members in little memory."""

from __future__ import annotations

import sys

import pytest

from gateway_core import Send
from gateway_core.groups.packed import CHUNK, PackedMembers
from gateway_core.outboxes import Member


def packed(count, *, own=False):
    members = PackedMembers()
    for n in range(count):
        envelope = Send(instance_id="b", external_room_id=f"room{n}", text=str(n)) if own else None
        members.add(f"room{n}", envelope)
    return members


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_members_come_back_in_their_order(count):
    members = packed(count)
    every = [member for chunk in members.chunks() for member in chunk]
    assert [Member(room=f"room{n}") for n in range(count)] == every
    assert count == len(members)


@pytest.mark.parametrize("first", [0, 1, CHUNK - 1, CHUNK, CHUNK + 7, 2 * CHUNK, 2 * CHUNK + 9])
def test_they_are_read_on_from_any_number(first):
    members, read, at = packed(2 * CHUNK + 10), [], first
    while some := members.read(at, 100):
        assert len(some) <= 100
        read += some
        at += len(some)
    assert [(n, Member(room=f"room{n}")) for n in range(first, 2 * CHUNK + 10)] == read


def test_envelopes_of_their_own_stay_with_them():
    members = packed(CHUNK + 3, own=True)
    [(number, member)] = members.read(CHUNK + 1, 1)
    assert (CHUNK + 1, str(CHUNK + 1)) == (number, member.envelope.text)


def test_a_room_takes_about_its_name():
    members = packed(20 * CHUNK)
    texts = sum(sys.getsizeof(text) for text in members._texts)
    assert texts < 20 * CHUNK * 11
