"""The comparison's own arithmetic: what is judged, what the bound is, what the tables show."""

import json
import re

import pytest
import trio

from bench.journeys import Journeys, asked
from bench.peers.platform import MEAN_TRIP, bound
from bench.peers.tables import PAGE, replaced
from bench.peers.workload import ARRIVALS, judged, name_of, texts
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
}


def named(*names):
    return [f"r{name[0]}n{name[1]} text" for name in names]


def test_what_is_there_is_held_against_what_was_told():
    sent = named("00", "01", "02", "10", "11")
    told = ["delivered", "failed", "none", "delivered", "unknown"]
    stored = [named("01", "00", "01"), named("11")]
    expected = {"lost": 2, "duplicated": 1, "late": 1, "misreported": 3}
    assert expected == judged(sent, told, stored)


@pytest.mark.parametrize("order", ARRIVALS)
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
        "| **this gateway** | mixed | 10.0 | 1.05 | 1,234 | 0 | 1 | 2 | 1,001 | 250 | 51 |"
    ) in changed
    assert "| **this gateway** | stored, no answer | 0 | 0 | 0 | 1 | 2 | no end in 80 |" in changed
    assert changed.count("python-telegram-bot 22.8") == page.count("python-telegram-bot 22.8")
    assert changed.count("slack_sdk 3.48") < page.count("slack_sdk 3.48")


def test_a_page_without_a_place_for_a_table_is_an_error():
    with pytest.raises(ValueError, match="0 places for 'slack, limits'"):
        replaced("", [ROW])
