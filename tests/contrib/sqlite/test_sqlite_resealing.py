"""After a rotation everything is sealed anew: beside a gateway, without one, through kills."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from random import Random

import apsw
import pytest
import trio
from amounts import amount
from sealed import FIRST, SECOND, on_disk, words_in
from trio.testing import MockClock

from gateway_contrib.cli.app import main
from gateway_contrib.durable.operators.looking import Which
from gateway_contrib.durable.sealing.ciphers import Key
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_contrib.sqlite.sealing import anew
from gateway_contrib.sqlite.sealing.alone import reseal_alone
from gateway_core import Disposition, Edit, KeyRef, OutboxError, RetrySettings, Send, Verdict
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall
from gateway_core.testing.outbox_contract import Entries, receipt_of

REFUSED = Verdict(error_class="non_retryable", reason="unclassified", raw="zebra-striped said no")
UNHURRIED = {
    "drain_timeout": 0.0,
    "attempt_timeout": 3600.0,
    "retries": RetrySettings(attempts=20, max_ambiguous=20),
}
"""What hangs is tried again in each process run."""
INLINE = SqliteSettings(in_thread=False, integrity_check=True)
WORDS = ("Zebra-striped", "zebra-striped")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


def opened(path, *keys):
    return SqliteOutbox(path, INLINE, wall_clock=virtual_wall, keys=keys)


async def script(attempt):
    if "hangs" in str(attempt.payload):
        await trio.sleep_forever()
    if "refused" in str(attempt.payload):
        raise Failure(REFUSED)


async def traffic(gateway, name):
    """What arrives, is edited, is refused, hangs, and waits; all with keys."""

    def say(text, room):
        text = f"Zebra-striped {text}"
        return Send(
            instance_id="bot", external_room_id=room, text=text, key=f"zebra-striped {text} {name}"
        )

    for n in range(3):
        receipt = await (await gateway.submit(say(f"arrives {n}", f"done {name}"))).receipt()
        await gateway.edit(receipt.ref, f"Zebra-striped edited {n}")
        await (await gateway.submit(say(f"refused {n}", f"bad {name}"))).receipt()
    for text in ("hangs", "waits 1", "waits 2"):
        await gateway.submit(say(text, f"room {name}"))
    await trio.sleep(0.5)


def sealed_with(path):
    """The ids of keys by which values are sealed; empty: some is not."""
    database, ids = apsw.Connection(str(path)), set()
    for table, columns in (
        ("envelopes", ("fingerprint", "entry", "shapes")),
        ("history", ("fingerprint", "entry", "shapes", "receipt", "raw")),
        ("revisions", ("ref",)),
        ("requests", ("envelope", "answer")),
    ):
        for column in columns:
            sql = f"SELECT {column} FROM {table} WHERE {column} <> ''"  # noqa: S608 - constants
            ids |= {v[1:9] if v[0] == "~" else "" for (v,) in database.execute(sql)}
    ids |= {"" for _ in database.execute("SELECT 1 FROM keys WHERE NOT hashed")}
    database.close()
    return ids


def known(path):
    database = apsw.Connection(str(path))
    ids = {name for (name,) in database.execute("SELECT id FROM keyring")}
    database.close()
    return ids


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(anew, "STEP", 2)


async def answer_of(operator, number):
    with trio.fail_after(60):
        while (answer := operator.answer(number)) is None:  # noqa: ASYNC110 - a file
            await trio.sleep(0.1)
    return answer


async def finish(path, *names, keys):
    """All that is left of them arrives, failed ones when they are tried again; their keys hold."""
    channel = FakeChannel()
    settings = {"retries": UNHURRIED["retries"]}
    async with open_test_gateway(channel, outbox=opened(path, *keys), **settings) as gateway:
        with Operator(path, keys) as operator:
            rows = operator.failed(Which(), 100)
            assert ["zebra-striped said no"] * 3 * len(names) == [row["raw"] for row in rows]
            asked = [operator.ask("retry", virtual_wall(), envelope_id=r["id"]) for r in rows[::-1]]
            assert {"goes on"} == {await answer_of(operator, number) for number in asked}
        await trio.sleep(300)
        assert (0, True) == (gateway.statistics().stored, gateway.statistics().conserved)
        for name in names:
            assert [f"Zebra-striped {t}" for t in ("hangs", "waits 1", "waits 2")] == channel.texts(
                f"room {name}"
            )
            assert [f"Zebra-striped refused {n}" for n in range(3)] == channel.texts(f"bad {name}")
            for n in range(3):
                text = f"Zebra-striped arrives {n}"
                again = await gateway.send(
                    "bot", f"done {name}", text, key=f"zebra-striped {text} {name}"
                )
                assert again.replayed
                place = {"instance_id": "bot", "external_room_id": f"done {name}"}
                message = KeyRef(**place, key=f"zebra-striped {text} {name}")
                edited = await gateway.submit(
                    Edit(**place, target=message, text="Zebra-striped again")
                )
                assert 2 == (await edited.receipt()).ref.revision


async def test_a_running_gateway_seals_anew_between_its_traffic(path, small_steps, autojump_clock):
    channel = FakeChannel(script=script)
    async with open_test_gateway(channel, outbox=opened(path), **UNHURRIED) as gateway:
        await traffic(gateway, "plain")
    assert words_in(on_disk(path), *WORDS) == list(WORDS)
    async with open_test_gateway(channel, outbox=opened(path, FIRST), **UNHURRIED) as gateway:
        await traffic(gateway, "first")
    assert {"", Key(FIRST).id} == sealed_with(path)
    keys = SECOND, FIRST
    async with open_test_gateway(channel, outbox=opened(path, *keys), **UNHURRIED) as gateway:
        with Operator(path, keys) as operator:
            number = operator.ask("reseal", virtual_wall())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(traffic, gateway, "second")
                answer = await answer_of(operator, number)
        assert f"rows sealed anew with key {Key(SECOND).id}" in answer
        assert "cannot be opened" not in answer
        assert ({Key(SECOND).id}, {Key(SECOND).id}) == (sealed_with(path), known(path))
        assert [] == words_in(on_disk(path), *WORDS)
    await finish(path, "plain", "first", "second", keys=[SECOND])
    assert [] == words_in(on_disk(path), *WORDS)


async def test_it_ends_while_more_is_sent_between_any_two_steps(path, small_steps, autojump_clock):
    async with open_test_gateway(FakeChannel(), outbox=opened(path, FIRST)) as gateway:
        await gateway.send("bot", "room", "Zebra-striped")

    async def send_on(gateway):
        while True:
            await gateway.send("bot", "room", "more")
            await trio.sleep(0.01)

    keys = SECOND, FIRST
    async with open_test_gateway(FakeChannel(), outbox=opened(path, *keys)) as gateway:
        with Operator(path, keys) as operator, trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_on, gateway)
                await answer_of(operator, operator.ask("reseal", virtual_wall()))
                nursery.cancel_scope.cancel()
    assert {Key(SECOND).id} == sealed_with(path) == known(path)


async def test_without_a_gateway_it_is_done_at_once(path, small_steps, autojump_clock):
    channel = FakeChannel(script=script)
    async with open_test_gateway(channel, outbox=opened(path), **UNHURRIED) as gateway:
        await traffic(gateway, "plain")
    reseal_alone(path, [FIRST])
    assert ({Key(FIRST).id}, {Key(FIRST).id}) == (sealed_with(path), known(path))
    assert [] == words_in(on_disk(path), *WORDS)
    async with open_test_gateway(channel, outbox=opened(path, FIRST), **UNHURRIED) as gateway:
        await traffic(gateway, "first")
        with pytest.raises(OutboxError, match="is open in this process already"):
            reseal_alone(path, [SECOND, FIRST])
    told = reseal_alone(path, [SECOND, FIRST])
    assert f"rows sealed anew with key {Key(SECOND).id}" in told
    assert f"0 rows sealed anew with key {Key(SECOND).id}" == reseal_alone(path, [SECOND])
    assert ({Key(SECOND).id}, {Key(SECOND).id}) == (sealed_with(path), known(path))
    await finish(path, "plain", "first", keys=[SECOND])


async def test_alone_it_writes_the_file_anew(path, autojump_clock):
    """Else copies of rows that a page's making up has moved stay in its unused part."""
    make, chance, entries = Entries(), Random(3), []
    async with opened(path) as outbox:
        for number in range(1_200):
            text = "Zebra-striped " * chance.choice([1, 5, 30, 400])
            entries.append(make(text, key=f"Zebra-striped{number}", room=f"r{number % 50}"))
            await outbox.append(entries[-1], lambda: None)
        for entry in entries:
            how = chance.choice((Disposition.DELIVERED, Disposition.REJECTED, None))
            if how is not None:
                outbox.finished(receipt_of(entry, how))
    reseal_alone(path, [FIRST])
    assert [] == words_in(on_disk(path), *WORDS)
    database = apsw.Connection(str(path))
    assert 2 == database.execute("PRAGMA auto_vacuum").get
    assert "ok" == database.execute("PRAGMA integrity_check").get
    database.close()


async def test_who_reads_the_log_is_told_that_it_has_what_was_there(
    path, monkeypatch, autojump_clock
):
    monkeypatch.setattr("gateway_contrib.sqlite.files.opening.BUSY", 200)  # the reader stays
    async with open_test_gateway(FakeChannel(), outbox=opened(path)) as gateway:
        await gateway.send("bot", "room", "Zebra-striped", key="zebra-striped")
    reader = apsw.Connection(str(path))
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM history").fetchall()
    with pytest.raises(OutboxError, match=r"rows sealed anew .* but another program reads .*-wal"):
        reseal_alone(path, [FIRST])
    reader.close()
    assert "0 rows" in reseal_alone(path, [FIRST])
    assert [] == words_in(on_disk(path), *WORDS)


async def test_a_key_that_is_used_again_meanwhile_is_the_newer_ones(path, autojump_clock):
    """The plain key is of an end that its window has forgotten; the hashed one stands."""
    async with open_test_gateway(FakeChannel(), outbox=opened(path)) as gateway:
        old = await gateway.send("bot", "room", "Zebra-striped old", key="zebra")
    database = apsw.Connection(str(path))
    database.execute("UPDATE keys SET ended_at = ended_at - 100000")
    database.close()
    async with open_test_gateway(FakeChannel(), outbox=opened(path, FIRST)) as gateway:
        new = await gateway.send("bot", "room", "Zebra-striped new", key="zebra")
        assert not new.replayed
    for _ in range(2):
        reseal_alone(path, [FIRST])
        async with open_test_gateway(FakeChannel(), outbox=opened(path, FIRST)) as gateway:
            again = await gateway.send("bot", "room", "Zebra-striped new", key="zebra")
            assert (True, new.envelope_id) == (again.replayed, again.envelope_id)
            assert (await gateway.status(old.envelope_id)).receipt.delivered


async def test_a_damaged_row_stays_and_is_told(path, autojump_clock):
    async with open_test_gateway(
        FakeChannel(script=script), outbox=opened(path, FIRST), **UNHURRIED
    ) as gateway:
        await traffic(gateway, "first")
    database = apsw.Connection(str(path))
    database.execute("""UPDATE history SET receipt = substr(receipt, 1, 20) || 'AAAA' ||
        substr(receipt, 25) WHERE seq = (SELECT min(seq) FROM history)""")
    database.close()
    assert "; 1 cannot be opened and stay" in reseal_alone(path, [SECOND, FIRST])
    assert {Key(FIRST).id, Key(SECOND).id} == sealed_with(path)
    with Operator(path, [SECOND]) as operator:
        assert 8 == len((await operator.endings(after=0)).ended)
        assert 3 == len(operator.waiting(Which(), 9))


async def test_a_step_that_fails_begins_again(path, small_steps, monkeypatch, autojump_clock):
    """What it had sealed is rolled back with it."""
    async with open_test_gateway(
        FakeChannel(script=script), outbox=opened(path, FIRST), **UNHURRIED
    ) as gateway:
        await traffic(gateway, "first")
    count, real = 0, anew.Resealing._row

    def failing(self, *words):
        nonlocal count
        count += 1
        if count in (4, 11):
            raise apsw.FullError("disk full")
        real(self, *words)

    monkeypatch.setattr(anew.Resealing, "_row", failing)
    keys = SECOND, FIRST
    channel = FakeChannel(script=script)
    async with open_test_gateway(channel, outbox=opened(path, *keys), **UNHURRIED):
        with Operator(path, keys) as operator:
            await answer_of(operator, operator.ask("reseal", virtual_wall()))
    assert 11 < count
    assert {Key(SECOND).id} == sealed_with(path)


LIFE = """
import os, sys
import trio
from trio.testing import MockClock
from gateway_contrib.sqlite import SqliteOutbox
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_contrib.sqlite.sealing import anew
from gateway_contrib.sqlite import SqliteSettings
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall
from sealed import FIRST, SECOND

path, left = sys.argv[1], int(sys.argv[2])
anew.STEP, real = 2, anew.Resealing._row

def dying(self, *words):
    global left
    left -= 1
    if not left:
        os._exit(9)
    real(self, *words)

anew.Resealing._row = dying

async def hang(_):
    await trio.sleep_forever()

async def life():
    inline = SqliteSettings(in_thread=False)
    outbox = SqliteOutbox(path, inline, wall_clock=virtual_wall, keys=[SECOND, FIRST])
    channel = FakeChannel(script=hang)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0):
        with Operator(outbox.path, [SECOND, FIRST]) as operator:
            number = operator.ask("reseal", 0.0) if sys.argv[3] == "ask" else 1
            while operator.answer(number) is None:
                await trio.sleep(0.01)

trio.run(life, clock=MockClock(autojump_threshold=0))
"""


@pytest.mark.parametrize("after", [4, 16, 1, 9][: amount("kills while a file is resealed")])
def test_a_kill_in_the_middle_leaves_the_rest_to_the_next(path, after):
    async def before():
        async with open_test_gateway(
            FakeChannel(script=script), outbox=opened(path, FIRST), **UNHURRIED
        ) as gateway:
            await traffic(gateway, "first")

    def life(left, how):
        source = os.pathsep.join(word for word in sys.path if word)
        command = [sys.executable, "-c", LIFE, str(path), str(left), how]
        environment = os.environ | {"PYTHONPATH": source}
        return subprocess.run(command, env=environment, timeout=300, check=False).returncode

    trio.run(before, clock=MockClock(autojump_threshold=0))
    assert 9 == life(after, "ask")
    assert {Key(FIRST).id, Key(SECOND).id} == known(path)
    with Operator(path, [FIRST, SECOND]) as operator:
        assert 3 == len(operator.waiting(Which(), 9))
        assert 9 == len(trio.run(partial(operator.endings, after=0)).ended)
    assert 0 == life(0, "wait")
    assert ({Key(SECOND).id}, {Key(SECOND).id}) == (sealed_with(path), known(path))
    database = apsw.Connection(str(path))
    assert 3 == database.execute("SELECT count(*) FROM envelopes").get
    database.close()


# -- the command


@pytest.fixture
def config(tmp_path, path):
    """Names the keys of the files `keys`, in their order."""

    def write(*keys):
        for number, key in enumerate(keys):
            (tmp_path / f"key{number}").write_text(key.reveal())
        names = ", ".join(f'{{ file = "key{number}" }}' for number in range(len(keys)))
        file = tmp_path / "gateway.toml"
        file.write_text(f'[outbox]\nurl = "sqlite://{path}"\nkeys = [{names}]\n')
        return str(file)

    return write


async def test_the_command_asks_the_gateway_or_does_it_itself(path, config, often, gateway_command):
    async with open_test_gateway(
        FakeChannel(script=script), outbox=opened(path, FIRST), **UNHURRIED
    ) as gateway:
        await traffic(gateway, "first")
        code, _, err = await gateway_command("reseal", "--config", config(SECOND, FIRST))
        told = f"does not seal with key {Key(SECOND).id} yet: restart it with these keys"
        assert (2, True) == (code, told in err)
    async with open_test_gateway(
        FakeChannel(script=script), outbox=opened(path, SECOND, FIRST), **UNHURRIED
    ) as gateway:
        code, out, err = await gateway_command("reseal", "--config", config(SECOND, FIRST))
        assert (0, "", True) == (code, err, "rows sealed anew" in out)
        assert {Key(SECOND).id} == sealed_with(path)
    code, out, _ = await gateway_command("reseal", "--config", config(SECOND))
    assert (0, f"0 rows sealed anew with key {Key(SECOND).id}\n") == (code, out)
    code, _, err = await gateway_command("reseal", "--config", config())
    assert (2, True) == (code, "outbox.keys names no key" in err)


async def test_operators_look_and_ask_with_the_keys(path, config, often, gateway_command):
    option = ("--config", config(FIRST))

    async def asked(*words):
        code, out, err = await gateway_command(*words, *option)
        assert (0, "") == (code, err)
        return out

    async with open_test_gateway(
        FakeChannel(script=script), outbox=opened(path, FIRST), **UNHURRIED
    ) as gateway:
        await traffic(gateway, "first")
        rows = json.loads(await asked("list", "--json"))
        assert [("zebra-striped said no", "normal", len("Zebra-striped refused 0"))] * 3 == [
            (row["raw"], row["class"], row["length"]) for row in rows
        ]
        waiting = json.loads(await asked("list", "--waiting", "--json"))
        assert ["attempt", "queue", "queue"] == [row["cause"] for row in waiting]
        assert [len(f"Zebra-striped {text}") for text in ("hangs", "waits 1", "waits 2")] == [
            row["length"] for row in waiting
        ]
        shown = json.loads(await asked("show", rows[0]["id"]))
        assert "Zebra-striped refused 2" == shown["envelope"]["text"]
        assert "zebra-striped said no" == shown["receipt"]["verdict"]["raw"]
        lines = (await asked("endings", "--json")).splitlines()
        assert ["delivered", "delivered", "rejected"] * 3 == [
            json.loads(line)["receipt"]["disposition"] for line in lines
        ]
        assert "goes on" in await asked("retry", rows[2]["id"])
        assert "discarded" in await asked("discard", rows[1]["id"])
        assert "ended" in await asked("discard", waiting[2]["id"])
        where = ("--instance", "bot", "--room", "room first")
        assert "rows erased" in await asked("erase", *where)
        assert "unfinished: none" in await asked("stats")
        await asked("backup", str(path.with_name("copy")))
        assert [] == words_in(path.with_name("copy").read_bytes(), *WORDS)
    for keys, words in (((), "add it to outbox.keys"), ((SECOND,), "outbox.keys lacks")):
        for name in ("list", "stats", "endings"):
            code, _, err = await gateway_command(name, "--config", config(*keys))
            assert (2, True) == (code, words in err)


def test_a_key_that_is_none_is_said_by_its_place(path, config, tmp_path, capsys):
    file = config(FIRST, SECOND)
    (tmp_path / "key1").write_text("password")
    assert 2 == main(["outbox", "list", "--config", file])
    assert "outbox.keys.1 must be 32 random bytes in base64" in capsys.readouterr().err
    (tmp_path / "key1").unlink()
    assert 2 == main(["outbox", "list", "--config", file])
    assert "outbox.keys.1: file 'key1'" in capsys.readouterr().err


async def test_the_command_fails_where_something_cannot_be_opened(path, config, gateway_command):
    """Else a script would take the old key out next."""
    async with open_test_gateway(
        FakeChannel(script=script), outbox=opened(path, FIRST), **UNHURRIED
    ) as gateway:
        await traffic(gateway, "first")
    database = apsw.Connection(str(path))
    database.execute("""UPDATE history SET receipt = substr(receipt, 1, 20) || 'AAAA' ||
        substr(receipt, 25) WHERE seq = (SELECT min(seq) FROM history)""")
    database.close()
    code, _, err = await gateway_command("reseal", "--config", config(SECOND, FIRST))
    assert (1, True) == (code, "; 1 cannot be opened and stay" in err)
