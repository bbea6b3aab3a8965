"""How the files of tests are dealt out to the processes of `make test`."""

from pathlib import Path
from zlib import crc32

__all__ = ["place", "scheduler"]

TESTS = Path(__file__).parents[1]
LONG = (
    "core/bridge/test_processes.py",
    "integration/test_prometheus.py",
    "simulation/test_worlds.py",
    "simulation/test_spread_worlds.py",
    "integration/test_kills.py",
    "integration/test_answering_servers.py",
    "contrib/postgres/test_postgres_rows.py",
    "integration/test_moved_bots.py",
    "simulation/test_sourced_worlds.py",
    "simulation/test_group_bugs.py",
    "integration/test_demo_process.py",
    "docs/test_snippets.py",
    "docs/test_pages_fit.py",
    "simulation/test_shared_worlds.py",
    "integration/test_broadcast_kills.py",
    "plugins/markdown/test_arrival.py",
    "integration/test_wheels.py",
    "contrib/cli/test_cli_demo.py",
    "contrib/postgres/test_postgres_contract.py",
    "contrib/postgres/test_postgres_streams_killed.py",
    "typing/test_programs.py",
    "plugins/markdown/test_plans.py",
    "integration/test_first_bot.py",
    "integration/test_tutorial.py",
    "docs/test_bridges.py",
    "contrib/postgres/test_postgres_sourced.py",
    "integration/test_http_uploads.py",
    "contrib/postgres/test_postgres_producers.py",
    "integration/test_forgotten_connections.py",
    "plugins/test_contract_drift.py",
)
"""The files that take longest come early: at the end each would keep all waiting."""
CLIENTS = (
    "docs/test_moving.py",
    "contrib/emulators/test_telegram_answers.py",
    "contrib/postgres/test_postgres_page.py",
    "integration/test_discord_clients.py",
    "integration/test_slack_clients.py",
    "integration/test_telegram_clients.py",
    "integration/test_telegram_files.py",
    "plugins/discord/learned/test_discord_invalid_answers.py",
    "plugins/discord/test_discord_addresses.py",
    "plugins/discord/test_discord_settings.py",
    "plugins/telegram/test_telegram_addresses.py",
)
"""These import other people's clients, which takes seconds: one process has them all."""
PLACES = {f"tests/{name}": number / 60 for number, name in enumerate(LONG)}
PLACES |= dict.fromkeys((f"tests/{name}" for name in CLIENTS), 0.0)
assert all((TESTS.parent / name).exists() for name in PLACES)


def place(item):
    """Where its file comes, from 0 to 1.

    The files of a folder are dealt out: those of some folders wait, those of others compute.
    """
    name = item.path.relative_to(TESTS.parent).as_posix()
    return PLACES.get(name, crc32(name.encode()) / 2**32)


def scheduler(config, log):
    """It gives a process one file after the other, and one of them those of clients."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 - only a run of several has it

    class Dealing(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "clients" if file.removeprefix("tests/") in CLIENTS else file

    return Dealing(config, log)
