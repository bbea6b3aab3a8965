"""The demo in memory: what it delivers, what it finds in the stores, what it shows."""

from __future__ import annotations

import io
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio
from amounts import amount
from rich.console import Console, Group

from gateway_contrib.cli.demo import command
from gateway_contrib.cli.demo.display import conversation, outcome, picture, remarks, watcher
from gateway_contrib.cli.demo.run import deliver
from gateway_contrib.cli.demo.shared import command as shared_command
from gateway_contrib.emulators.faults import Fault
from gateway_core import load_config

CHANNELS = ["telegram", "slack", "discord"]
KEYS = {
    "accepted",
    "delivered",
    "parts",
    "pictures",
    "attempts",
    "rate_limited",
    "lost",
    "duplicated",
    "late",
    "makespan_s",
    "bound_s",
}


def shown(thing, width=80):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(thing)
    return console.file.getvalue()


CONSOLES = {"terminal": True, "pipe": False}


@pytest.fixture(scope="module")
def watched(run_demo, tmp_path_factory):
    """A demo like `finished`, in a folder, looked at in every way at once while it runs."""
    folder, pictures, narrow = tmp_path_factory.mktemp("watched"), [], []
    consoles = {
        name: Console(file=io.StringIO(), force_terminal=terminal, width=80, highlight=False)
        for name, terminal in CONSOLES.items()
    }

    async def draw(running):
        while True:
            await trio.sleep(4)
            pictures.append(shown(picture(running)))
            narrow.append(shown(picture(running), width=50))

    async def watch(running):
        async with trio.open_nursery() as nursery:
            for each in (draw, *map(watcher, consoles.values())):
                nursery.start_soon(each, running)

    _, report = run_demo(folder, watch=watch)
    told = {name: console.file.getvalue() for name, console in consoles.items()}
    return SimpleNamespace(
        folder=folder, report=report, pictures=pictures, narrow=narrow, told=told
    )


def test_everything_arrives_in_order_within_what_the_limits_and_faults_allow(finished):
    _, report = finished
    assert CHANNELS == list(report.channels)
    for channel, row in report.channels.items():
        assert (200, 200) == (row.accepted, row.delivered)
        assert (0, 0, 0) == (row.lost, row.late, row.strange)
        assert row.parts > row.accepted
        assert 20 == row.pictures
        assert row.bound_s < row.untroubled_s < row.bound_s * 1.25, channel
    assert report.good
    assert report.total.makespan_s < 30


def test_each_kind_of_fault_strikes_once_on_each_platform_and_no_other_429_comes(finished):
    running, report = finished
    expected = {Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.RESET_BEFORE, Fault.RESET_AFTER}
    for platform in running.platforms.values():
        assert dict.fromkeys(expected, 1) == dict(platform.faults.counts)
    assert (3, 3) == (report.total.rate_limited, report.total.injected)


@pytest.mark.parametrize("seed", ["1", "2"][: amount("other seeds of the demo")])
def test_with_other_seeds_copies_are_announced_and_discord_has_none(demo, seed):
    _, report = demo(seed=seed)
    assert report.good
    assert report.total.makespan_s < 30
    assert 0 == report.channels["discord"].duplicated
    for row in report.channels.values():
        assert row.duplicated <= row.announced


def test_the_same_seed_makes_the_same_demo(watched, finished):
    """Whoever looks at it changes nothing."""
    for name in ("accepted", "parts", "attempts", "bound_s"):
        assert getattr(finished[1].total, name) == getattr(watched.report.total, name)


def test_what_is_missing_from_a_store_is_lost_whatever_the_gateway_says(finished):
    running, _ = finished
    victim = running.platforms["slack"].emulator.rooms.conversation("C0DEMO001")[0]
    victim.deleted = True
    report = running.report()
    victim.deleted = False
    assert (200, 1) == (report.channels["slack"].delivered, report.channels["slack"].lost)
    assert not report.good


def test_the_configuration_is_one_that_people_can_read(watched):
    config = load_config(watched.folder / "gateway.toml")
    assert CHANNELS == [instance.id for instance in config.instances]
    assert "token = { file = " in (watched.folder / "gateway.toml").read_text()


def test_the_report_as_json_has_the_promised_keys_and_no_others(finished):
    plain = json.loads(json.dumps(finished[1].json()))
    assert {"channels", "total"} == set(plain)
    assert CHANNELS == list(plain["channels"])
    rows = plain["channels"].values()
    assert all(KEYS == set(row) for row in [*rows, plain["total"]])
    assert 600 == plain["total"]["accepted"] == sum(row["accepted"] for row in rows)
    assert max(row["makespan_s"] for row in rows) == plain["total"]["makespan_s"]


def test_the_picture_shows_channels_and_partitions_while_it_runs(watched):
    pictures, narrow = watched.pictures, watched.narrow
    assert "in flight" in narrow[0]
    assert "…" not in narrow[0]
    lines = pictures[0].splitlines()
    assert max(map(len, lines)) <= 80
    assert {"channels", "partitions: texts that wait, by channel"} <= set(map(str.strip, lines))
    for channel in CHANNELS:
        counts = [line for line in lines if line.strip().startswith(channel)]
        assert 2 == len(counts)
        assert "█" in counts[0]
        waiting = sum(int(cell) for cell in counts[1].split()[1:] if cell.isdigit())
        assert 0 < waiting < 200


@pytest.mark.parametrize(
    ("console", "expected"), [("terminal", "partitions"), ("pipe", "5 s: telegram")]
)
def test_a_terminal_gets_a_table_and_anything_else_gets_lines(watched, console, expected):
    told = watched.told[console]
    assert expected in told
    assert CONSOLES[console] == ("\x1b[" in told)


def test_the_outcome_and_a_conversation_are_told_at_the_end(finished):
    running, report = finished
    table = shown(outcome(report))
    assert "…" not in table
    [total] = [line.split() for line in table.splitlines() if line.strip().startswith("total")]
    assert ["total", "600", "600"] == total[:3]
    told = "\n".join(remarks(running, report))
    assert "faults on each of telegram, slack, discord: 1 rate limited, 1 reset after" in told
    assert "3 injected as faults, 0 that pacing should have avoided" in told
    assert "receipts warned of one" in told
    read = shown(conversation(running))
    assert "what its reader sees" in read
    assert "(edited)" in read


def test_the_conversation_is_short_and_the_table_is_the_largest_thing(finished):
    """Two messages of one room, whole; on a terminal of the usual size all of it is seen."""
    running, report = finished
    read = shown(conversation(running))
    assert 2 == read.count("●")
    table, said = shown(outcome(report)), shown(Group(*remarks(running, report)))
    sizes = [len(text.splitlines()) for text in (read, said, table)]
    assert max(sizes) == sizes[-1]
    assert sum(sizes) < 40


def test_a_narrow_terminal_gets_every_figure_whole(finished):
    """Fifty columns: the channels stand side by side."""
    _, report = finished
    table = shown(outcome(report), width=50)
    assert max(map(len, table.splitlines())) <= 50
    assert "…" not in table
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line.strip()}
    assert ["200", "200", "200", "600"] == rows["accepted"]
    assert "total" == next(line for line in table.splitlines() if "telegram" in line).split()[-1]


def test_without_faults_nothing_is_said_about_copies(demo, monkeypatch):
    monkeypatch.setattr("gateway_contrib.cli.demo.platforms.FAULTS", ())
    running, report = demo(rooms=5)
    told = list(remarks(running, report))
    assert "faults on each of telegram, slack, discord: none" in told
    assert "duplicated: 0" in told
    assert report.total.attempts == report.total.parts


def test_the_command_prints_one_object_and_nothing_else(program, finished, monkeypatch):
    running, report = finished

    @asynccontextmanager
    async def opened(*_given, **_options):
        yield running

    async def delivered(*_given, **_options):
        return report

    monkeypatch.setattr(command, "open_demo", opened)
    monkeypatch.setattr(command, "deliver", delivered)
    code, out, err = program("demo", "--json")
    assert (0, []) == (code, err)
    assert {"channels", "total"} == set(json.loads(out))


def test_the_command_tells_people_and_ends_with_1_if_something_is_lost(
    program, demo_of_the_command, monkeypatch
):
    async def losing(running, **options):
        await deliver(running, **options)
        rooms = running.platforms["discord"].emulator.rooms
        rooms.conversation("1200000000000000020")[0].deleted = True
        return running.report()

    monkeypatch.setattr(command, "deliver", losing)
    code, out, err = program("demo", "--seed", "3", "--rooms", "5")
    assert (1, []) == (code, err)
    assert out.startswith("150 texts (135 messages, 15 edits) for 15 rooms;")
    places = [out.index(words) for words in ("what its reader sees", "- faults on", "what became")]
    assert sorted(places) == places
    assert out.splitlines()[-2].split()[:3] == ["total", "150", "150"]


def test_a_demo_without_a_channel_says_what_to_install(program, monkeypatch):
    left = [b for b in command.installed_channels() if b.channel == "slack"]
    monkeypatch.setattr(command, "installed_channels", lambda: left)
    expected = "gateway: the demo needs all three channels: install "
    expected += "gateway-plugin-telegram gateway-plugin-discord"
    assert (2, "", [expected]) == program("demo", "--json")


def test_several_processes_need_a_server_and_say_where_to_get_one(program, monkeypatch):
    monkeypatch.setattr(shared_command, "programs", lambda: None)
    code, out, (line,) = program("demo", "--processes", "3")
    assert (2, "") == (code, out)
    assert "needs a server of PostgreSQL: install Debian's postgresql, or `pip install" in line


def test_several_processes_have_no_metrics_together(program):
    expected = ["gateway: --metrics cannot be combined with --processes"]
    assert (2, "", expected) == program("demo", "--processes", "2", "--metrics", "127.0.0.1:1")
