"""The table of requests itself, and that what checks it has eyes."""

import tomllib
from pathlib import Path

from gateway_plugin_slack import limits
from gateway_plugin_telegram.requests import FIELDS

TABLE = tomllib.loads((Path(__file__).parents[1] / "requests.toml").read_text())


def test_the_adapters_own_tables_are_within_it():
    telegram = TABLE["telegram"]["methods"]
    assert {} == {m: f - telegram[m].keys() for m, f in FIELDS.items() if f - telegram[m].keys()}
    assert set(limits.METHODS.values()) <= TABLE["slack"]["methods"].keys()


def test_every_channel_names_its_source():
    assert {"telegram", "slack", "discord"} == {c for c in TABLE if TABLE[c]["source"]}


def test_a_request_beyond_the_table_is_seen(pytester):
    """A suite of one test that sends an unknown field, under the same conftest, fails."""
    pytester.makeconftest((Path(__file__).parents[1] / "conftest.py").read_text())
    (pytester.path / "requests.toml").write_text(
        (Path(__file__).parents[1] / "requests.toml").read_text()
    )
    pytester.makepyfile(SUITE)
    outcome = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-o", "trio_mode=true")
    outcome.assert_outcomes(passed=2, errors=1)
    outcome.stdout.fnmatch_lines(["*sendMessage: colour = 'red', but the table says None*"])
