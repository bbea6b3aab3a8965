"""A gateway in a process of its own, really killed; `make crash-test` does it more often."""

from amounts import amount

from bench.crashes import crash

KILLS = amount("kills of a process")


async def test_kills_lose_nothing_and_announce_what_they_double(tmp_path):
    outcome = await crash(KILLS, tmp_path, seed="tests")
    assert ([], [], []) == (outcome.lost, outcome.late, outcome.unannounced)
    assert KILLS == outcome.kills
    assert len(outcome.accepted) > KILLS


async def test_kills_with_files_in_flight_leave_none_behind(tmp_path):
    """Half of them as files are stored, uploaded and forgotten."""
    kills = amount("kills with files in flight")
    outcome = await crash(kills, tmp_path, seed="files", files=True)
    assert ([], [], []) == (outcome.lost, outcome.late, outcome.unannounced)
    assert [] == outcome.orphans
    assert kills == outcome.kills
