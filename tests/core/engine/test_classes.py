"""Who goes first where an account's limit lets one pass: by class, with aging and shares."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from gateway_core import Disposition, Edit, Limit, Ttl
from gateway_core.authors import CONTRACT_VERSION, Answer, hookimpl
from gateway_core.testing import FakeChannel, FakeSettings


def one_a_second(_room: str, _operation: str) -> list[Limit]:
    return [Limit("account", 1, 1.0)]


@pytest.fixture
def channel():
    return FakeChannel(limits=one_a_second)


def texts(channel: FakeChannel) -> list[str]:
    return [made.attempt.part.payload["text"] for made in channel.made]


async def flood(gateway, say, classes: dict[str, int]) -> list:
    """So many of each class, each in a room of its own; the first of all is under way."""
    tickets = [await gateway.submit(say.message("first", "first", priority="urgent"))]
    for name, count in classes.items():
        tickets += [
            await gateway.submit(say.message(f"{name} {n}", name, priority=name, ttl=3600))
            for n in range(count)
        ]
    return tickets


async def test_urgent_goes_before_normal_and_normal_before_bulk(
    engine, say, channel, autojump_clock
):
    async with engine(channel, partition_count=1) as gateway:
        tickets = await flood(gateway, say, {"bulk": 2, "normal": 2, "urgent": 2})
        for ticket in tickets:
            await ticket.receipt()
        expected = ["first", "urgent", "urgent", "normal", "normal", "bulk", "bulk"]
        assert expected == texts(channel)
        assert [0, 1, 2, 3, 4, 5, 6] == [round(at) for at in channel.times]


async def test_classes_compete_over_all_partitions(engine, say, channel, autojump_clock):
    """The limit is the account's, so its queue is one."""
    async with engine(channel, partition_count=8) as gateway:
        tickets = await flood(gateway, say, {"bulk": 4, "normal": 4, "urgent": 4})
        for ticket in tickets:
            await ticket.receipt()
        assert ["urgent"] * 4 + ["normal"] * 4 == texts(channel)[1:9]


async def test_within_a_class_the_oldest_goes_first(engine, say, channel, autojump_clock):
    async with engine(channel, partition_count=4) as gateway:
        tickets = [await gateway.submit(say.message(f"room {n}", f"{n}")) for n in range(10)]
        for ticket in tickets:
            await ticket.receipt()
        assert [f"{n}" for n in range(10)] == texts(channel)


async def test_beside_a_flood_of_urgent_normal_and_bulk_get_their_shares(
    engine, say, channel, autojump_clock
):
    """Of the grants of a higher class: a fifth again for normal, a tenth for bulk."""
    async with engine(channel, partition_count=1) as gateway:
        await flood(gateway, say, {"bulk": 30, "normal": 30, "urgent": 90})
        await trio.sleep(60.5)
        made = Counter(texts(channel)[1:])
        assert 60 == made.total()
        assert 42 <= made["urgent"] <= 50
        assert 8 <= made["normal"] <= 10
        assert 4 <= made["bulk"] <= 7


async def test_aged_bulk_goes_by_age_among_normal(engine, say, channel, autojump_clock):
    """Half a minute of waiting makes it as good as normal: then the older one goes."""
    async with engine(channel, partition_count=1) as gateway:
        await flood(gateway, say, {"bulk": 20})
        done_by = None
        for n in range(80):
            await gateway.submit(say.message(f"room {n}", "normal"))
            await trio.sleep(1)
            bulk = texts(channel).count("bulk")
            if trio.current_time() <= 28:
                assert bulk <= 5
            if bulk == 20 and done_by is None:
                done_by = trio.current_time()
        assert 40 <= done_by <= 55


async def test_bulk_never_ages_into_urgent(engine, say, channel, autojump_clock):
    async with engine(channel, partition_count=1) as gateway:
        await flood(gateway, say, {"bulk": 30, "urgent": 150})
        await trio.sleep(110.5)
        bulk = texts(channel).count("bulk")
        assert 9 <= bulk <= 11  # its share, and no more, however old


async def test_a_late_urgent_one_waits_for_one_token_only(engine, say, channel, autojump_clock):
    async with engine(channel, partition_count=1) as gateway:
        await flood(gateway, say, {"bulk": 20, "normal": 20})
        await trio.sleep(5.5)
        receipt = await gateway.send("bot", "code", "123456", priority="urgent")
        assert receipt.delivered
        assert 6 == pytest.approx(trio.current_time(), abs=0.01)


async def test_an_urgent_envelope_does_not_overtake_in_its_own_room(
    engine, say, channel, autojump_clock
):
    async with engine(channel) as gateway:
        await gateway.submit(say.message("r", "one", priority="bulk"))
        await gateway.submit(say.message("r", "two", priority="bulk"))
        await gateway.send("bot", "r", "three", priority="urgent")
        assert ["one", "two", "three"] == texts(channel)


async def test_an_urgent_envelope_out_of_order_passes_its_rooms_backlog(
    engine, say, channel, autojump_clock
):
    """The login code beside the newsletter."""
    async with engine(channel) as gateway:
        for n in range(10):
            await gateway.submit(say.message("r", f"newsletter {n}", priority="bulk"))
        await trio.sleep(2.5)
        receipt = await gateway.send("bot", "r", "code", priority="urgent", order="none")
        assert receipt.delivered
        assert ["newsletter 0", "newsletter 1", "newsletter 2", "code"] == texts(channel)


async def test_interim_edits_rank_below_finals_of_their_class(engine, say, channel, autojump_clock):
    async with engine(channel, partition_count=1) as gateway:
        sent = [await gateway.send("bot", f"stream {n}", "…") for n in range(3)]
        channel.made.clear()
        await gateway.submit(say.message("first", "first"))
        tickets = [
            await gateway.submit(
                Edit(
                    instance_id="bot",
                    external_room_id=receipt.external_room_id,
                    target=receipt.ref,
                    text="interim" if n != 1 else "final",
                    interim=n != 1,
                )
            )
            for n, receipt in enumerate(sent)
        ]
        tickets.append(await gateway.submit(say.message("other", "message")))
        for ticket in tickets:
            await ticket.receipt()
        assert ["first", "final", "message", "interim", "interim"] == texts(channel)


async def test_a_lane_ranks_by_its_head(engine, say, channel, autojump_clock):
    """What comes later in the room lends the head nothing, and takes nothing from it."""
    async with engine(channel, partition_count=1) as gateway:
        await gateway.submit(say.message("first", "first"))
        await gateway.submit(say.message("a", "bulk head", priority="bulk"))
        await gateway.submit(say.message("a", "urgent behind", priority="urgent"))
        await gateway.submit(say.message("b", "normal"))
        last = await gateway.submit(say.message("c", "normal"))
        await last.receipt()
        await trio.sleep(5)
        expected = ["first", "normal", "normal", "bulk head", "urgent behind"]
        assert expected == texts(channel)


async def test_accounts_do_not_compete(engine, say, channel, autojump_clock):
    async with engine(channel, instances=["bot", "other"], partition_count=1) as gateway:
        await flood(gateway, say, {"urgent": 50})
        receipt = await gateway.send("other", "r", "x", priority="bulk")
        assert receipt.delivered
        assert 0 == trio.current_time()


class Votes:
    def __init__(self, **votes: str) -> None:
        self.votes = votes

    @hookimpl
    def admit(self, envelope):
        return self.votes.get(envelope.text)


async def test_a_vote_changes_the_class(engine, say, channel, autojump_clock):
    async with engine(channel, partition_count=1, plugins=[Votes(up="urgent", down="bulk")]) as g:
        await g.submit(say.message("first", "first"))
        tickets = [
            await g.submit(say.message(f"room {text}", text)) for text in ("down", "plain", "up")
        ]
        for ticket in tickets:
            await ticket.receipt()
        assert ["first", "up", "plain", "down"] == texts(channel)


async def test_each_class_has_its_time_to_live_and_a_vote_gives_it(
    engine, say, channel, autojump_clock
):
    ttl = Ttl(urgent=5, normal=50, bulk=500)
    async with engine(channel, ttl=ttl, plugins=[Votes(up="urgent")]) as gateway:
        gateway.suspend("bot")
        cases = {
            "urgent": {"priority": "urgent"},
            "up": {},
            "normal": {},
            "bulk": {"priority": "bulk"},
            "own": {"priority": "bulk", "ttl": 7},
        }
        tickets = {
            text: await gateway.submit(say.message(text, text, **fields))
            for text, fields in cases.items()
        }
        ended = {}

        async def wait(text: str) -> None:
            receipt = await tickets[text].receipt()
            assert Disposition.EXPIRED is receipt.disposition
            ended[text] = round(trio.current_time())

        async with trio.open_nursery() as nursery:
            for text in tickets:
                nursery.start_soon(wait, text)
        assert {"urgent": 5, "up": 5, "own": 7, "normal": 50, "bulk": 500} == ended


async def test_limits_may_differ_with_the_class(engine, say, autojump_clock):
    """Bulk is paced at one every ten seconds; what is normal passes it by, in rooms of its own."""
    paces = {"bulk": [Limit("bulk", 2, 20.0)], "normal": [Limit("normal", 2, 2.0)]}
    channel = FakeChannel(limits_by_class=lambda priority: paces.get(priority, ()))
    async with engine(channel) as gateway:
        tickets = [
            await gateway.submit(say.message(f"{priority} {n}", "x", priority=priority))
            for priority in ("bulk", "normal", "urgent")
            for n in range(3)
        ]
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
    times = {m.attempt.room: round(m.at, 6) for m in channel.made}
    assert [0.0, 10.0, 20.0] == sorted(at for room, at in times.items() if room[:4] == "bulk")
    assert [0.0, 1.0, 2.0] == sorted(at for room, at in times.items() if room[:6] == "normal")
    assert [0.0, 0.0, 0.0] == sorted(at for room, at in times.items() if room[:6] == "urgent")


async def test_limits_are_asked_with_the_class_that_a_policy_gave(engine, say, autojump_clock):
    asked = []

    class Demotes:
        @hookimpl
        def admit(self):
            return "bulk"

    def limits(priority):
        asked.append(priority)
        return ()

    channel = FakeChannel(limits_by_class=limits)
    async with engine(channel, plugins=[Demotes()]) as gateway:
        assert (await gateway.send("bot", "r", "x")).delivered
    assert ["bulk"] == asked


@pytest.mark.parametrize(("by_class", "times"), [(False, 1), (True, 2)])
async def test_limits_are_asked_once_a_lane_and_by_class_where_that_matters(
    engine, say, by_class, times, autojump_clock
):
    asked = []

    class Counts:
        @hookimpl
        def rate_limit(self, operation):
            asked.append(operation)
            return ()

    class CountsByClass:
        @hookimpl
        def rate_limit(self, operation, priority):
            asked.append(operation)
            return ()

    policy = CountsByClass() if by_class else Counts()
    plain = _Plain()
    async with engine(plain, plugins=[policy]) as gateway:
        tickets = [
            await gateway.submit(say.message("r", "x", priority=priority))
            for priority in ("bulk", "normal") * 3
        ]
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
    assert ["send"] * times == asked


class _Plain:
    """A channel whose own limits do not ask for the class."""

    GATEWAY_CONTRACT = CONTRACT_VERSION

    @hookimpl
    def settings_type(self):
        return FakeSettings

    @hookimpl
    async def send(self):
        await trio.sleep(1)
        return Answer(message_id="1")
