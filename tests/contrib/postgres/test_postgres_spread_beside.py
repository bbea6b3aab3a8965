"""What is handed over, asked, and stored beside entries, where accounts are spread."""

import json
from functools import partial
from uuid import uuid4

import attrs
import pytest
import trio
from postgres_spread import Spread, until

from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.postgres.handed import Handed, Share
from gateway_contrib.postgres.names import ALL
from gateway_contrib.postgres.operators.operating import Operator
from gateway_contrib.postgres.operators.requests import Desk
from gateway_contrib.postgres.spreading import tables
from gateway_core import OutboxError, Send
from gateway_core.testing.outbox_contract import Entries, receipt_of, texts
from gateway_core.testing.records_contract.making import Stored, chunks, group_of, rooms


@pytest.fixture
def spread(server, emptied_schema):
    return Spread(server, emptied_schema)


@pytest.fixture
def entry():
    return Entries()


def counted(spread, *tables):
    sql = "SELECT count(*) FROM "
    return [spread.ran(sql + table)[0][0] for table in tables]


def nothing():
    pass


def handed(process):
    return [(it.instance_id, it.envelope.text) for it in process.requests if it.kind == "submit"]


def asked(process, kind):
    return [it for it in process.requests if it.kind == kind]


async def hand_over(handover, account, text):
    one = Send(instance_id=account, external_room_id="room", text=text)
    return await handover.hand_over(one, awaited=False, files={})


async def test_each_takes_what_is_handed_over_for_its_accounts(spread):
    """That of nobody's stays; one that no process knows goes to whoever does what is common."""
    async with spread.process(["bot"]) as first, spread.process(["other"]) as second:
        await until(lambda: first.owned and second.owned)
        async with first.outbox.handover() as handover:
            for account in ("bot", "other", "later", "unknown"):
                if account == "later":
                    first.serves(["bot", "later"])
                    first.takes = False
                    await until(lambda: "later" in spread.owners())
                await hand_over(handover, account, "text")
            await handover.tell(ALL, "{}")
            await handover.tell("other", "{}")
            both = (first, second)
            await until(lambda: sum(len(one.requests) for one in both) == 5)
            common = next(one for one in both if one.outbox._common)
            found = {account: one for one in both for account, _ in handed(one)}
            assert {"bot": first, "other": second, "unknown": common} == found
            questions = {it.instance_id: one for one in both for it in asked(one, "ask")}
            assert {ALL: common, "other": second} == questions
            first.takes = True
            first.outbox.offered()
            await until(lambda: ("later", "text") in handed(first) + handed(second))


async def test_what_was_taken_and_not_answered_is_the_next_owners(spread, entry):
    async with spread.process(["bot"]) as first:
        await until(lambda: first.owned)
        async with first.outbox.handover() as handover:
            for text in ("a", "b"):
                await hand_over(handover, "bot", text)
            await until(lambda: len(handed(first)) == 2)
            first.outbox.answered(first.requests[0], '{"refused": "no"}')
            await first.outbox.flush()
            async with spread.process(["bot"]) as second:
                first.serves([])
                await until(lambda: second.owned)
                first.outbox.answered(first.requests[1], '{"refused": "late"}')
                await until(lambda: handed(second))
                assert [("bot", "b")] == handed(second)
                answers = spread.ran("SELECT refused FROM handed ORDER BY number")
                assert [("no",), (None,)] == answers


@pytest.mark.parametrize("owned", [(False, True, True), (True, False, False)])
async def test_what_waits_for_an_account_that_comes_or_goes_is_taken_whole_or_not(spread, owned):
    """It comes or goes on trio's thread, while another one looks at what waits."""
    async with spread.process(["bot"]) as first:
        await until(lambda: first.owned)
        outbox = first.outbox
        outbox.requested = None
        async with outbox.handover() as handover:
            for text in ("a", "b"):
                await hand_over(handover, "bot", text)
        waits, answers = Handed(), iter(owned)

        def has(_):
            answer = next(answers, owned[-1])
            if not answer:
                waits.lost("bot")
            return answer

        share = Share(outbox._membership.member, has)
        found = outbox._reader.call(lambda it: waits.look(it, 0.0, share))
        known = [each for each in found if waits.knows(each.number)]
        assert [] == known
        waits.gained()
        again = outbox._reader.call(
            lambda it: waits.look(it, 0.0, Share(share.member, lambda _: True))
        )
        assert ["a", "b"] == [each.envelope.text for each in again]
        assert all(waits.knows(each.number) for each in again)


@pytest.mark.parametrize("happens", ["let go", "had"])
async def test_a_look_takes_nothing_newer_before_what_it_could_not_see(spread, happens):
    """Its account is let go and had again, or is had, while the look is under way."""
    async with spread.process(["bot"]) as first:
        await until(lambda: first.owned)
        outbox, waits = first.outbox, Handed()
        outbox.requested = None

        def look(has, member=outbox._membership.member):
            found = outbox._reader.call(lambda it: waits.look(it, 0.0, Share(member, has)))
            return [each.envelope.text for each in found]

        def meanwhile(_):
            waits.lost("bot") if happens == "let go" else waits.gained()
            return True

        async with outbox.handover() as handover:
            await hand_over(handover, "bot", "a")
            mine = outbox._membership.member if happens == "let go" else uuid4()
            assert (["a"] if happens == "let go" else []) == look(lambda _: True, mine)
            await hand_over(handover, "bot", "b")
            assert [] == look(meanwhile)
            assert ["a", "b"] == look(lambda _: True)


async def test_an_account_with_a_stored_envelope_is_not_given_up_as_idle(spread, entry):
    """A closing process may not have heard that the envelope is stored: nobody would look at it."""
    async with spread.process(["bot", "other"]) as first:
        await until(lambda: first.owned)
        outbox, names = first.outbox, ["bot", "other"]
        await outbox.append(entry("stored", instance="bot"), nothing)
        first.takes = False
        give = partial(tables.give, member=outbox._membership.member, instances=names, idle=names)
        await outbox._apart(give)
        sql = "SELECT instance, idle FROM accounts WHERE instance <> '' ORDER BY 1"
        assert [("bot", False), ("other", True)] == spread.ran(sql)


async def test_what_operators_ask_is_done_in_order_though_its_account_is_let_go(spread):
    async with spread.process(["bot"]) as first:
        await until(lambda: first.owned)
        member, desk = first.outbox._membership.member, Desk(Keyring())
        first.outbox._desk.look = lambda *_, **__: []  # it takes nothing away

        def look(has):
            share = Share(member, has)
            found = first.outbox._reader.call(lambda it: desk.look(it, share, common=False))
            return [number for number, *_ in found]

        def meanwhile(_):
            desk.lost("bot")
            return True

        with Operator(spread.server.url(), first.outbox.settings) as operator:
            one = operator.ask("erase", 0.0, place=("bot", "room"))
            rows = first.outbox._reader.call(
                lambda it: desk.look(it, Share(member, lambda _: True), common=False)
            )
            first.outbox._reader.call(lambda it: desk.hand_on(it, rows[0]))
            assert [one] == [row[0] for row in rows]
            two = operator.ask("erase", 0.0, place=("bot", "room"))
            assert [] == look(meanwhile)
            assert [one, two] == look(lambda _: True)


async def test_what_operators_ask_is_done_by_the_owner_of_its_account(spread, entry):
    async with spread.process(["bot"]) as first, spread.process(["other"]) as second:
        await until(lambda: first.owned and second.owned)
        mine = entry("a", instance="other")
        await second.outbox.append(mine, nothing)
        group = group_of(entry, 3, instance="other")
        await second.outbox.append_group(group, chunks(rooms(3)), nothing)
        with Operator(spread.server.url(), first.outbox.settings) as operator:
            operator.ask("cancel", 0.0, envelope_id=mine.id)
            operator.ask("erase", 0.0, place=("bot", "room"))
            operator.ask("accounts", 0.0)
            for about in ({"group": group.id}, {"template": {"instance_id": "other"}}):
                operator.ask("group", 0.0, asked=json.dumps(about))
            await until(lambda: len(first.requests) + len(second.requests) == 5)
            assert 2 == len(asked(second, "group"))
            assert [mine.id] == [it.envelope_id for it in asked(second, "cancel")]
            assert ["bot"] == [it.instance_id for it in asked(first, "erase")]
            common = first if first.outbox._common else second
            assert 1 == len(asked(common, "accounts"))
            second.outbox.finished(receipt_of(mine, "rejected"))
            await second.outbox.flush()
            operator.ask("retry", 0.0, envelope_id=mine.id)
            await until(lambda: asked(second, "retry"))
            assert ["a"] == texts(await second.outbox.page("other"))
            assert not asked(first, "retry")


async def test_what_is_half_stored_is_tidied_up_once_its_process_is_gone(spread, entry):
    """A group of which members come, an upload of which pieces come, bytes for a later use."""
    stored, half, go_on = Stored(b"kept"), Stored(b"h" * 600_000), trio.Event()

    async def pieces():
        for piece in half.pieces():
            yield piece
        await go_on.wait()
        yield b"!"

    async with spread.process(["bot"]) as first:
        await until(lambda: first.owned and first.outbox._common)
        async with spread.process(["other"]) as second:
            await until(lambda: second.owned)
            await second.outbox.store_bytes(stored.digest, stored.pieces())
            group = group_of(entry, 6, instance="other")
            await second.outbox._apart(lambda it: second.outbox._writer.groups.begin(it, group))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(second.outbox.store_bytes, half.digest, pieces())
                await until(lambda: counted(spread, "pieces") == [3])
                await first.outbox._apart(first.outbox._writer.tidy)
                assert [1, 1, 3] == counted(spread, "groups", "bytes", "pieces")
                nursery.cancel_scope.cancel()
        await until(lambda: counted(spread, "groups") == [0])
        assert [0, 0, 0, 0] == counted(spread, "bytes", "pieces", "kept", "incomplete")


async def test_bytes_stay_that_another_process_is_about_to_use(spread, entry):
    stored = Stored(b"shared")
    async with spread.process(["bot"]) as first, spread.process(["other"]) as second:
        await until(lambda: first.owned and second.owned)
        files = (stored.digest,)
        mine = attrs.evolve(entry("a"), files=files)
        theirs = attrs.evolve(entry("b", instance="other"), files=files)
        await first.outbox.store_bytes(stored.digest, stored.pieces())
        await first.outbox.append(mine, nothing)
        await second.outbox.store_bytes(stored.digest, stored.pieces())
        first.outbox.finished(receipt_of(mine))
        await first.outbox.flush()
        await second.outbox.append(theirs, nothing)
        assert b"shared" == await second.outbox.read_bytes(stored.digest, 0, 100)
        second.outbox.finished(receipt_of(theirs))
        await second.outbox.flush()
        with pytest.raises(OutboxError):
            await second.outbox.read_bytes(stored.digest, 0, 100)
