"""What ended is told in its order, whatever became of the process, the history and the row."""

import json

import pytest
import trio

from gateway_contrib.cli.app import main
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.files.backup import back_up
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_core import EndingsForgotten, ErrorClass, Reason, Verdict
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall
from gateway_core.testing.outbox_contract import Entries, receipt_of

REFUSED = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.UNCLASSIFIED, raw="no")


@pytest.fixture
def path(tmp_path):
    (tmp_path / "gateway.toml").write_text(f'outbox = "sqlite://{tmp_path}/outbox.db"\n')
    return tmp_path / "outbox.db"


def outbox_at(path, **settings):
    settings = SqliteSettings(in_thread=False, synchronous="NORMAL", **settings)
    return SqliteOutbox(path, settings, wall_clock=virtual_wall)


async def ended(outbox, entries, number):
    """So many ended; their ids."""
    names = []
    for _ in range(number):
        entry = entries("x")
        await outbox.append(entry, lambda: None)
        outbox.finished(receipt_of(entry, ended_at=virtual_wall()))
        names.append(entry.id)
    return names


async def told(outbox, after=0):
    page = await outbox.endings(after=after, limit=10_000)
    return [receipt.envelope_id for _, receipt in page.ended]


async def rest(endings):
    """Those that are there, or come soon."""
    found = []
    with trio.move_on_after(5):
        while True:
            found.append(await anext(endings))
    return found


async def test_what_is_tried_again_is_told_again_when_it_ends_again(path, autojump_clock):
    async def refuse(attempt):
        raise Failure(REFUSED)

    channel = FakeChannel(script=refuse)
    async with open_test_gateway(channel, outbox=outbox_at(path)) as gateway:
        endings = gateway.endings()
        receipts = [await gateway.send("bot", "r", str(n), raises=False) for n in range(3)]
        first = [await anext(endings) for _ in range(3)]
        assert receipts == [one.receipt for one in first]
        channel.script = None
        again = receipts[1].envelope_id
        with Operator(path) as operator:
            operator.ask("retry", virtual_wall(), envelope_id=again)
        with trio.fail_after(20):
            last = await anext(endings)
        assert (again, True) == (last.receipt.envelope_id, last.receipt.delivered)
        assert [] == await rest(endings)
    async with outbox_at(path) as outbox:
        names = [one.envelope_id for one in receipts]
        assert [names[0], names[2], again] == await told(outbox)


@pytest.mark.usefixtures("seldom")
async def test_who_is_too_late_hears_of_it_and_who_is_not_does_not(path, autojump_clock):
    entries = Entries()
    async with outbox_at(path, history_for=3600.0) as outbox:
        await ended(outbox, entries, 5)
        await trio.sleep(3000)
        later = await ended(outbox, entries, 5)
        await outbox.flush()
        outbox.requested = lambda _: None
        await trio.sleep(1200)
        page = await outbox.endings(after=5)
        assert (5, 10) == (page.forgotten, page.newest)
        assert later == [receipt.envelope_id for _, receipt in page.ended]
        source = page.source
        await trio.sleep(9000)
        page = await outbox.endings(after=0)
        assert (source, 10, 10, 0) == (page.source, page.forgotten, page.newest, len(page.ended))
        await ended(outbox, entries, 1)
        assert 11 == (await outbox.endings(after=0)).ended[0][0]
    async with open_test_gateway(FakeChannel(), outbox=outbox_at(path)) as gateway:
        with pytest.raises(EndingsForgotten, match="does not reach back"):
            await anext(gateway.endings(f"{source}.9"))
        assert f"{source}.11" == (await anext(gateway.endings(f"{source}.10"))).cursor


async def test_a_kill_gives_no_number_twice_and_loses_no_end(path, autojump_clock):
    """Each life is a copy of what was on the disk at some moment of the one before it."""
    heard, cursor, sent = [], None, []
    for life in range(12):
        copy = path.with_name(f"life{life}.db")
        async with open_test_gateway(
            FakeChannel(latency=0.01), outbox=outbox_at(path), drain_timeout=0
        ) as gateway:
            endings = gateway.endings(cursor)
            for n in range(6):
                await gateway.enqueue("bot", f"r{n}", f"{life} {n}", key=f"{life} {n}")
                sent.append(f"{life} {n}")
            while len(heard) < 4 * life + 3:
                one = await anext(endings)
                heard.append(one)
                cursor = one.cursor
            back_up(path, copy)
        path = copy
    async with open_test_gateway(FakeChannel(), outbox=outbox_at(path)) as gateway:
        await trio.sleep(5)
        heard += await rest(gateway.endings(cursor))
        every = await rest(gateway.endings())
    names = [one.receipt.envelope_id for one in heard]
    assert len(sent) == len(set(names)) == len(every)
    assert len({one.cursor for one in heard}) == len(heard)
    numbers = [int(one.cursor.rpartition(".")[2]) for one in heard]
    assert sorted(numbers) == numbers
    assert {one.cursor: one.receipt for one in every} == {one.cursor: one.receipt for one in heard}


def test_the_command_lists_them_and_goes_on_from_a_cursor(path, capsys):
    async def fill():
        async with open_test_gateway(FakeChannel(), outbox=outbox_at(path)) as gateway:
            for n in range(3):
                await gateway.send("bot", "r\x9b", str(n))

    trio.run(fill)
    option = ["--config", str(path.parent / "gateway.toml")]

    def lines(*words):
        code = main(["outbox", "endings", *words, *option])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    code, found, _ = lines()
    assert (0, 3) == (code, len(found))
    assert "\x9b" not in "".join(found)
    assert all("  delivered  bot  " in line for line in found)
    code, plain, _ = lines("--json")
    cursors = [json.loads(line)["cursor"] for line in plain]
    assert cursors == [line.split()[0] for line in found]
    assert "delivered" == json.loads(plain[0])["receipt"]["disposition"]
    assert (0, found[1:], "") == lines("--after", cursors[0])
    assert (0, [], "") == lines("--after", cursors[-1])
    code, _, err = lines("--after", "x.1")
    assert (2, True, True) == (code, "another outbox" in err, "leave out --after" in err)
    code, _, err = lines("--after", "nonsense")
    assert (2, True) == (code, "must be the cursor of an ending" in err)
