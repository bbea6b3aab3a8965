"""Tests that a seed gives the same world, byte for byte, in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from amounts import amount
from simulated.world import simulate

ROOT = Path(__file__).parents[2]
FIRST, SEEDS = 300, amount("worlds seen by two processes")


def digests(hash_seed: str) -> list[str]:
    """The digests that another process gets for the seeds."""
    command = [sys.executable, "-m", "bench.simulate", "--digests"]
    command += ["--seeds", str(SEEDS), "--first-seed", str(FIRST)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=True
    )
    return done.stdout.splitlines()


def test_processes_with_other_hash_seeds_see_the_same():
    """This process has a hash seed of its own, too, and other tests ran in it before."""
    here = [f"{seed} {simulate(seed).digest}" for seed in range(FIRST, FIRST + SEEDS)]
    for hash_seed in ("1", "4242")[: amount("processes that see them again")]:
        there = digests(hash_seed)
        assert here == there[:SEEDS]
        last = there[-1]
        assert last.startswith(f"{SEEDS} seeds, ")
        assert last.endswith(" faults: 0 violations")


def test_the_name_of_a_temporary_folder_is_in_no_trace():
    """In this world, the outbox does not open at first, and its error names the file."""
    first, second = simulate(22), simulate(22)
    assert any("cannot be opened" in line for line in first.trace)
    assert first.digest == second.digest


def test_other_seeds_are_other_worlds():
    assert 4 == len({simulate(seed).digest for seed in range(4)})
