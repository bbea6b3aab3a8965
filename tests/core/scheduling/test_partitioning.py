"""Which partition a routing key belongs to: the same in every process and Python version."""

import subprocess
import sys

import pytest

from gateway_core.scheduling.partitioning import by_instance, by_room, finder, strategy

KEYS = [("bot", "C024BE91L"), ("bot", "-100123"), ("büro", "комната"), ("a", ""), ("1:a", "b/c")]

PINNED_ROOMS = [
    5577574698150598333,
    6142652471000761436,
    8291416189817430686,
    17097280976771758778,
    14274130910485108877,
]
PINNED_INSTANCES = [
    17152424867706983236,
    17152424867706983236,
    8559931000828955860,
    4681665781835383343,
    10746897607693076979,
]

PRINT = f"""
from gateway_core.scheduling.partitioning import by_instance, by_room
print([(by_room(*key), by_instance(*key)) for key in {KEYS!a}])
"""


def test_rooms_have_these_values_for_ever():
    assert PINNED_ROOMS == [by_room(*key) for key in KEYS]


def test_instances_have_these_values_for_ever():
    assert PINNED_INSTANCES == [by_instance(*key) for key in KEYS]


def test_two_processes_with_different_hash_seeds_agree():
    printed = {
        subprocess.run(
            [sys.executable, "-c", PRINT],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=300,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert {str([(by_room(*key), by_instance(*key)) for key in KEYS])} == printed


def test_instance_and_room_are_not_merely_joined():
    assert by_room("a", "b/c") != by_room("a/b", "c")
    assert by_room("1:a", "b") != by_room("1", "a/b")


def test_by_instance_keeps_all_rooms_together():
    assert 1 == len({by_instance("bot", f"room {n}") for n in range(100)})


def test_by_room_spreads_evenly():
    """8,000 rooms over 8 partitions: 1,000 each, give or take a tenth."""
    depths = [0] * 8
    for n in range(8000):
        depths[by_room("bot", f"room {n}") % 8] += 1
    assert 900 < min(depths)
    assert max(depths) < 1100


def test_a_strategy_is_named_or_a_callable():
    def mine(instance_id: str, room_id: str) -> int:
        return len(instance_id) + len(room_id)

    assert by_room is strategy("room")
    assert by_instance is strategy("instance")
    assert mine is strategy(mine)


def test_an_unknown_name_is_no_strategy():
    with pytest.raises(KeyError, match="hash"):
        strategy("hash")


def test_a_rooms_partition_is_computed_once_while_it_is_remembered():
    asked = []

    def by_length(instance_id, room):
        asked.append(room)
        return len(room)

    partition_of = finder(["even", "odd"], by_length)
    assert ["odd", "odd", "even"] == [partition_of("bot", room) for room in ("r", "r", "rr")]
    assert ["r", "rr"] == asked
