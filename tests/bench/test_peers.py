"""The comparison's own parts: handing over, what is judged, the bound, the tables, the note."""

import asyncio  # noqa: TID251 - the peers' loop
import json
import re
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest
import trio

from bench.journeys import Journeys, asked
from bench.peers import asking, by_hand
from bench.peers.machine import facts
from bench.peers.platform import MEAN_TRIP, ROOT, bound
from bench.peers.tables import PAGE, note, replaced
from bench.peers.workload import ARRIVALS, LOOPS, judged, name_of, texts
from bench.worlds import PLATFORMS

ROW = {
    "client": "gateway",
    "channel": "slack",
    "arrival": "mixed",
    "fault": "none",
    "makespan_s": 10.04,
    "bound_s": 9.6,
    "rate_limited": 1234,
    "lost": 0,
    "duplicated": 0,
    "late": 1,
    "misreported": 2,
    "announced": 0,
    "unanswered": 0,
    "cpu_us_per_message": 1001,
    "cpu_us_above_http": 250,
    "peak_rss_mb": 50.7,
    "measured": {
        "date": "1 May 2026",
        "machine": "2 cores (a processor), Linux",
        "python": "CPython 3.11.7",
        "load": 0.2,
        "versions": ["aiogram 3.31.0", "slack_sdk 3.48.0"],
    },
}


def named(*names):
    return [f"r{name[0]}n{name[1]} text" for name in names]


def test_what_is_there_is_held_against_what_was_told():
    sent = named("00", "01", "02", "10", "11")
    told = ["delivered", "failed", "none", "delivered", "unknown"]
    stored = [named("01", "00", "01"), named("11")]
    expected = {"lost": 2, "duplicated": 1, "late": 1, "misreported": 3}
    assert expected == judged(sent, told, stored)


@pytest.mark.parametrize("order", [*ARRIVALS, *LOOPS])
def test_every_order_of_arrival_hands_over_the_same_texts_each_room_in_its_order(order):
    names = [name_of(text) for _, text in texts(7, 45, order)]
    assert sorted(names) == sorted(name_of(text) for _, text in texts(7, 45, "round_robin"))
    for room in range(7):
        numbers = [number for at, number in names if at == room]
        assert sorted(numbers) == numbers


def test_a_rooms_messages_wait_for_the_answers_before_them():
    slack, discord = PLATFORMS["slack"], PLATFORMS["discord"]
    assert slack.bound([[0.1, 0.2, 0.3], [0.4]]) == pytest.approx(0.1 + 1 + 0.2 + 1 + 0.3)
    assert discord.bound([[0.1] * 7]) == pytest.approx(0.1 + 5 + 0.1 + 0.1)


def test_an_account_paces_what_its_rooms_would_allow():
    rooms = [[0.05]] * 60 + [[0.02]]
    assert PLATFORMS["telegram"].bound(rooms) == pytest.approx(60 / 30 + 0.02)


def test_the_bound_counts_what_was_lost_and_what_came_late():
    messages = [(0, text) for text in named("00", "01", "02")]
    held = {"rooms": [named("01", "00", "01")], "trips": {"r0n0": 0.02, "r0n1": 0.08}}
    assert bound("slack", messages, held) == pytest.approx(2 + 0.08 + 0.02 + MEAN_TRIP)


async def test_the_trip_of_a_text_is_its_last_requests_and_counts_the_platforms_own_time(
    autojump_clock,
):
    journeys = Journeys("test", re.compile(rb"r\d+n\d+"))
    seen = []

    async def app(scope, receive, send):
        seen.append((asked.get(), (await receive())["body"]))
        await trio.sleep(scope["own"])
        await send({"type": "http.response.start"})

    async def ask(body, own):
        events = [{"body": body[:4], "more_body": True}, {"body": body[4:]}]

        async def receive():
            return events.pop(0)

        async def send(event):
            assert event["type"] == "http.response.start"

        await journeys(app)({"own": own}, receive, send)

    await ask(b'{"text": "r1n2 x"}', 3.0)
    await ask(b'{"text": "r1n2 x"}', 1.0)
    await ask(b"{}", 1.0)
    assert [name for name, _ in seen] == ["r1n2", "r1n2", ""]
    assert 1.02 <= journeys.trips["r1n2"] <= 1.08
    assert 3.02 <= journeys.arrivals["r1n2"] <= 3.08


def test_rows_become_the_tables_of_the_page_and_leave_the_others():
    page = PAGE.read_text()
    faulty = {**ROW, "fault": "no_answer", "unanswered": 3, "makespan_s": 80.2}
    changed = replaced(page, [json.loads(json.dumps(row)) for row in (ROW, faulty)])
    assert (
        "| **this gateway** | at once, mixed | 10.0 | 1.05 | 1,234 | 0 | 1 | 2 | 1,001 | 250 |"
    ) in changed
    assert (
        "| **this gateway** | at once, mixed | stored, no answer | 0 | 0 | 0 | 1 | 2 "
        "| no end in 80 |"
    ) in changed
    assert "Measured on 1 May 2026 on 2 cores (a processor), Linux," in changed
    assert changed.count("| python-telegram-bot") == page.count("| python-telegram-bot")
    assert changed.count("| slack_sdk") < page.count("| slack_sdk")


def test_the_note_names_each_day_the_span_of_loads_and_the_clients_that_the_rows_are_of():
    later = {**ROW["measured"], "date": "2 May 2026", "load": 1.4}
    rows = [ROW, {**ROW, "client": "slack_sdk", "measured": later}]
    expected = (
        "Measured on 1 and 2 May 2026 on 2 cores (a processor), Linux, with a load of "
        "0.2 to 1.4 when it began. CPython 3.11.7, slack_sdk 3.48.0."
    )
    assert expected == note(rows)


def test_the_note_names_both_months_of_rows_on_either_side_of_their_border():
    later = {**ROW["measured"], "date": "1 June 2026"}
    assert "on 1 May 2026 and 1 June 2026 on 2 cores" in note([ROW, {**ROW, "measured": later}])


def test_the_note_of_rows_of_this_gateway_alone_names_no_client():
    assert note([ROW]).endswith("Linux, with a load of 0.2 when it began. CPython 3.11.7.")


def test_the_facts_of_this_machine_make_a_note():
    measured = facts(sys.executable)
    assert f". CPython {sys.version.split()[0]}." in note([{**ROW, "measured": measured}])
    assert any(version.startswith("slack_sdk 3.") for version in measured["versions"])


MEASURED = "from bench.peers.measuring import Meter; print(Meter().report()['peak_rss_mb'])"
STARTED = """
import subprocess, sys
large = b"x" * (200 << 20)
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells the peak by itself")
def test_the_peak_of_a_client_is_not_that_of_the_process_that_started_it():
    command = [sys.executable, "-c", STARTED, MEASURED]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert 1.0 < float(done.stdout) < 100.0


def handed_over(way, fails=()):
    """What began and ended when, and the report: three texts to each of two rooms, 20 ms each."""
    seen = []

    @asynccontextmanager
    async def opened(job):
        loop = asyncio.get_running_loop()

        async def send(room, text):
            seen.append((loop.time(), "began", text))
            await asyncio.sleep(0.02)
            seen.append((loop.time(), "ended", text))
            if text in fails:
                raise OSError(text)

        seen.append((loop.time(), "opened", ""))
        yield send

    messages = [(room, f"{room}{number}") for room in "ab" for number in range(3)]
    job = {"way": way, "channel": "test", "messages": messages, "limit_s": 9, "patience_s": 5}
    return seen, asyncio.run(asking.handed_over(opened, job))


def test_at_once_no_text_waits_for_another():
    seen, report = handed_over("at_once")
    began = [text for _, event, text in seen[1:7] if event == "began"]
    assert ["a0", "a1", "a2", "b0", "b1", "b2"] == began
    assert ["delivered"] * 6 == report["outcomes"]


@pytest.mark.parametrize("room", "ab")
def test_a_loop_per_room_awaits_each_text_before_the_next_and_goes_on_after_one_that_failed(room):
    seen, report = handed_over("per_room", fails={"a1"})
    of_room = [(event, text) for _, event, text in seen if text.startswith(room)]
    texts_of_room = [f"{room}{number}" for number in range(3)]
    assert [(event, text) for text in texts_of_room for event in ("began", "ended")] == of_room
    assert ["delivered", "failed", *["delivered"] * 4] == report["outcomes"]
    assert ["OSError: a1"] == report["errors"]


def test_both_rooms_loops_run_at_the_same_time():
    seen, _ = handed_over("per_room")
    assert ["a0", "b0"] == [text for _, event, text in seen[1:3] if event == "began"]


def test_a_paced_loop_keeps_the_accounts_pace_and_pauses_after_each_answer_of_a_room(monkeypatch):
    monkeypatch.setitem(by_hand.ACCOUNTS, "test", 20.0)
    monkeypatch.setitem(by_hand.ROOMS, "test", 0.15)
    seen, report = handed_over("paced")
    opened = seen[0][0]
    began = [at - opened for at, event, _ in seen if event == "began"]
    assert all(at > 0.05 * number - 0.001 for number, at in enumerate(began))
    times = {(event, text): at for at, event, text in seen}
    pauses = [times["began", f"a{n + 1}"] - times["ended", f"a{n}"] for n in range(2)]
    assert all(pause > 0.149 for pause in pauses)
    assert ["delivered"] * 6 == report["outcomes"]


def test_a_page_without_a_place_for_a_table_is_an_error():
    with pytest.raises(ValueError, match="0 places for 'slack, limits'"):
        replaced("", [ROW])
