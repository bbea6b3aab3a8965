"""Envelope ids: sortable by acceptance."""

from random import Random

from gateway_core.contract.ids import SLOTS, Ids, position_of


def make(seed="ids"):
    return Ids(Random(seed))


def test_an_id_is_thirty_hexadecimal_digits():
    """Twelve of milliseconds, six of a counter, twelve of the gateway's own mark."""
    new = make().next(1_700_000_000.123)
    assert 30 == len(new)
    assert 1_700_000_000_123 == int(new[:12], 16)
    assert "000000" == new[12:18]
    assert f"{Random('ids').getrandbits(48):012x}" == new[18:]


def test_ids_of_one_millisecond_are_counted():
    ids = make()
    assert ["000000", "000001", "000002"] == [ids.next(5.0)[12:18] for _ in range(3)]


def test_a_new_millisecond_counts_from_zero():
    ids = make()
    ids.next(5.0)
    ids.next(5.0)
    assert "000000" == ids.next(5.001)[12:18]


def test_ids_go_on_rising_when_the_clock_steps_back():
    ids = make()
    walls = (5.0, 4.0, 5.0, 4.999, 6.0, 0.0)
    made = [ids.next(wall) for wall in walls]
    assert sorted(made) == made
    assert len(walls) == len(set(made))


def test_more_than_a_millisecond_can_count_takes_the_next_one():
    """The upper half of what it can count is for ids that a shared outbox gives."""
    ids = make()
    made = [ids.next(5.0) for _ in range((1 << 13) + 1)]
    assert f"{5000:012x}001fff" == made[-2][:18]
    assert f"{5001:012x}000000" == made[-1][:18]
    assert sorted(set(made)) == made


def test_ids_of_one_outbox_that_several_draw_are_different_in_each_slot():
    """Whatever the clock says, and as many as they draw; later ones sort later still."""
    drawn = []
    for slot in (0, 1, 63, SLOTS - 1):
        ids = make(f"{slot}")
        before = ids.next(5.0)
        ids.draw_from(slot)
        made = [ids.next(5.0) for _ in range(200)]
        ids.draw_from(slot)
        assert made[-1][:12] == ids.next(0.0)[:12]
        assert sorted([before, *made]) == [before, *made]
        drawn += map(position_of, made)
    assert len(drawn) == len(set(drawn))
    assert all(position % (1 << 14) < 1 << 13 for position in drawn)


def test_ids_go_on_after_those_of_an_earlier_life():
    """The wall clock was an hour ahead then: the new ids sort behind the old ones all the same."""
    old = make("old").next(3600.0)
    ids = make("new")
    ids.go_on_after(old)
    new = ids.next(0.0)
    assert old < new
    assert position_of(old) < position_of(new)


def test_an_earlier_life_without_ids_changes_nothing():
    ids = make()
    ids.go_on_after("")
    assert make().next(5.0) == ids.next(5.0)


def test_an_older_id_of_an_earlier_life_changes_nothing_that_is_later():
    ids = make()
    before = ids.next(9.0)
    ids.go_on_after("", make("old").next_position(5.0))
    assert before < ids.next(9.0)


def test_two_gateways_make_different_ids_of_the_same_instant():
    assert make("one").next(5.0) != make("two").next(5.0)


def test_positions_order_as_ids_do():
    ids = make()
    made = [ids.next(wall) for wall in (1.0, 1.0, 1.5, 2.0, 4_000_000_000.0)]
    places = [position_of(new) for new in made]
    assert sorted(places) == places
    assert max(places) < 1 << 62
    assert [(1000 << 14), (1000 << 14) + 1, 1500 << 14] == places[:3]


def test_ids_go_on_after_the_last_of_many_of_one_millisecond():
    old = make("old")
    last = [old.next(5.0) for _ in range(3)][-1]
    ids = make("new")
    ids.go_on_after(last)
    assert last < ids.next(5.0)


def test_a_full_millisecond_under_a_clock_that_stepped_back_still_rises():
    ids = make()
    made = [ids.next(5.0 if n == 0 else 1.0) for n in range((1 << 14) + 2)]
    assert sorted(set(made)) == made


def test_going_on_after_what_is_older_draws_nothing_twice():
    """An account comes from another process while this one draws ids for others."""
    ids = Ids(Random(1))
    drawn = [ids.next_position(1.0) for _ in range(3)]
    ids.go_on_after("", drawn[0] - (1 << 20))
    drawn += [ids.next_position(1.0) for _ in range(3)]
    ids.go_on_after("", drawn[-1])
    drawn.append(ids.next_position(1.0))
    assert sorted(set(drawn)) == drawn
