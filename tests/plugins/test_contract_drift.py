"""The table of requests itself, and that what checks it has eyes."""

import tomllib
from pathlib import Path

from gateway_plugin_slack import methods
from gateway_plugin_telegram.methods import FIELDS

pytest_plugins = ("pytester",)

ASKING = """
import sys
import trio
from gateway_core import Instance, Secret
from gateway_core.authors import Attempt, TransportError
from gateway_core.testing import open_network
from gateway_plugin_telegram import TelegramSettings, hooks

async def ask(**arguments):
    settings = TelegramSettings(token=Secret("1234567:bench-token-bench-token-bench-token"))
    attempt = Attempt(
        operation="call:getMe", method="getMe", arguments=arguments, room="7",
        envelope_id="e", instance_id="i",
    )
    async with open_network(), hooks.open_session(Instance("i", "telegram", settings)) as session:
        try:
            await hooks.call(session, attempt)
        except TransportError:
            return
        raise AssertionError("nobody listens")

async def main():
    await ask(**dict([word.split("=") for word in sys.argv[1:]]))

if __name__ == "__main__":
    trio.run(main)
"""

SUITE = """
import asking
import pytest

@pytest.mark.parametrize("arguments", [{}, {"colour": "red"}])
async def test_call(arguments):
    await asking.ask(**arguments)
"""

IN_A_PROCESS = """
import subprocess
import sys
import pytest

@pytest.mark.parametrize("words", [[], ["colour=red"]])
def test_call(words):
    subprocess.run([sys.executable, "asking.py", *words], check=True)
"""

TESTS = Path(__file__).parents[1]
TABLE = tomllib.loads((TESTS / "requests.toml").read_text())


def test_the_adapters_own_tables_are_within_it():
    telegram = TABLE["telegram"]["methods"]
    assert {} == {m: f - telegram[m].keys() for m, f in FIELDS.items() if f - telegram[m].keys()}
    assert set(methods.METHODS.values()) <= TABLE["slack"]["methods"].keys()


def test_every_channel_names_its_source():
    assert {"telegram", "slack", "discord"} == {c for c in TABLE if TABLE[c]["source"]}


def test_a_request_beyond_the_table_is_seen(pytester):
    """A suite that sends an unknown field, itself or in a process, under this conftest, fails."""
    conftest = (TESTS / "conftest.py").read_text()
    pytester.makeconftest(conftest.replace("Path(__file__).parent", f"Path({str(TESTS)!r})"))
    pytester.makepyfile(asking=ASKING, test_here=SUITE, test_in_a_process=IN_A_PROCESS)
    outcome = pytester.runpytest_subprocess("-o", "trio_mode=true")
    outcome.assert_outcomes(passed=4, errors=2)
    told = "*getMe: colour = 'red', but the table says None*"
    outcome.stdout.fnmatch_lines([told, told])
