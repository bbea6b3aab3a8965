"""Which envelopes a page may show that are not accepted yet, or have ended."""

from gateway_core.backlog.capacity import Capacity


def test_one_of_another_process_is_not_taken_for_gone_since_it_could_not_be_accepted_here():
    """Meanwhile another owner may have accepted it."""
    capacity = Capacity(10, lambda: None)
    assert capacity.take(1)
    capacity.coming("id", 1)
    capacity.failed("id", 0, elsewhere=True)
    assert not capacity.lacks("id")
    assert 0 == capacity.unfinished


def test_one_that_is_accepted_at_the_second_attempt_is_no_more_taken_for_gone():
    capacity = Capacity(10, lambda: None)
    for stored in (False, True):
        assert capacity.take(1)
        capacity.coming("id", 1)
        assert capacity.lacks("id")
        if stored:
            capacity.came("id", "bot", 1)
        else:
            capacity.failed("id", 0, elsewhere=False)
            assert capacity.lacks("id")
    assert not capacity.lacks("id")
    assert 1 == capacity.unfinished


def test_what_other_processes_count_takes_slots_until_they_count_less():
    capacity = Capacity(10, lambda: None)
    capacity.count_beside({"normal": 8, "bulk": 1}, 0)
    assert (8, 0) == (capacity.depth_for(1), capacity.unfinished)
    assert capacity.take(2)
    assert not capacity.take(2)
    assert [True, True, False] == [capacity.take(1) for _ in range(3)]
    capacity.count_beside({"normal": 7}, 0)
    assert capacity.take(1)
    assert not capacity.take(1)
