"""The table of requests itself, and that what checks it has eyes."""

import tomllib
from pathlib import Path

from gateway_plugin_slack import limits
from gateway_plugin_telegram.requests import FIELDS

pytest_plugins = ("pytester",)

SUITE = """
import pytest
import trio
from gateway_core import Attempt, Instance, Secret, TransportError
from gateway_core.testing import open_network
from gateway_plugin_telegram import TelegramSettings, hooks

@pytest.mark.parametrize("arguments", [{}, {"colour": "red"}])
async def test_call(arguments):
    settings = TelegramSettings(token=Secret("1234567:bench-token-bench-token-bench-token"))
    attempt = Attempt(
        operation="call:getMe", method="getMe", arguments=arguments, room="7",
        envelope_id="e", instance_id="i",
    )
    async with open_network(), hooks.open_session(Instance("i", "telegram", settings)) as session:
        with pytest.raises(TransportError):
            await hooks.call(session, attempt)
"""

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
    outcome = pytester.runpytest_subprocess("-o", "trio_mode=true")
    outcome.assert_outcomes(passed=2, errors=1)
    outcome.stdout.fnmatch_lines(["*getMe: colour = 'red', but the table says None*"])
