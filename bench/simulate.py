"""Simulates many worlds: `python -m bench.simulate --seeds 10000 --first-seed 1`.

Each seed draws a world of its own (tests/simulation). For each world with a violation, a line says
the seed that makes this world again. The last line has the totals.

    --seeds N        how many                    --first-seed K  the first
    --trace          print what happened (with one seed: to find out why)
    --digests        print the digest of each world: equal in every process
    --keep-going     do not stop at the first violation
    --shared         instead: several gateways on one shared outbox, as PostgreSQL has it
    --spread         the same, with the accounts spread over the gateways
    --sourced        the same as --spread, and an instance source gives the accounts
    --crash-points   instead: one small world, killed at each await of its first life, and then as
                     many pairs of kills as there are seeds, drawn from the first one
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

COLLECT_EVERY = 50
PROGRESS = 100
"""Worlds after which standard error shows how many are done."""
SHARED = ("shared", "spread", "sourced")
"""The kinds of worlds in which several gateways share an outbox."""
MOST = 120.0
"""The most CPU seconds of one world; most worlds take a tenth of a second."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--digests", action="store_true")
    parser.add_argument("--keep-going", action="store_true")
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--spread", action="store_true")
    parser.add_argument("--sourced", action="store_true")
    parser.add_argument("--crash-points", action="store_true")
    return parser.parse_args()


@contextmanager
def bounded(name: str) -> Iterator[None]:
    """End the process, and say where it is, if the world of that name loops forever.

    This raises no exception in the world, since code that handles errors would only loop on.
    """

    def end(*_: object) -> None:
        print(f"VIOLATION {name}: it looped for {MOST:g} s without letting another task run")
        faulthandler.dump_traceback()
        sys.stdout.flush()
        os._exit(1)

    signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, MOST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


def worlds(asked: argparse.Namespace) -> Iterator[Any]:
    """Yields the outcome or the violation of each world."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "simulation"))
    from simulated.scenario import count_points, killed_at  # noqa: PLC0415 - the path is set above
    from simulated.world import Violation, simulate  # noqa: PLC0415 - likewise

    if asked.shared:
        from sharing.world import simulate  # noqa: PLC0415 - likewise
    if asked.spread:
        from sharing.world import simulate_spread as simulate  # noqa: PLC0415 - likewise
    if asked.sourced:
        from sharing.world import simulate_sourced as simulate  # noqa: PLC0415 - likewise
    gc.freeze()
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    makers: list[Callable[[], Any]] = [partial(simulate, seed) for seed in seeds]
    names = [f"seed {seed}" for seed in seeds]
    if asked.crash_points:
        points, rng = count_points(), Random(asked.first_seed)
        print(f"{points} awaits")
        makers = [partial(killed_at, point) for point in range(1, points + 1)]
        draw = partial(rng.randrange, 1, points)
        makers += [partial(killed_at, draw(), draw()) for _ in seeds]
        names = [str(make.args) for make in makers if isinstance(make, partial)]
    for number, (name, make) in enumerate(zip(names, makers, strict=True)):
        try:
            with bounded(name):
                made = make()
            yield made
        except Violation as violation:
            yield violation
            if not asked.keep_going:
                return
        if number % COLLECT_EVERY == 0:
            gc.collect()


def told(world: Any, asked: argparse.Namespace) -> None:
    """Print what is asked for about one world."""
    if asked.trace:
        print("\n".join(world.trace))
    if isinstance(world, Exception):
        print(f"VIOLATION {world}", flush=True)
        if not asked.crash_points:
            seed = getattr(world, "seed", None)
            some = "".join(f" --{kind}" for kind in SHARED if getattr(asked, kind))
            print(f"replay: python -m bench.simulate{some} --seeds 1 --first-seed {seed} --trace")
    elif asked.digests:
        print(world.seed, world.digest)


def main() -> int:
    """Run the worlds, and print the totals; returns 1 if there was a violation."""
    asked = arguments()
    seeds = messages = faults = kills = violations = 0
    for world in worlds(asked):
        told(world, asked)
        seeds += 1
        if seeds % PROGRESS == 0:
            print(f"{seeds} of {asked.seeds}", file=sys.stderr)
        if isinstance(world, Exception):
            violations += 1
        else:
            messages += world.messages
            faults += world.faults
            kills += world.kills
    after = "process" if any(getattr(asked, kind) for kind in SHARED) else "life"
    print(f"{kills} kills, each followed by another {after} on the same outbox")
    what = "lives" if asked.crash_points else "seeds"
    print(f"{seeds} {what}, {messages} messages, {faults} faults: {violations} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
