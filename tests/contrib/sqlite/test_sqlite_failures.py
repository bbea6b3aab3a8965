"""When the disk or the file fails: said before acceptance, nothing accepted lost; it goes on."""

import inspect
import resource
from contextlib import contextmanager
from random import Random

import apsw
import pytest
import trio
from structlog.testing import capture_logs

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings, failing
from gateway_core import (
    CircuitSettings,
    Disposition,
    OutboxError,
    Part,
    PartReceipt,
    Receipt,
    RetrySettings,
    Send,
    Verdict,
)
from gateway_core.authors import BucketReport
from gateway_core.contract.ids import Ids
from gateway_core.outboxes import Entry, Outbox, Request, Standing, StepRecord, StepShape
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


def kept_at(path, **settings):
    """Its time is that of the gateways above it: history is not too old."""
    return SqliteOutbox(path, SqliteSettings(**settings), wall_clock=virtual_wall)


@contextmanager
def full(outbox):
    """No page more than there are."""
    database = outbox._writer._db
    pages = database.execute("PRAGMA page_count").get
    database.execute(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        database.execute("PRAGMA max_page_count = 1000000")


@contextmanager
def read_only(outbox):
    outbox._writer._db.execute("PRAGMA query_only = 1")
    try:
        yield
    finally:
        outbox._writer._db.execute("PRAGMA query_only = 0")


@contextmanager
def locked(outbox):
    """Another connection holds a transaction for longer than a commit waits."""
    outbox._writer._db.set_busy_timeout(50)
    other = apsw.Connection(str(outbox.path))
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


@contextmanager
def failing_writes(outbox):
    """The system refuses to write beyond what the log has now."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (full, "the disk is full"),
        (read_only, "read-only"),
        (locked, "locked by another connection"),
        (failing_writes, "larger than this process may write"),
    ],
)
async def test_a_refusal_is_clear_and_it_goes_on_when_it_can(path, trouble, words):
    channel, outbox = FakeChannel(), kept_at(path)
    big = Send(instance_id="bot", external_room_id="room", text="x" * 200_000)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        first = Send(instance_id="bot", external_room_id="room", text="first")
        accepted = await gateway.submit(first)
        assert (await accepted.receipt()).delivered
        await outbox.flush()
        with trouble(outbox):
            for _ in range(2):
                with pytest.raises(OutboxError, match=words):
                    await gateway.submit(big)
        assert 0 == gateway.statistics().unfinished
        with trio.fail_after(20):
            receipt = await gateway.send("bot", "room", "again")
        assert receipt.delivered
    assert ["first", "again"] == channel.texts("room")
    async with open_test_gateway(channel, outbox=kept_at(path)) as gateway:
        assert 0 == gateway.statistics().stored
        assert (await gateway.status(accepted.id)).receipt.delivered
        assert (await gateway.status(receipt.envelope_id)).receipt.delivered


def test_no_words_are_better_than_sqlites_for_none():
    assert "the disk is full; make room on it" == failing.words(apsw.FullError("not an error"))
    assert "the disk is full; make room on it (x)" == failing.words(apsw.FullError("x"))


async def test_it_is_said_that_it_works_again(path):
    """Once, with the first write that succeeds: an alert that the failures raised ends."""
    with capture_logs() as logs:
        async with open_test_gateway(FakeChannel(), outbox=kept_at(path)) as gateway:
            await gateway.send("bot", "room", "first")
            with read_only(gateway._parts.outbox):
                for _ in range(3):
                    with pytest.raises(OutboxError):
                        await gateway.send("bot", "room", "refused")
                await trio.sleep(0.1)
                assert "gateway.outbox_works" not in {log["event"] for log in logs}
            for text in ("second", "third"):
                await gateway.send("bot", "room", text)
    told = [log for log in logs if log["event"].startswith("gateway.outbox")]
    assert "gateway.outbox_failed" == told[0]["event"]
    assert ["gateway.outbox_works"] == [
        log["event"] for log in told if log["event"] != "gateway.outbox_failed"
    ]
    assert "info" == told[-1]["log_level"]
    assert 0.1 <= told[-1]["seconds"] < 20


async def test_results_in_flight_are_kept_and_recorded_when_it_works_again(path):
    """The answer comes while the disk is full: no attempt is repeated, nothing is forgotten."""
    release = trio.Event()

    async def held(attempt):
        await release.wait()

    channel, outbox = FakeChannel(script=held), kept_at(path)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        ticket = await gateway.submit(
            Send(instance_id="bot", external_room_id="room", text="x" * 9000)
        )
        while not channel.made:  # noqa: ASYNC110 - what is looked at has no event
            await trio.sleep(0.01)
        with read_only(outbox):
            release.set()
            assert (await ticket.receipt()).delivered
            await trio.sleep(0.3)
    async with open_test_gateway(channel, outbox=kept_at(path)) as gateway:
        assert 0 == gateway.statistics().stored
        assert (await gateway.status(ticket.id)).receipt.delivered
    assert 1 == len(channel.made)


def truncated(path):
    path.write_bytes(path.read_bytes()[: 4096 * 3 + 100])


def emptied(path):
    path.write_bytes(b"")


def garbled(path):
    path.write_bytes(b"not a database at all " * 1000)


def scrambled(path):
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 7):
        content[at] ^= 0x5A
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncated, emptied, garbled, scrambled])
async def test_a_damaged_file_is_refused_and_left_alone(path, damage):
    async with open_test_gateway(FakeChannel(), outbox=kept_at(path)) as gateway:
        for n in range(50):
            await gateway.send("bot", "room", "x" * 500, key=str(n))
    damage(path)
    before = path.read_bytes()
    with pytest.raises(OutboxError, match=r"damaged|malformed|not a database"):
        async with open_test_gateway(FakeChannel(), outbox=kept_at(path, integrity_check=True)):
            pass
    assert before == path.read_bytes()


async def test_damage_that_is_found_later_is_said_and_nothing_more_is_taken_in(path):
    """The pages of old envelopes are read when their turn comes: a thousand places further on."""
    channel = FakeChannel(script=hold)
    async with open_test_gateway(channel, outbox=kept_at(path), drain_timeout=0.0) as gateway:
        for n in range(600):
            text = f"{n} " + "x" * 500
            await gateway.submit(Send(instance_id="bot", external_room_id=f"room{n}", text=text))
    other = apsw.Connection(str(path))
    other.execute("VACUUM")  # no page keeps the bytes of rows that have gone elsewhere
    other.close()
    content = bytearray(path.read_bytes())
    at = content.index(b'"text":"550 ') // 4096 * 4096
    content[at : at + 4096] = b"\x5a" * 4096
    path.write_bytes(content)
    async with open_test_gateway(FakeChannel(), outbox=kept_at(path)) as gateway:
        with trio.fail_after(60), pytest.raises(OutboxError, match=r"takes no more.*damaged"):
            await submit_forever(gateway)
        assert gateway.statistics().stored > 0


async def submit_forever(gateway):
    while True:
        await gateway.submit(Send(instance_id="bot", external_room_id="room", text="new"))
        await trio.sleep(0.05)


async def test_a_file_that_lacks_a_table_is_damaged(path):
    async with SqliteOutbox(path):
        pass
    other = apsw.Connection(str(path))
    other.execute("DROP TABLE steps")
    other.close()
    with pytest.raises(OutboxError, match="damaged: it lacks steps"):
        async with SqliteOutbox(path):
            pass


async def test_a_disk_that_is_full_at_the_first_opening_leaves_nothing(path):
    """No empty file that the next opening would take for a damaged one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        with pytest.raises(OutboxError, match="cannot be opened"):
            async with SqliteOutbox(path):
                pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ["outbox.db.owner"] == [file.name for file in path.parent.iterdir()]
    async with SqliteOutbox(path):
        pass


async def test_what_a_killed_first_opening_left_is_made_anew(path):
    path.with_name("outbox.db.new").write_bytes(b"half a")
    async with SqliteOutbox(path):
        assert 0o600 == path.stat().st_mode & 0o777
    assert {"outbox.db", "outbox.db.owner"} == {file.name for file in path.parent.iterdir()}


async def test_another_programs_database_is_refused(path):
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    with pytest.raises(OutboxError, match="not an outbox of this gateway"):
        async with SqliteOutbox(path):
            pass


async def test_a_later_releases_file_is_refused_by_its_version(path):
    async with SqliteOutbox(path):
        pass
    other = apsw.Connection(str(path))
    other.execute("PRAGMA user_version = 99")
    other.execute("UPDATE format SET oldest = 98")
    other.close()
    with pytest.raises(OutboxError, match="version 99, which needs a release that knows"):
        async with SqliteOutbox(path):
            pass


async def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(OutboxError, match=r"cannot be opened.*No such file or directory"):
        async with SqliteOutbox(tmp_path / "nowhere" / "outbox.db"):
            pass


async def hold(attempt):
    await trio.sleep(1000)


HASTY = {
    "retries": RetrySettings(quarantine=0.05),
    "circuit": CircuitSettings(probe_base=0.05),
}
"""What was under way when a life ended is doubted, and tried again, in real time."""


@pytest.mark.parametrize(
    "content", ["{", "[1]", '[{"kind": "send"}, []]', "[{}, [[1]]]", b"[\xff\x80]"]
)
async def test_a_damaged_row_stays_where_it_is_and_the_others_go_on(path, content):
    """It is reported and counted; before and after it nothing is lost, whatever its room."""
    settings = {"drain_timeout": 0.0, "room_bound": 1, **HASTY}
    async with open_test_gateway(
        FakeChannel(script=hold), outbox=kept_at(path), **settings
    ) as gateway:
        for n in range(6):
            await gateway.submit(
                Send(instance_id="bot", external_room_id=f"room{n % 2}", text=str(n))
            )
    database = apsw.Connection(str(path))
    sql = """UPDATE envelopes SET entry = CAST(? AS TEXT)
        WHERE seq IN (SELECT seq FROM envelopes LIMIT 2 OFFSET 2)"""
    database.execute(sql, (content,))
    database.close()
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=kept_at(path), **settings) as gateway:
        with trio.fail_after(20):
            while gateway.statistics().stored > 2:  # noqa: ASYNC110 - what is looked at has no event
                await trio.sleep(0.01)
        assert (4, 2) == (len(channel.made), gateway.statistics().stored)
    assert (["0", "4"], ["1", "5"]) == (channel.texts("room0"), channel.texts("room1"))


async def test_of_a_message_whose_edits_are_damaged_what_was_sent_is_known(path, autojump_clock):
    async with open_test_gateway(FakeChannel(), outbox=kept_at(path, in_thread=False)) as gateway:
        sent = await gateway.send("bot", "room", "one")
        assert 1 == (await gateway.edit(sent.ref, "two")).ref.revision
    database = apsw.Connection(str(path))
    database.execute("UPDATE revisions SET ref = '{'")
    database.close()
    with capture_logs() as logs:
        async with kept_at(path, in_thread=False) as outbox:
            found = await outbox.find(sent.envelope_id)
    assert (sent.ref, None) == (found.receipt.ref, found.newest)
    told = [log["envelope"] for log in logs if log["event"] == "gateway.outbox_unreadable"]
    assert [sent.envelope_id] == told


async def test_a_locked_file_is_said_at_the_opening(path, monkeypatch):
    monkeypatch.setattr("gateway_contrib.sqlite.files.opening.BUSY", 50)
    async with kept_at(path):
        pass
    other = apsw.Connection(str(path))
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OutboxError, match="locked by another connection"):
        async with kept_at(path):
            pass
    other.execute("ROLLBACK")
    other.close()
    async with kept_at(path):
        pass


NEVER_RAISE = (
    "withdraw", "entered", "postponed", "replanned", "attempt_ended", "acknowledged", "finished",
    "moved", "closed", "answered", "release", "grew", "paused", "cancelled",
)  # fmt: skip
"""The methods of the interface that never wait and never raise."""


def test_the_plain_methods_of_the_interface_are_these():
    plain = {
        name
        for name, method in vars(Outbox).items()
        if inspect.isfunction(method)
        and not name.startswith("_")
        and not inspect.iscoroutinefunction(method)
    }
    assert {*NEVER_RAISE, "covers"} == plain  # which is asked, and told nothing


IDS = Ids(Random("sqlite"))


def entry_of():
    envelope = Send(instance_id="bot", external_room_id="room", text="x")
    parts = (Part(payload={"text": "x"}),)
    name = IDS.next(1_700_000_000.0)
    return Entry(id=name, envelope=envelope, plan=parts, accepted_at=1.0, deadline=9.0)


def odd_results():
    cycle = []
    cycle.append(cycle)
    nested = "x"
    for _ in range(5000):
        nested = [nested]
    return [object(), {None: object()}, cycle, nested, 10**6000, {"\ud800": "\ud800"}]


@pytest.mark.parametrize("number", range(len(odd_results())))
async def test_an_end_is_stored_whatever_its_result_is(path, number):
    """Without the result rather than not at all: the next run would send it again."""
    async with kept_at(path) as outbox:
        entry = entry_of()
        await outbox.append(entry, lambda: None)
        odd = Verdict(
            error_class="retryable",
            reason="rate_limited",
            retry_after=10**400,
            buckets=(BucketReport(bucket="\ud800", limit=10**6000),),
            raw="\ud800",
        )
        receipt = Receipt(
            envelope_id=entry.id,
            instance_id="bot",
            external_room_id="room",
            disposition=Disposition.DELIVERED,
            accepted_at=1.0,
            ended_at=2.0,
            verdict=odd,
            parts=(PartReceipt(index=0, outcome="delivered", verdict=odd),),
            result=odd_results()[number],
        )
        outbox.finished(receipt)
        await outbox.flush()
        found = await outbox.find(entry.id)
        assert Disposition.DELIVERED is found.receipt.disposition
    async with kept_at(path) as outbox:
        assert {} == (await outbox.overview()).unfinished


class Word(str):
    __slots__ = ()


@pytest.mark.parametrize("odd", ["\ud800", Word("w")], ids=["lone surrogate", "another class"])
async def test_plain_methods_raise_for_no_text_that_a_platform_may_send(path, odd):
    """Nor is a batch written that no file takes: later ones wait for it."""
    async with kept_at(path) as outbox:
        entry = entry_of()
        await outbox.append(entry, lambda: None)
        record = StepRecord(serial=0, number=1, outcome="delivered", message_id=odd + "\x00")
        shape = StepShape(kind="edit", serial=0, message_id=odd, extra={"a": odd})
        told = {
            "withdraw": ("018bcfe5680000ffff000000000000",),
            "entered": (entry.id, 7),
            "postponed": (entry.id, 8.0, 9.0),
            "replanned": (entry.id, [shape]),
            "attempt_ended": (entry.id, record),
            "acknowledged": (entry.id, record),
            "moved": ("bot", "r" + odd, odd),
            "closed": ("bot", "call:" + odd, 9.0, 1.0),
            "answered": (Request(kind="discard", number=1), odd),
            "grew": (entry.id, odd, 1),
            "paused": ("no id", True),
            "cancelled": (entry.id,),
            "release": ("bot" + odd, 9.0, [Standing(names=(odd,))]),
        }
        assert {*NEVER_RAISE} - {"finished"} == set(told)
        for name, arguments in told.items():
            getattr(outbox, name)(*arguments)
            assert await outbox.find(entry.id) is not None
        await outbox.flush()
        await outbox.append(entry_of(), lambda: None)
