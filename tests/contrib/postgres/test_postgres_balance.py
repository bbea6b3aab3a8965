"""Which member is to own an account. Without a server, over many drawn sets of members."""

from collections import Counter
from random import Random
from uuid import UUID

import attrs
import pytest

from gateway_contrib.postgres.names import ALL
from gateway_contrib.postgres.spreading.balance import Member, home
from gateway_contrib.postgres.spreading.shares import Account, share_of

ACCOUNTS = [f"bot{n}" for n in range(500)]


def members(rng, count, **given):
    return [Member(member=UUID(int=rng.getrandbits(128)), name=f"m{n}", **given)
            for n in range(count)]  # fmt: skip


def homes(some, accounts=ACCOUNTS):
    return {name: home(name, some) for name in accounts}


@pytest.mark.parametrize("seed", range(10))
def test_an_account_moves_only_to_a_member_that_joins_or_from_one_that_leaves(seed):
    rng = Random(seed)
    some = [attrs.evolve(it, weight=rng.choice([0.5, 1.0, 3.0])) for it in members(rng, 5)]
    rng.shuffle(some)
    fewer, joined = homes(some[1:]), some[0].member
    more = homes(some)
    moved = {name for name in ACCOUNTS if more[name] != fewer[name]}
    assert moved == {name for name in ACCOUNTS if more[name] == joined}
    assert moved


@pytest.mark.parametrize("seed", range(5))
def test_shares_follow_weights(seed):
    rng = Random(seed)
    weights = [1.0, 2.0, 4.0]
    some = [attrs.evolve(it, weight=weight)
            for it, weight in zip(members(rng, 3), weights, strict=True)]  # fmt: skip
    counts = Counter(homes(some, [f"bot{n}" for n in range(7_000)]).values())
    for it in some:
        assert 0.9 < counts[it.member] / (1_000 * it.weight) < 1.1


def test_a_member_without_weight_owns_what_no_other_can():
    light, heavy = members(Random(1), 2)
    light = attrs.evolve(light, weight=0.0)
    heavy = attrs.evolve(heavy, lacks={"bot7"})
    found = homes([light, heavy])
    assert {"bot7"} == {name for name, member in found.items() if member == light.member}
    gone = homes([light, attrs.evolve(light, member=UUID(int=7))])
    assert 200 < Counter(gone.values())[light.member] < 300


def test_a_member_that_drains_owns_nothing_and_without_another_nobody_does():
    one, two = members(Random(1), 2)
    draining = attrs.evolve(one, draining=True)
    assert {two.member} == set(homes([draining, two]).values())
    assert {None} == set(homes([draining]).values())


def test_a_member_that_drains_keeps_what_no_other_can_own():
    one, two = members(Random(1), 2)
    draining = attrs.evolve(one, draining=True)
    lacking = attrs.evolve(two, lacks={"bot7"})
    account = {"bot7": Account(instance="bot7", member=one.member, epoch=1, pinned=None)}
    for others, gives in (([], set()), ([lacking], set()), ([two], {"bot7"})):
        present = {it.member for it in (one, *others)}
        share = share_of(one.member, [draining, *others], account, {"bot7"}, {"bot7"}, present)
        assert gives == share.give


def test_a_member_that_has_not_said_what_it_can_own_gets_nothing():
    """Else its share would be given up to it, and then to another one."""
    one, two = members(Random(1), 2)
    before = homes([one])
    assert before == homes([one, attrs.evolve(two, ready=False)])
    assert before != homes([one, two])


def test_a_pinned_account_is_its_members_while_that_can_own_it():
    one, two = members(Random(1), 2)
    for name in ACCOUNTS[:20]:
        assert two.member == home(name, [one, two], pinned=two.name)
        assert one.member == home(name, [one], pinned=two.name)
        assert one.member == home(name, [one, attrs.evolve(two, draining=True)], pinned=two.name)


@pytest.mark.parametrize("name", ["bot7", ALL])
def test_what_was_taken_and_not_heard_of_is_taken_again_and_given_up(name):
    """The answer was lost, and another member is to own it by then: else nobody ever could."""
    me, other = members(Random(1), 2)
    pinned = other.name
    taken = {name: Account(instance=name, member=me.member, epoch=1, pinned=pinned)}
    some, present = [me, other], {me.member, other.member}
    share = share_of(me.member, some, taken, {"bot7"}, set(), present)
    assert ({name}, {name}) == (share.take, share.give)
    share = share_of(me.member, some, taken, {"bot7"}, {name}, present)
    assert (set(), {name}) == (share.take, share.give)
    given = share_of(me.member, some, taken, {"bot7"}, set(), present, {name})
    assert (set(), set()) == (given.take, given.give)
    alone = share_of(me.member, [me], taken, {"bot7"}, set(), {me.member})
    assert ({name}, set()) == (alone.take, alone.give)


@pytest.mark.parametrize("pinned", [True, False])
def test_what_was_taken_and_forgotten_since_is_given_up_at_once(pinned):
    """The answer was lost, and the process that an instance source gave it to has forgotten it."""
    me, other = members(Random(1), 2)
    pin = (other if pinned else me).name
    taken = {"bot7": Account(instance="bot7", member=me.member, epoch=1, pinned=pin)}
    some, present = [me, other], {me.member, other.member}
    share = share_of(me.member, some, taken, set(), set(), present, beyond=frozenset())
    assert ({"bot7"}, set(), set()) == (share.free, share.take, share.want)
    held = share_of(me.member, some, taken, set(), {"bot7"}, present, beyond=frozenset())
    given = share_of(me.member, some, taken, set(), set(), present, {"bot7"}, frozenset())
    assert set() == held.free == given.free


@attrs.define
class Side:
    """A member as it decides by itself."""

    member: Member
    served: frozenset[str]
    owned: set[str] = attrs.field(factory=set)


@pytest.mark.parametrize("seed", range(20))
def test_members_that_decide_by_themselves_come_to_the_same(seed):
    """Whatever each serves and says it lacks: what one serves is owned by one in the end."""
    rng = Random(seed)
    names = ACCOUNTS[:60]
    sides = [Side(it, frozenset(rng.sample(names, rng.randint(0, 60))))
             for it in members(rng, rng.randint(1, 4))]  # fmt: skip
    present = {it.member.member for it in sides}
    owners = dict.fromkeys([*names, ALL])
    for _ in range(12):
        for side in rng.sample(sides, len(sides)):
            stored = {name: Account(instance=name, member=owner, epoch=1)
                      for name, owner in owners.items()}  # fmt: skip
            known = [it.member for it in sides]
            me = side.member.member
            share = share_of(me, known, stored, side.served, side.owned, present)
            side.member = attrs.evolve(side.member, lacks=share.lacks)
            assert all(owners[name] is None for name in share.take)
            assert share.give <= side.owned
            for name in share.take:
                owners[name] = me
                side.owned.add(name)
            for name in share.give:
                owners[name] = None
                side.owned.discard(name)
    served = frozenset().union(*(side.served for side in sides))
    assert {*served, ALL} == {name for name, owner in owners.items() if owner is not None}
    for side in sides:
        assert side.owned == {name for name, it in owners.items() if it == side.member.member}
        assert side.owned <= side.served | {ALL}
