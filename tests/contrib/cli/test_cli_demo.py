"""The demo in memory: what it delivers, what it finds in the stores, what it shows."""

from __future__ import annotations

import io
import json
import re
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from amounts import amount, long_run
from rich.console import Console

from gateway_contrib.cli.demo import command, display
from gateway_contrib.cli.demo.display import (
    LINES,
    conversation,
    listed,
    outcome,
    picture,
    remarks,
    verdict,
    watcher,
)
from gateway_contrib.cli.demo.run import deliver
from gateway_contrib.cli.demo.shared import command as shared_command
from gateway_contrib.emulators.faults import Fault
from gateway_core import Disposition, Receipt, Verdict, load_config

ROOT = Path(__file__).parents[3]
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


@long_run
@pytest.mark.parametrize("seed", ["1", "2"][: amount("other seeds of the demo")])
def test_with_other_seeds_copies_are_announced_and_discord_has_none(demo, seed):
    _, report = demo(seed=seed)
    assert report.good
    assert report.total.makespan_s < 30
    assert 0 == report.channels["discord"].duplicated
    for row in report.channels.values():
        assert row.duplicated <= row.announced


@long_run
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
    assert "Something went wrong: 1 lost" in verdict(report)
    assert (200, 1) == (report.channels["slack"].delivered, report.channels["slack"].lost)
    assert not report.good


@pytest.mark.parametrize(
    ("ends", "lost"),
    [
        ([("unknown", "outcome_unknown")], 1),
        ([("unknown", "outcome_unknown"), ("rejected", "message_gone")], 0),
        ([("rejected", "message_gone")], 2),
        ([("rejected", "bad_request")] * 2, 2),
    ],
    ids=str,
)
def test_of_what_a_receipt_calls_unknown_nothing_is_lost(finished, monkeypatch, ends, lost):
    """The text may be missing, and so may its edit: whoever asks is told so."""
    running, _ = finished
    tally = deepcopy(running.tally)
    for disposition, reason in ends:
        receipt = Receipt(
            envelope_id="01" * 15,
            instance_id="slack",
            external_room_id="C0DEMO001",
            disposition=Disposition(disposition),
            verdict=Verdict(error_class="non_retryable", reason=reason, raw="told"),
        )
        tally.of("slack").doubt(receipt)
    conversation = running.platforms["slack"].emulator.rooms.conversation("C0DEMO001")
    edited = next(message for message in conversation if message.revisions)
    victim = next(message for message in conversation if message is not edited)
    with monkeypatch.context() as patch:
        patch.setattr(victim, "deleted", True)
        patch.setattr(edited, "text", edited.revisions[0])
        row = running.compared(tally, running.started).channels["slack"]
    assert lost == row.lost


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
    ("console", "expected"), [("terminal", "partitions"), ("pipe", " of 200 texts done")]
)
def test_a_terminal_gets_a_table_and_anything_else_gets_lines(watched, console, expected):
    told = watched.told[console]
    assert expected in told
    assert CONSOLES[console] == ("\x1b[" in told)


def lines_of(table):
    """A table's figures by the words before them."""
    rows = (line.rsplit(maxsplit=4) for line in table.replace(" / ", "/").splitlines())
    return {words[0].strip(): words[1:] for words in rows if len(words) == 5}


def test_the_outcome_and_a_conversation_are_told_at_the_end(finished):
    running, report = finished
    table = lines_of(shown(outcome(report)))
    assert ["200", "200", "200", "600"] == table["texts accepted"] == table["texts delivered"]
    assert ["0"] * 4 == table["texts lost"] == table["messages out of order"]
    assert ["1/0", "1/0", "1/0", "3/0"] == table["429s: injected/unforeseen"]
    assert f"{report.total.makespan_s:.1f}" == table["seconds taken"][-1]
    told = "\n".join(remarks(running, report))
    assert "on each of telegram, slack, discord: a 429, a server error, a connection cut" in told
    assert "its receipt announces that there may be a copy" in told
    read = shown(conversation(running))
    assert "what a person sees there, 2 of " in read
    assert "(edited)" in read
    assert "Nothing was lost, and every room kept its order." == verdict(report)


def test_the_conversation_is_short_and_the_table_is_the_largest_thing(finished):
    """Two messages of one room, whole; on a terminal of the usual width nothing is cut."""
    running, report = finished
    read = shown(conversation(running))
    assert 2 == read.count("●")
    said, table = shown(listed(remarks(running, report))), shown(outcome(report))
    sizes = [len(text.splitlines()) for text in (read, said, table)]
    assert sizes[-1] > max(sizes[:-1])
    assert sum(sizes) < 48
    assert 80 >= max(map(len, (read + said + table).splitlines()))


def test_a_narrow_terminal_gets_every_figure_whole(finished):
    _, report = finished
    table = shown(outcome(report), width=50)
    assert max(map(len, table.splitlines())) <= 50
    assert "…" not in table
    accepted = next(line for line in table.splitlines() if line.startswith(" texts"))
    assert ["200", "200", "200", "600"] == accepted.split()[-4:]


def test_what_pacing_did_not_foresee_is_counted_apart_from_what_was_injected(finished):
    """By the platform's own count of what its limits refused."""
    running, _ = finished
    limited = running.platforms["slack"].emulator.limited
    limited["chat.postMessage"] += 2
    report = running.report()
    limited.clear()
    table = lines_of(shown(outcome(report, LINES)))
    assert ["1/0", "1/2", "1/0", "3/2"] == table["429s: injected/unforeseen"]
    assert "seconds taken" not in table


def test_without_faults_nothing_is_said_about_copies(demo, monkeypatch):
    monkeypatch.setattr("gateway_contrib.cli.demo.platforms.FAULTS", ())
    running, report = demo(rooms=5)
    told = list(remarks(running, report))
    assert "Failed on purpose on each of telegram, slack, discord: nothing." in told
    assert not [words for words in told if "copy" in words]
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
    assert out.startswith("150 texts (135 messages, 15 edits) for 15 rooms are handed over at once")
    parts = ("what a person sees there", "- Failed on purpose", "Result")
    assert sorted(places := [out.index(words) for words in parts]) == places
    assert "\x1b" not in out
    lost, page = out.splitlines()[-2:]
    assert "Something went wrong: 1 lost, 0 out of order, 0 that nobody sent." == lost
    assert page.startswith("Next: docs/tutorial/first-message.md")
    assert ["0", "0", "1", "1"] == lines_of(out)["texts lost"]


def test_a_demo_without_a_channel_says_what_to_install(program, monkeypatch):
    left = [b for b in command.installed_channels() if b.channel == "slack"]
    monkeypatch.setattr(command, "installed_channels", lambda: left)
    expected = "gateway: the demo needs all three channels: install "
    expected += "gateway-plugin-telegram gateway-plugin-discord"
    assert (2, "", [expected]) == program("demo", "--json")


@pytest.mark.parametrize("next_page", [display.NEXT, shared_command.NEXT])
def test_the_page_to_read_next_is_there(next_page):
    assert (ROOT / re.search(r"docs/\S+\.md", next_page)[0]).exists()


def test_several_processes_need_a_server_and_say_where_to_get_one(program, monkeypatch):
    monkeypatch.setattr(shared_command, "programs", lambda: None)
    code, out, (line,) = program("demo", "--processes", "3")
    assert (2, "") == (code, out)
    assert "needs a PostgreSQL server: install Debian's postgresql, or `pip install" in line


def test_several_processes_have_no_metrics_together(program):
    expected = ["gateway: --metrics cannot be combined with --processes"]
    assert (2, "", expected) == program("demo", "--processes", "2", "--metrics", "127.0.0.1:1")
