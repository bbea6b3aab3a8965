"""What the kills of a shared outbox's members are judged by finds each kind of mistake."""

from collections import defaultdict

import pytest

pytest.importorskip("psycopg", reason="gateway-contrib[postgres] is not installed")

from amounts import amount

from bench.crash_members import (
    HANDED,
    NUMBERS,
    Campaign,
    Member,
    Request,
    crash,
    late,
    look_at_tenures,
)

KILLS = amount("kills of a shared outbox's owner")


def campaign_of(*members):
    campaign = Campaign(None, "seed")
    campaign.members = list(members)
    return campaign


def member(name, owns, **known):
    return Member(name, None, owns=defaultdict(list, telegram=owns), **known)


def requests_of(campaign, *rows):
    campaign.requests = [Request("telegram", name, True, came, ended) for name, came, ended in rows]
    for each in campaign.members:
        each.owns = {"slack": [], "discord": [], **each.owns}
    look_at_tenures(campaign)
    return len(campaign.outcome.remainder), len(campaign.outcome.overlapping)


TURNS = (("a", [10.0, 50.0]), ("b", [30.0]))


def test_each_in_its_tenure_is_in_order():
    campaign = campaign_of(*(member(*turn) for turn in TURNS))
    rows = [("a", 11.0, 12.0), ("b", 31.0, 32.0), ("a", 51.0, 52.0)]
    assert (0, 0) == requests_of(campaign, *rows)


@pytest.mark.parametrize(
    "row",
    [("a", 31.0, 32.0), ("a", 29.0, 30.5), ("b", 29.0, 29.5), ("b", 60.0, 61.0)],
    ids=["after the next began", "on into the next", "before its own", "after it"],
)
def test_a_request_outside_of_a_tenure_is_found(row):
    campaign = campaign_of(*(member(*turn) for turn in TURNS))
    assert (0, 1) == requests_of(campaign, row)


@pytest.mark.parametrize(
    ("tries", "expected"),
    [([19.9], (1, 0)), ([20.5], (0, 1)), ([11.0, 19.8, 19.9], (1, 0)), ([11.0], (0, 1))],
    ids=["begun before", "begun while it was stopped", "one of two came", "had come"],
)
def test_what_was_in_flight_as_a_process_was_stopped_is_counted_apart(tries, expected):
    """It was stopped at 20, followed at 30, and let on at 35."""
    stopped = member("a", [10.0], tries=tries, stops=[(20.0, 35.0)])
    campaign = campaign_of(stopped, member("b", [30.0]))
    rows = [("a", 11.5, 12.0)] if 11.0 in tries else []
    assert expected == requests_of(campaign, *rows, ("a", 35.1, 35.2))


@pytest.mark.parametrize(
    ("firsts", "words"),
    [
        ([(1, 0), (1, 2), (1, 1)], ["m1: word 1 after 2"]),
        ([(1, 0), (2, 0), (1, 1)], ["m1 goes on after m2"]),
        ([(HANDED + 2, 0), (HANDED + 1, 0)], [f"m{HANDED + 1} after m{HANDED + 2}"]),
        ([(2, 0), (1, 0)], ["m1 was accepted before another was submitted that came first"]),
        ([(1, 0), (2, 0), (HANDED, 0), (3, 0)], []),
        ([(3, 0), (2, 0)], []),
    ],
)
def test_what_is_late_is_found(firsts, words):
    """1 was accepted before 2 was submitted; 2 and 3 were handed in at the same time."""
    campaign = campaign_of()
    campaign.submitted = {1: 10.0, 2: 12.0, 3: 12.5}
    campaign.accepted = {1: 11.0, 2: 14.0, 3: 13.0}
    assert words == list(late(campaign, firsts))


def test_who_hears_that_it_owns_an_account_once_another_one_does_has_no_tenure():
    """It was stopped between the moment at which it took the account and the answer to that."""
    first, second = member("a", []), member("b", [])
    campaign = campaign_of(first, second)
    for one, number, at in ((first, 1, 5.0), (second, 3, 10.0), (first, 2, 11.0), (first, 4, 12.0)):
        campaign._heard(one, "owns", "slack", str(number), str(at))
    assert ([5.0, 12.0], [10.0]) == (first.owns["slack"], second.owns["slack"])


@pytest.mark.parametrize(("spread", "expected"), [(True, 0), (False, 1)])
def test_processes_that_share_accounts_have_an_order_each(spread, expected):
    """What one accepted before another one was asked is late only where they follow each other."""
    campaign = Campaign(None, "seed", spread=spread)
    first, other = 1, NUMBERS + 1
    campaign.submitted = {first: 10.0, other: 12.0}
    campaign.accepted = {first: 11.0, other: 14.0}
    assert expected == len(list(late(campaign, [(other, 0), (first, 0)])))
    campaign.submitted[first + 1] = 11.5
    assert 1 == len(list(late(campaign, [(first + 1, 0), (other, 0), (first, 0)])))


@pytest.mark.skipif(not KILLS, reason="not tried: GATEWAY_LONG=1 kills owners of a shared outbox")
async def test_members_that_are_killed_and_stopped_lose_nothing():
    """With a lease of five seconds each costs as much: `bench.crashes` does more."""
    outcome = await crash(KILLS, KILLS // 2, 1, seed="tests")
    assert ([], [], []) == (outcome.lost, outcome.late, outcome.unannounced)
    assert [] == outcome.overlapping
    assert (KILLS, KILLS // 2, 1) == (outcome.kills, outcome.stops, outcome.servers)
