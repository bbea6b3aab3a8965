"""Accounts are spread over the processes that share the outbox, each owned by one at a time."""

import signal
from functools import partial
from itertools import count

import psycopg
import pytest
import trio
from amounts import long_run
from postgres_children import child, stop
from postgres_runs import locked
from postgres_spread import SLACK, Spread, until

from gateway_core import OutboxError
from gateway_core.outboxes import Standing, StepRecord
from gateway_core.testing.outbox_contract import START, Entries, receipt_of, texts

SILENT = """
INSERT INTO members (member, name, release, lease, weight)
    VALUES (gen_random_uuid(), 'gone', '', 0.5, WEIGHT);
UPDATE accounts SET epoch = epoch + 1, member = (SELECT member FROM members);
"""
CROSSED = """
CREATE SEQUENCE tries;
CREATE FUNCTION crossed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('tries') <= 2 THEN
        RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER crossed BEFORE INSERT ON envelopes FOR EACH ROW EXECUTE FUNCTION crossed();
"""
ACCOUNTS = [f"bot{n}" for n in range(40)]


@pytest.fixture
def spread(server, emptied_schema):
    return Spread(server, emptied_schema)


@pytest.fixture
def entry():
    return Entries()


def member_of(process):
    return process.outbox._membership.member


async def test_a_process_owns_what_it_serves_and_writes_there_alone(spread, entry):
    async with spread.process(["bot"]) as process:
        await until(lambda: process.owned)
        await process.outbox.append(entry("a"), lambda: None)
        with pytest.raises(OutboxError, match="account other belongs to another process"):
            await process.outbox.append(entry("b", instance="other"), lambda: None)
        assert ["a"] == texts(await process.outbox.page("bot"))
        assert (True, False) == (process.outbox.covers("bot"), process.outbox.covers("other"))


async def test_a_join_moves_its_share_alone_and_a_leave_gives_it_back(spread):
    async with spread.some(2, ACCOUNTS) as some:
        for one in some:
            one.left.clear()
        before = spread.owners()
        async with spread.process(ACCOUNTS) as third:
            await spread.shared_out([*some, third], ACCOUNTS)
            after = spread.owners()
            moved = {name for name in ACCOUNTS if after[name] != before[name]}
            assert third.owned == moved == {*some[0].left, *some[1].left}
        await spread.shared_out(some, ACCOUNTS)
        assert before == spread.owners()


async def test_each_of_many_accounts_is_owned_once_as_three_begin_at_once(spread):
    accounts = [f"bot{n}" for n in range(200)]
    seen = {}
    async with trio.open_nursery() as nursery:

        async def begin(number):
            async with spread.process(accounts) as process:
                seen[number] = process
                await trio.sleep_forever()

        for number in range(3):
            nursery.start_soon(begin, number)
        await until(lambda: len(seen) == 3)
        await spread.shared_out(seen.values(), accounts)
        owners = {member_of(one): one.owned for one in seen.values()}
        stored = {member: set() for member in owners}
        for name, member in spread.owners().items():
            stored[member].add(name)
        assert owners == stored
        nursery.cancel_scope.cancel()
    epochs = dict(spread.ran("SELECT instance, epoch FROM accounts WHERE account <> ''"))
    takes = sum(len(one.left) for one in seen.values()) + len(accounts)
    assert takes == sum(epochs.values())


async def test_what_another_process_owns_is_refused_with_its_name(spread):
    async with spread.process(["bot"]) as first, spread.process(takes=False) as second:
        await until(lambda: first.owned)
        with pytest.raises(OutboxError, match=r"account bot is owned by another process: .*\d"):
            await second.outbox.recover("bot")
        assert not second.outbox.offers("bot")


async def test_what_is_unfinished_comes_with_the_account(spread, entry):
    async with spread.process(["bot"]) as first:
        await until(lambda: first.owned)
        for text, due in (("a", None), ("b", None), ("c", 9e9)):
            await first.outbox.append(entry(text, due=due), lambda: None)
    async with spread.process(["bot", "other"]) as second:
        await until(lambda: second.owned == {"bot", "other"})
        stored = second.recoveries["bot"].stored
        assert ({"bot": 3}, 1) == (stored.unfinished, stored.scheduled)
        assert {} == second.recoveries["other"].stored.unfinished
        assert {} == (await second.outbox.overview()).unfinished


async def test_only_what_is_owned_is_due(spread, entry):
    async with spread.process(["bot"]) as first, spread.process(["other"]) as second:
        await until(lambda: first.owned and second.owned)
        for one in (first, second):
            (account,) = one.owned
            await one.outbox.append(entry("due", instance=account, due=1.0), lambda: None)
        for one in (first, second):
            due = await one.outbox.scheduled(until=2.0)
            late = await one.outbox.overdue(until=9e9)
            found = {it.entry.envelope.instance_id for it in (*due, *late.stored)}
            assert (one.owned, 1, 1) == (found, len(due), len(late.stored))


async def test_all_that_was_told_is_written_before_an_account_is_given_up(spread, entry):
    async with spread.process(["bot"], gives=False) as first, spread.process() as second:
        await until(lambda: first.owned)
        one = entry("0")
        await first.outbox.append(one, lambda: None)
        async with trio.open_nursery() as nursery:
            with locked(spread.server, spread.schema, "steps"):
                first.outbox.attempt_ended(one.id, StepRecord(serial=0, number=1))
                for n in range(1, 6):
                    nursery.start_soon(first.outbox.append, entry(f"{n}"), lambda: None)
                await trio.testing.wait_all_tasks_blocked()
                first.takes = False
                first.give("bot")
                assert not first.outbox.covers("bot")
                with pytest.raises(OutboxError, match="account bot is owned by another process"):
                    await second.outbox.recover("bot")
        await until(lambda: spread.owners() == {"bot": None})
        await second.outbox.recover("bot")
        found = await second.outbox.page("bot")
        assert [f"{n}" for n in range(6)] == texts(found)
        assert [1] == [record.number for record in found[0].records]


async def test_a_takeover_waits_for_what_a_member_is_writing(spread, entry):
    """It holds its member's row; a renewal of the lease is not held up by that."""
    async with spread.process(["bot"]) as process:
        await until(lambda: process.owned)
        async with trio.open_nursery() as nursery:
            with locked(spread.server, spread.schema, "keys"):
                nursery.start_soon(process.outbox.append, entry("a", key="k"), lambda: None)
                await until(lambda: _held(spread, "DELETE FROM members"))
                assert not _held(spread, "UPDATE members SET counter = counter + 1")
        assert not _held(spread, "DELETE FROM members")


def _held(spread, sql):
    with spread.server.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute(f"SET LOCAL search_path = {spread.schema}")
        connection.execute("SET LOCAL lock_timeout = '50ms'")
        try:
            connection.execute(sql)
        except psycopg.errors.LockNotAvailable:
            return True
        return False


async def test_a_member_that_was_taken_to_be_gone_comes_again_as_another_one(spread, entry):
    """What was told before that is not written any more."""
    async with spread.process(["bot", "other"]) as process:
        await until(lambda: len(process.owned) == 2)
        one, before = entry("a"), member_of(process)
        await process.outbox.append(one, lambda: None)
        spread.ran("DELETE FROM members")
        process.outbox.finished(receipt_of(one))
        with pytest.raises(OutboxError, match="other processes took this one for gone"):
            await process.outbox.flush()
        assert ["bot", "other"] == process.lost
        assert not process.outbox.covers("bot")
        await until(lambda: len(process.owned) == 2)
        assert before != member_of(process)
        assert ["a"] == texts(await process.outbox.page("bot"))
        process.outbox.finished(receipt_of(one))
        assert [] == await process.outbox.page("bot")


async def test_an_account_that_another_member_took_is_lost_alone(spread, entry):
    async with spread.process(["bot", "other"]) as process:
        await until(lambda: len(process.owned) == 2)
        one = entry("a")
        await process.outbox.append(one, lambda: None)
        spread.ran("""INSERT INTO members VALUES (gen_random_uuid(), 'another', '', 60);
            UPDATE accounts SET epoch = epoch + 1, member = (SELECT member FROM members
                WHERE name = 'another') WHERE account = 'bot'""")
        with pytest.raises(OutboxError, match="account bot belongs to another process"):
            await process.outbox.attempt_started(one.id, StepRecord(serial=0, number=1))
        assert ["bot"] == process.lost
        await process.outbox.append(entry("b", instance="other"), lambda: None)
        with pytest.raises(OutboxError, match="account bot is owned by another process: another"):
            await process.outbox.recover("bot")


@long_run
async def test_a_process_that_dies_or_is_stopped_is_followed_and_writes_no_more(spread):
    """What it had under way is rolled back before its account is had; let on, it hears of that."""
    started = partial(child, spread.server, spread.schema, 5, "spread")
    with started("bot") as stopped, started("other") as killed:
        for one in (stopped, killed):
            assert ["owns", "stored a"] == [one.heard(), one.ask("append a")]
        with locked(spread.server, spread.schema, "envelopes"):
            stopped.process.stdin.write("append b\n")
            await until(lambda: _held(spread, "DELETE FROM members"))
            stop(stopped.process)
            killed.process.kill()
        async with spread.process(["bot", "other"], lease=5) as second:
            await until(lambda: second.owned == {"bot", "other"})
            stopped.process.send_signal(signal.SIGCONT)
            answers = set()
            while not {"lost", "refused"} <= answers:
                answers.add((await trio.to_thread.run_sync(stopped.heard)).split()[0])
            for account in ("bot", "other"):
                assert ["a"] == texts(await second.outbox.page(account))


@pytest.mark.parametrize("weight", ["NULL", "1.0"], ids=["whole", "spread"])
async def test_the_accounts_of_a_member_that_is_silent_are_free(spread, entry, weight):
    """Also of one that owned all of them."""
    async with spread.process(["bot"]) as first:
        await until(lambda: first.owned)
        await first.outbox.append(entry("a"), lambda: None)
    spread.ran(SILENT.replace("WEIGHT", weight))
    async with spread.process(["bot"]) as second:
        await until(lambda: second.owned)
        assert ["a"] == texts(await second.outbox.page("bot"))
        assert [(3,)] == spread.ran("SELECT epoch FROM accounts WHERE account = 'bot'")
        await until(lambda: second.outbox._common)
        assert [(member_of(second),)] == spread.ran("SELECT member FROM members")


async def test_a_process_that_leaves_under_load_leaves_all_that_it_took_on(spread, entry):
    stored = {name: [] for name in ACCOUNTS}

    async def append(process, account):
        for n in count():
            await process.outbox.append(entry(f"{n}", instance=account), lambda: None)
            stored[account].append(f"{n}")

    async with spread.process(ACCOUNTS) as second:
        async with spread.process(ACCOUNTS) as first, trio.open_nursery() as nursery:
            await spread.shared_out([first, second], ACCOUNTS)
            mine = set(first.owned)
            for account in mine:
                nursery.start_soon(append, first, account)
            await until(lambda: all(len(stored[account]) > 20 for account in mine))
            nursery.cancel_scope.cancel()
        await until(lambda: second.owned == stored.keys())
        for account in mine:
            found = texts(await second.outbox.page(account))
            assert stored[account] == found[: len(stored[account])]
            assert len(found) <= len(stored[account]) + 1


async def test_whoever_owns_all_accounts_keeps_them_until_it_leaves(spread, entry):
    began, leave = trio.Event(), trio.Event()

    async def own_all():
        async with spread.outbox(accounts="whole") as whole:
            await whole.recover("bot")
            await whole.append(entry("a"), lambda: None)
            began.set()
            await leave.wait()
            await whole.append(entry("b", instance="new"), lambda: None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(own_all)
        await began.wait()
        async with spread.process(["bot", "new"]) as process:
            await until(lambda: len(spread.owners()) == 2)
            assert set(spread.ran("SELECT member FROM members WHERE weight IS NULL")) == {
                (owner,) for owner in spread.owners().values()
            }
            assert not process.owned
            leave.set()
            await until(lambda: process.owned == {"bot", "new"})
            found = [await process.outbox.page(account) for account in ("bot", "new")]
            assert [["a"], ["b"]] == list(map(texts, found))
            await process.outbox.append(entry("c"), lambda: None)


async def test_nobody_owns_all_accounts_while_others_own_some(spread):
    """Not in the moment either in which nobody has the one of what is common."""
    whole = spread.outbox(accounts="whole", owner_wait=0)
    async with spread.process(["bot"]) as process:
        await until(lambda: process.outbox._common)
        with pytest.raises(OutboxError, match=r"is owned by another process: .*\d"):
            await whole.__aenter__()
        spread.ran("UPDATE accounts SET member = NULL WHERE account = ''")
        with pytest.raises(OutboxError, match=r"the accounts are spread over processes, of which"):
            await whole.__aenter__()
    async with whole:
        pass


async def test_a_batch_that_crossed_anothers_is_written_again(spread, entry):
    """The server ends one of two that wait for each other: nobody need hear of it."""
    async with spread.process(["bot"]) as process:
        await until(lambda: process.owned)
        spread.ran(CROSSED)
        try:
            await process.outbox.append(entry("a"), lambda: None)
        finally:
            spread.ran("DROP TRIGGER crossed ON envelopes; DROP FUNCTION crossed; "
                       "DROP SEQUENCE tries")  # fmt: skip
        assert ["a"] == texts(await process.outbox.page("bot"))


async def test_whoever_follows_the_ends_misses_none_while_two_write_them(spread, entry):
    found = []

    async def write(one):
        (account,) = one.owned
        for n in range(60):
            mine = entry(f"{n}", instance=account)
            await one.outbox.append(mine, lambda: None)
            one.outbox.finished(receipt_of(mine))
            if n % 3 == 0:
                await one.outbox.flush()

    async def follow(outbox):
        while len(found) < 120:
            ends = await outbox.endings(after=found[-1][0] if found else 0)
            found.extend(ends.ended)

    async with spread.process(["bot"]) as first, spread.process(["other"]) as second:
        await until(lambda: first.owned and second.owned)
        with trio.fail_after(SLACK):
            async with trio.open_nursery() as nursery:
                for one in (first, second):
                    nursery.start_soon(write, one)
                nursery.start_soon(follow, first.outbox)
    numbers = [number for number, _ in found]
    assert sorted(set(numbers)) == numbers
    assert 120 == len({receipt.envelope_id for _, receipt in found})


async def test_several_are_had_at_once_as_each_by_itself(spread):
    """Those of another process are left out; what is stored and spent of each is told."""
    names = [f"bot{n}" for n in range(5)]
    async with spread.process(names, takes=False) as one:
        await until(lambda: all(map(one.outbox.offers, names)))
        first = await one.outbox.recover("bot0")
        asked = {"since": 0.0, "limit": 10}
        had = {name: (it, made) for name, it, made in await one.outbox.recover_many(names, **asked)}
        assert names == sorted(had)
        assert first == had["bot0"][0]
        assert {1} == {epoch for (epoch,) in spread.ran(_EPOCHS)}
        for name in names:
            one.outbox.release(name, START, [Standing(names=(name,), closed=9.0)])
        await one.outbox.flush()
        again = await one.outbox.recover_many(names[:2], **asked)
        alone = await one.outbox.recover("bot2")
        assert [(START, [Standing(names=(name,), closed=9.0)]) for name in names[:2]] == [
            it.spent for _, it, _ in again
        ]
        assert (START, [Standing(names=("bot2",), closed=9.0)]) == alone.spent
        async with spread.process(names, takes=False) as two:
            await until(lambda: two.outbox._spread.knows("bot0"))
            left = await two.outbox.recover_many(names, **asked)
        assert ["bot3", "bot4"] == sorted(name for name, _, _ in left)


_EPOCHS = "SELECT DISTINCT epoch FROM accounts WHERE account <> ''"
