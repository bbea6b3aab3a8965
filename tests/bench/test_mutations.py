"""The mutations' bookkeeping: which tests stand beside a module, and what the page decides."""

from pathlib import Path

import pytest

import bench.mutations.__main__ as mutations
from bench.mutations.modules import TESTS, modules

ROOT = Path(__file__).parents[2]


def row(number, **fields):
    return {
        "module": "core/src/gateway_core/clock.py", "definition": "now", "line": number,
        "before": f"x | {number}", "after": f"x & {number}",
    } | fields  # fmt: skip


def reported(rows, outcomes, decided, monkeypatch):
    """The code with which the command ends."""
    monkeypatch.setattr(mutations, "decided", lambda: decided)
    named = {mutations.name_of(row): outcome for row, outcome in zip(rows, outcomes, strict=True)}
    try:
        mutations.report(rows, named)
    except SystemExit as ended:
        return ended.code
    return 0


def test_every_module_and_every_path_of_tests_is_there():
    assert all((ROOT / place).exists() for place in TESTS)
    assert all((ROOT / path).exists() for paths in TESTS.values() for path in paths)
    found = [module for module, _ in modules(ROOT)]
    assert len(found) == len(set(found)) > 40


def test_a_decided_mutation_is_of_a_line_that_stands():
    """A row whose line was rewritten decides nothing any more."""
    decided = mutations.decided()
    assert decided
    sources = {}
    for module, _ in modules(ROOT):
        name = module.split("/src/")[1].removesuffix(".py")
        sources[name] = " ".join((ROOT / module).read_text().split())
    for module, mutation in decided:
        before = mutation.split(" → ")[0].strip("`").replace("\\|", "|")
        assert before in sources[module], (module, before)


@pytest.mark.parametrize(
    ("survivors", "written", "code"),
    [(0, 0, 0), (1, 1, 0), (1, 0, 1), (2, 2, 1)],
    ids=["all caught", "one decided", "one not decided", "too many"],
)
def test_it_is_good_if_enough_are_caught_and_the_others_decided(
    survivors, written, code, monkeypatch, capsys
):
    rows = [row(number) for number in range(20)]
    outcomes = ["survived"] * survivors + ["given up"] + ["caught"] * (19 - survivors)
    decided = {mutations.as_written(row) for row in rows[:written]}
    assert code == reported(rows, outcomes, decided, monkeypatch)
    last = capsys.readouterr().out.splitlines()[-1]
    caught = 20 - survivors
    assert last == (
        f"mutations: 20 made, {caught} caught (of them 1 given up), "
        f"{survivors} survived, {written} of them decided"
    )


def test_a_row_is_found_as_the_page_writes_it(tmp_path, monkeypatch):
    page = tmp_path / "mutations.md"
    page.write_text("| module |\n| `gateway_core/clock` | `x \\| 3` → `x & 3` | no difference |\n")
    monkeypatch.setattr(mutations, "PAGE", page)
    assert {mutations.as_written(row(3))} == mutations.decided()
