"""The collector does not look over and over at what a restart brings in."""

import gc

import pytest

from gateway_core.backlog.loader import GcFreeze


@pytest.fixture(autouse=True)
def collector():
    """As it was, whatever a test does to it."""
    on = gc.isenabled()
    gc.enable()
    yield
    gc.unfreeze()
    (gc.enable if on else gc.disable)()


def test_what_came_in_is_in_the_oldest_generation_unlooked_at():
    passes = []
    gc.callbacks.append(lambda phase, _: passes.append(phase))
    try:
        rows = [[{}] for _ in range(100)]
        passes.clear()
        GcFreeze().came()
    finally:
        gc.callbacks.pop()
    oldest = {id(thing) for thing in gc.get_objects(generation=2)}
    assert [] == passes
    assert all(id(row) in oldest for row in rows)
    assert 0 == gc.get_freeze_count()


def test_what_an_application_has_frozen_stays_frozen():
    """The collector lists what it looks at. (Their number can fall: other threads drop some.)"""
    frozen = [{}]
    gc.freeze()
    later = [{}]
    freeze = GcFreeze()
    freeze.came()
    looked_at = {id(thing) for thing in gc.get_objects()}
    assert freeze.done
    assert (False, True) == (id(frozen) in looked_at, id(later) in looked_at)


def test_nothing_is_done_where_the_collector_is_off():
    gc.disable()
    freeze = GcFreeze()
    freeze.came()
    assert freeze.done
    assert not gc.isenabled()


def test_nothing_is_done_after_memory_was_full_once():
    freeze = GcFreeze()
    freeze.done = True
    row = [{}]
    freeze.came()
    assert id(row) not in {id(thing) for thing in gc.get_objects(generation=2)}
