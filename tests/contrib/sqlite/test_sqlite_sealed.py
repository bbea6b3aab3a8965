"""With keys, nobody who has the bytes of the file, its log or a copy reads what was written."""

from __future__ import annotations

import base64

import apsw
import pytest
import trio
from sealed import FIRST, SECOND, THIRD, key, on_disk, words_in

from gateway_contrib.durable.operators.looking import Which
from gateway_contrib.durable.sealing import ciphers
from gateway_contrib.durable.sealing.ciphers import Key
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.files.backup import back_up
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_core import (
    Disposition,
    Edit,
    KeyRef,
    OutboxError,
    OutboxSettings,
    Secret,
    Send,
    Verdict,
    parse_config,
)
from gateway_core.authors import Answer, ConfigError
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall
from gateway_core.testing.outbox_contract import Entries, receipt_of

TEXT, EDITED, KEY, RAW, MENTION = (
    "Zebra crossing text", "Zebra edited anew", "zebra-key-4711", "zebra said no", "U0ZEBRA17",
)  # fmt: skip
RESULT, OPTION = "zebra-result-99", "zebra-option-88"
WORDS = (TEXT, EDITED, KEY, RAW, MENTION, RESULT, OPTION)
REFUSED = Verdict(error_class="non_retryable", reason="unclassified", raw=RAW)
UNHURRIED = {"drain_timeout": 0.0, "attempt_timeout": 3600.0}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


def opened(path, *keys):
    return SqliteOutbox(
        path, SqliteSettings(in_thread=False), wall_clock=virtual_wall, keys=keys or (FIRST,)
    )


async def script(attempt):
    """As its text says: hangs, is refused, is put off, or arrives."""
    text = str(attempt.payload)
    if "hangs" in text:
        await trio.sleep_forever()
    if "refused" in text:
        raise Failure(REFUSED)
    if "put off" in text:
        raise Failure(Verdict(error_class="retryable", reason="platform_error", raw=RAW))
    if attempt.operation == "call:method":
        return Answer(result={"said": RESULT})
    return None


def keyed(text, room, **fields):
    fields = {"key": f"{KEY} {text}"} | fields
    return Send(instance_id="bot", external_room_id=room, text=f"{TEXT} {text} {MENTION}", **fields)


async def all_kinds(gateway):
    """What arrives, is edited, is called, fails, is tried again, hangs, waits and is scheduled."""
    arrived = await (await gateway.submit(keyed("arrives", "done"))).receipt()
    await gateway.edit(arrived.ref, f"{EDITED} {MENTION}")
    await gateway.call("bot", "done", "method", {"option": OPTION})
    await gateway.submit(keyed("refused", "failed"))
    await gateway.submit(keyed("put off", "again"))
    await gateway.submit(keyed("hangs", "waits"))
    for number in range(3):
        await gateway.submit(keyed(f"waits {number}", "waits"))
    message = KeyRef(instance_id="bot", external_room_id="waits", key=f"{KEY} waits 0")
    change = {"instance_id": "bot", "external_room_id": "waits", "target": message}
    await gateway.submit(Edit(text=f"{EDITED} {MENTION}", **change))
    await gateway.submit(keyed("later", "later", not_before=virtual_wall() + 3000))
    await trio.sleep(3)
    return arrived


async def test_no_word_is_in_the_bytes_while_it_waits_after_it_ended_and_in_a_copy(
    path, autojump_clock
):
    async with open_test_gateway(FakeChannel(script=script), outbox=opened(path), **UNHURRIED) as g:
        await all_kinds(g)
        assert [] == words_in(on_disk(path), *WORDS)
        with Operator(path, [FIRST]) as operator:
            number = operator.ask("submit", virtual_wall(), envelope=keyed("asked", "asked"))
            assert [] == words_in(on_disk(path), *WORDS)
            await trio.sleep(3)
            assert "accepted" in operator.answer(number)
        assert {"failed", "waits", "later", "again"} <= set(rooms_of(path))
        back_up(path, path.with_name("copy"))
        assert [] == words_in(path.with_name("copy").read_bytes(), *WORDS)
    assert [] == words_in(on_disk(path), *WORDS)


def rooms_of(path):
    with Operator(path, [FIRST]) as operator:
        rows = operator.waiting(Which(), 100) + operator.failed(Which(), 100)
    return [row["room"] for row in rows]


async def test_without_keys_these_bytes_have_them(path, autojump_clock):
    """So the search finds what is there to be found."""
    outbox = SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)
    async with open_test_gateway(FakeChannel(script=script), outbox=outbox, **UNHURRIED) as gateway:
        await all_kinds(gateway)
        assert list(WORDS) == words_in(on_disk(path), *WORDS)
    encoded = base64.b64encode(b"..." + TEXT.encode())
    assert [TEXT] == words_in(encoded, TEXT)


@pytest.mark.usefixtures("seldom")
async def test_what_is_sealed_goes_on_in_the_next_process_run(path, autojump_clock):
    async with open_test_gateway(FakeChannel(script=script), outbox=opened(path), **UNHURRIED) as g:
        arrived = await all_kinds(g)
        (failed,) = [r for r in Operator(path, [FIRST]).failed(Which(), 9) if r["room"] == "failed"]
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=opened(path)) as gateway:
        assert (await gateway.send("bot", "done", "x", key=f"{KEY} other")).delivered
        again = await gateway.submit(keyed("arrives", "done"))
        assert (await again.receipt()).replayed
        assert again.id == arrived.envelope_id
        status = await gateway.status(failed["id"])
        assert (RAW, "rejected") == (status.receipt.verdict.raw, status.receipt.disposition)
        await trio.sleep(4000)
        assert (0, True) == (gateway.statistics().stored, gateway.statistics().conserved)
    texts = channel.texts("waits")
    assert [f"{TEXT} hangs {MENTION}", f"{EDITED} {MENTION}"] == texts[:2]
    assert [f"{TEXT} waits {n} {MENTION}" for n in (1, 2)] == texts[2:]
    assert [f"{TEXT} later {MENTION}"] == channel.texts("later")


async def test_each_value_is_for_its_own_place(path, autojump_clock):
    """Rows whose contents were exchanged cannot be opened, and are told; others go on."""
    make, told = Entries(), []
    entries = [make(f"number {n}") for n in range(3)]
    async with opened(path) as outbox:
        for entry in entries:
            await outbox.append(entry, lambda: None)
    database = apsw.Connection(str(path))
    database.execute("""UPDATE envelopes SET entry = (SELECT entry FROM envelopes o
        WHERE o.seq = (SELECT max(seq) FROM envelopes)) WHERE seq = (SELECT min(seq)
        FROM envelopes)""")
    database.close()
    async with opened(path) as outbox:
        outbox._reader._unreadable = lambda name, error: told.append((name, str(error)))
        found = await outbox.page("bot")
    assert [entry.id for entry in entries[1:]] == [stored.entry.id for stored in found]
    ((name, text),) = told
    assert (entries[0].id, True) == (name, "cannot be opened with its key" in text)


@pytest.mark.parametrize("at", [0, 1, 5, 9, 12, 30, 60, -1])
async def test_a_bit_that_flipped_is_its_rows_trouble(path, at, autojump_clock):
    make, told = Entries(), []
    waits, ended, other = make("waits"), make("ended", key="k"), make("other")
    async with opened(path) as outbox:
        for entry in (waits, ended, other):
            await outbox.append(entry, lambda: None)
        outbox.finished(receipt_of(ended, Disposition.REJECTED, ended_at=virtual_wall()))
        await outbox.flush()
    for table, column, entry in (("envelopes", "entry", waits), ("history", "receipt", ended)):
        flip(path, table, column, entry.id, at)
    async with opened(path) as outbox:
        outbox._reader._unreadable = lambda name, _: told.append(name)
        assert [other] == [stored.entry for stored in await outbox.page("bot")]
        with pytest.raises(OutboxError, match=f"how envelope {ended.id} ended cannot be read"):
            await outbox.find(ended.id)
        assert [] == list((await outbox.endings(after=0)).ended)
        assert await outbox.attempts(since=0.0) == []
    assert {waits.id, ended.id} == set(told)
    with Operator(path, [FIRST]) as operator:
        rows = operator.waiting(Which(), 9)
        assert [None, len("other")] == [row["length"] for row in rows]
        assert "" == operator.failed(Which(), 9)[0]["raw"]


def flip(path, table, column, name, at):
    database = apsw.Connection(str(path))
    sql = f"SELECT CAST({column} AS BLOB) FROM {table} WHERE id = ?"  # noqa: S608 - constants
    content = bytearray(database.execute(sql, (name,)).get)
    content[at] ^= 1
    changed = bytes(content).decode("latin-1")
    sql = f"UPDATE {table} SET {column} = ? WHERE id = ?"  # noqa: S608 - constants
    database.execute(sql, (changed, name))
    database.close()


# -- keys that are not there, or are none


async def test_a_key_that_is_missing_is_told_at_the_opening(path):
    async with opened(path):
        pass
    name = Key(FIRST).id
    told = f"its texts are sealed with key {name}"
    for keys, words in (((), "add it to outbox.keys"), ((SECOND, THIRD), "outbox.keys lacks")):
        outbox = SqliteOutbox(path, keys=keys)
        with pytest.raises(OutboxError, match=f"{told}.*{words}"):
            async with outbox:
                pass
        with pytest.raises(OutboxError, match=f"{told}.*{words}"):
            Operator(path, keys)
    async with opened(path, SECOND, FIRST):
        pass
    with pytest.raises(OutboxError, match=f"{told}.*reseal"):  # it may have sealed something still
        Operator(path, [SECOND])
    async with opened(path, THIRD, FIRST, SECOND):
        pass
    with Operator(path, [SECOND, FIRST, THIRD]) as operator:
        assert operator.sealing == operator.key == Key(SECOND).id


async def test_the_names_of_keys_tell_nothing_of_them(path):
    async with opened(path):
        pass
    content = on_disk(path)
    made_of = base64.b64decode(FIRST.reveal())
    assert Key(FIRST).id.encode() in content
    assert FIRST.reveal().encode() not in content
    assert made_of not in content
    assert len({Key(key(number)).id for number in range(100)}) == 100


async def test_what_the_file_says_of_its_keys_is_checked(path):
    async with opened(path):
        pass
    database = apsw.Connection(str(path))
    database.execute("UPDATE keyring SET secret = substr(secret, 5)")
    database.close()
    with pytest.raises(OutboxError, match=r"damaged: its entry for key .* was changed"):
        async with opened(path):
            pass


async def test_who_looked_before_there_were_keys_is_told_so(path, autojump_clock):
    """And not that each row is damaged."""
    plain = SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)
    async with plain:
        pass
    with Operator(path) as before:
        async with opened(path) as outbox:
            entry = Entries()("text")
            await outbox.append(entry, lambda: None)
            outbox.finished(receipt_of(entry))
            await outbox.flush()
            with pytest.raises(OutboxError, match=r"add that key to outbox\.keys, and begin again"):
                await before.endings(after=0)
            with pytest.raises(OutboxError, match="sealed with key"):
                before.ask("submit", 0.0, envelope=keyed("x", "x"))
            assert 0 == before.stats()["asked"]


SHORT = base64.b64encode(b"short").decode()


@pytest.mark.parametrize("text", ["password", SHORT, FIRST.reveal()[:-1], FIRST.reveal() + "=="])
def test_what_is_no_key_is_a_mistake_of_its_place_and_is_not_shown(text):
    table = {"url": "sqlite:///outbox.db", "keys": [FIRST.reveal(), text]}
    with pytest.raises(ConfigError) as caught:
        parse_config({"outbox": table})
    ((place, words),) = [(p.place, p.text) for p in caught.value.problems]
    assert ("outbox.keys.1", True) == (place, "must be 32 random bytes in base64" in words)
    assert text not in words


def test_a_key_twice_is_a_mistake():
    table = {"url": "sqlite:///outbox.db", "keys": [FIRST.reveal()] * 2}
    with pytest.raises(ConfigError, match=r"outbox.keys.1: is the same as an earlier key"):
        parse_config({"outbox": table})


def test_keys_come_as_secrets_do(tmp_path):
    (tmp_path / "key").write_text(f"{SECOND.reveal()}\n")
    table = {"url": f"sqlite://{tmp_path}/outbox.db", "keys": [{"env": "KEY"}, {"file": "key"}]}
    config = parse_config({"outbox": table}, environ={"KEY": FIRST.reveal()}, folder=tmp_path)
    assert OutboxSettings(url=table["url"], keys=(FIRST, SECOND)) == config.outbox
    assert FIRST.reveal() not in repr(config)


def test_a_library_without_the_cipher_is_said(monkeypatch):
    def lacking(_):
        raise ciphers.UnsupportedAlgorithm("no")

    monkeypatch.setattr(ciphers, "AESGCMSIV", lacking)
    with pytest.raises(ValueError, match=r"keys.0 cannot be used: .* OpenSSL 3.2 or later"):
        SqliteOutbox("outbox.db", keys=[FIRST])


def test_a_value_is_sealed_otherwise_each_time():
    sealed = {Key(FIRST).seal(b"text", b"place") for _ in range(1000)}
    assert 1000 == len(sealed)
    assert {b"text"} == {Key(FIRST).open(one, b"place") for one in sealed}


def test_a_secret_text_is_no_key():
    with pytest.raises(ValueError, match=r"keys.0 must be 32 random bytes"):
        SqliteOutbox("outbox.db", keys=[Secret("password")])
