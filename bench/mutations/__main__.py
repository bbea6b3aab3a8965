"""Tries the chosen mutations: `python -m bench.mutations build/mutations/chosen.jsonl`.

First each module's tests run on unchanged code, and must pass. At the end the program prints how
many mutations were caught, and each survivor, with the reason in the documentation's table. A
survivor without a reason, or less than 95 % caught, is an error.

    --only TEXT     only mutations whose module or line has TEXT, or those of a file of numbers
    --rows FILE     a line of JSON for each mutation, when it is tried (build/mutations/rows.jsonl)
    --again         only mutations that survived or were given up, by the rows of the last run
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.mutations.modules import TESTS
from bench.mutations.trying import mutated, run_tests, workspace

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/mutations.md"
ENOUGH = 0.95
PATIENCE, START = 2, 10
"""A run may take `PATIENCE` times the processor time of the unchanged tests, plus `START` seconds.

Then it is given up.
"""
SURVIVED, CAUGHT, GIVEN_UP = "survived", "caught", "given up"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("chosen", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--rows", type=Path, default=ROOT / "build/mutations/rows.jsonl")
    parser.add_argument("--again", action="store_true")
    return parser.parse_args()


def name_of(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return row["module"], row["definition"], row["before"], row["after"]


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def unchanged(copy: Path, chosen: Iterable[dict[str, Any]]) -> dict[str, float]:
    """The processor time of each module's tests on unchanged code; the tests must pass."""
    times: dict[str, float] = {}
    for place in TESTS:
        if any(row["tests"] == place for row in chosen):
            outcome = run_tests(copy, TESTS[place], 3600, keep=True)
            if outcome.code != 0:
                sys.exit(f"the tests of {place} fail unchanged:\n{outcome.said[-2000:]}")
            times[place] = outcome.processor
            print(f"{outcome.processor:6.1f} s  the tests of {place}", flush=True)
    return times


def attempt(copy: Path, row: dict[str, Any], usual: float) -> str:
    """Try a mutation: run the module's first tests, which are quick and catch most, then others."""
    first, *others = TESTS[row["tests"]]
    with mutated(copy / row["module"], row["source"]):
        for tests in ([first], others):
            outcome = run_tests(copy, tests, round(START + PATIENCE * usual))
            if outcome.code is None:
                return GIVEN_UP
            if outcome.code:
                return CAUGHT
    return SURVIVED


def decided() -> set[tuple[str, str]]:
    """The survivors in the documentation's table: module and mutation, as written there."""
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return {(row[0].strip("| `"), row[1]) for row in rows if len(row) > 2}


def as_written(row: dict[str, Any]) -> tuple[str, str]:
    """The module and the mutation, as a row of the documentation's table has them."""
    module = row["module"].split("/src/")[1].removesuffix(".py")
    words = [" ".join(row[side].split()).replace("|", "\\|") for side in ("before", "after")]
    return module, f"`{words[0]}` → " + (f"`{words[1]}`" if words[1] else "nothing")


def main() -> None:
    asked = arguments()
    chosen = read_rows(asked.chosen)
    known = {name_of(row): row["outcome"] for row in read_rows(asked.rows)} if asked.again else {}
    to_try = [
        row for row in chosen
        if known.get(name_of(row)) != CAUGHT and asked.only in f"{row['module']} {row['before']}"
    ]  # fmt: skip
    asked.rows.parent.mkdir(parents=True, exist_ok=True)
    with workspace(ROOT) as copy, asked.rows.open("a" if asked.again else "w") as rows:
        times = unchanged(copy, to_try)
        for number, row in enumerate(to_try, 1):
            outcome = known[name_of(row)] = attempt(copy, row, times[row["tests"]])
            kept = {key: value for key, value in row.items() if key != "source"}
            print(json.dumps({**kept, "outcome": outcome}), file=rows, flush=True)
            print(
                f"{number:4d} {outcome:9s} {row['module']}:{row['line']} {row['after']}", flush=True
            )
    report(chosen, known)


def report(chosen: list[dict[str, Any]], outcomes: dict[tuple[str, str, str, str], str]) -> None:
    """Print the sums and the survivors; exit with 1 if they are not good enough."""
    tried = [row for row in chosen if name_of(row) in outcomes]
    counts = Counter(outcomes[name_of(row)] for row in tried)
    reasons = decided()
    survivors = [row for row in tried if outcomes[name_of(row)] == SURVIVED]
    open_ = [row for row in survivors if as_written(row) not in reasons]
    for row in survivors:
        module, mutation = as_written(row)
        print(f"{'not decided' if row in open_ else 'decided':12s}| `{module}` | {mutation} |")
    caught = counts[CAUGHT] + counts[GIVEN_UP]
    print(
        f"mutations: {len(tried)} made, {caught} caught (of them {counts[GIVEN_UP]} given up), "
        f"{len(survivors)} survived, {len(survivors) - len(open_)} of them decided"
    )
    if open_ or caught < ENOUGH * len(tried):
        sys.exit(1)


if __name__ == "__main__":
    main()
