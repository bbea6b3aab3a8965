"""The same seed gives the same world, byte for byte, in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from amounts import amount
from simulated.world import simulate

ROOT = Path(__file__).parents[2]
FIRST, SEEDS = 300, amount("worlds seen by two processes")


@cache
def digests(hash_seed: str) -> list[str]:
    """The digests that another process gets for the seeds."""
    command = [sys.executable, "-m", "bench.simulate", "--digests"]
    command += ["--seeds", str(SEEDS), "--first-seed", str(FIRST)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=True
    )
    return done.stdout.splitlines()


def test_two_processes_with_other_hash_seeds_see_the_same():
    first, second = digests("1"), digests("4242")
    assert first == second
    assert first[-1].startswith(f"{SEEDS} seeds, ")
    assert first[-1].endswith(" faults: 0 violations")


def test_this_process_sees_what_another_one_sees():
    """Its heap is another one, and other tests ran in it before."""
    here = [f"{seed} {simulate(seed).digest}" for seed in range(FIRST, FIRST + 3)]
    assert here == digests("1")[:3]


def test_the_name_of_a_temporary_folder_is_in_no_trace():
    """In this world the outbox does not open at first, and says which file that is."""
    first, second = simulate(22), simulate(22)
    assert any("cannot be opened" in line for line in first.trace)
    assert first.digest == second.digest


def test_other_seeds_are_other_worlds():
    assert 4 == len({simulate(seed).digest for seed in range(4)})
