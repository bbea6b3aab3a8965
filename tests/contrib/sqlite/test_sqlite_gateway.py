"""The outbox in a file below a gateway: configured, owned by one, asked by operators."""

import sqlite3
from random import Random

import apsw
import attrs
import pytest
import trio
import trio.testing

from gateway_contrib.outboxes import path_of
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import (
    ConfigError,
    ErrorClass,
    GatewayConfig,
    Instance,
    KeyRef,
    Limit,
    OutboxError,
    Poll,
    Reason,
    Scope,
    Send,
    Verdict,
    open_gateway,
    parse_config,
)
from gateway_core.outboxes import Entry, position_of
from gateway_core.testing import Failure, FakeChannel, FakeSettings, open_test_gateway, virtual_wall


def send(text="hello", room="room", **fields):
    return Send(instance_id="bot", external_room_id=room, text=text, **fields)


def inline(path, **settings):
    """As virtual worlds have it: no thread, and the time is theirs."""
    settings = SqliteSettings(in_thread=False, **settings)
    return SqliteOutbox(path, settings, wall_clock=virtual_wall)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


def rows(path, sql, *bound):
    """What another process sees; never of a file that this process has open."""
    connection = sqlite3.connect(path)
    try:
        found = connection.execute(sql, bound).fetchall()
        connection.commit()
    finally:
        connection.close()
    return found


async def test_submit_gives_others_their_turn_whether_it_is_kept_or_joined(path, autojump_clock):
    """A caller in a loop stops nobody, even where each hands over what is there already."""
    async with open_test_gateway(FakeChannel(), outbox=inline(path)) as gateway:
        for _ in range(2):
            with trio.testing.assert_checkpoints():
                await gateway.submit(send(key="once"))
            with trio.testing.assert_checkpoints():
                await gateway.submit(send())


async def test_the_configuration_names_the_file(path):
    config = GatewayConfig(
        instances=[Instance("bot", "fake", FakeSettings())], outbox=f"sqlite://{path}"
    )
    channel = FakeChannel()
    async with open_gateway(config, plugins=[("fake", channel)], rng=Random(1)) as gateway:
        receipt = await gateway.send("bot", "room", "hello", key="k")
    assert receipt.delivered
    async with open_gateway(config, plugins=[("fake", channel)], rng=Random(2)) as gateway:
        assert (await gateway.status(receipt.envelope_id)).receipt == receipt
        key = KeyRef(instance_id="bot", external_room_id="room", key="k")
        assert (await gateway.status(key)).receipt == receipt
        assert await gateway.status("nonsense") is None


@pytest.mark.parametrize("slashes", ["///", "////"])
def test_a_path_begins_with_one_slash_in_messages(slashes):
    assert "/var/outbox.db" == str(path_of(f"sqlite:{slashes}var/outbox.db"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("other://x", "no plugin opens outboxes of scheme 'other'"),
        ("outbox.db", "'outbox.db' is not a URL, such as sqlite:///path/to/file"),
        ("host=h password=secret", "the value is not a URL, such as sqlite:///path/to/file"),
        ("sqlite://a:secret@h/x.db", r"'sqlite://\*\*\*@h/x.db': names no file"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:relative", "names no file"),
        ("sqlite:/relative.db", "names no file"),
        ("sqlite:///a#b.db", "'#' would end the path: write %23"),
        ("sqlite:///x?owner_wait=inf&refs_for=-1", "owner_wait must be a number at least 0 and at"),
        ("sqlite:///x?owner_wait=a&refs_for=-1", "owner_wait must .*; .*refs_for must be a numb"),
        ("sqlite:///x?colour=red", "colour is not an option"),
        ("sqlite:///x?owner_wait=soon", "owner_wait must be a number of seconds, not 'soon'"),
        (
            "sqlite:///x?integrity_check=maybe",
            "integrity_check must be true or false, not 'maybe'",
        ),
        ("sqlite:///x?synchronous=off", "synchronous"),
    ],
)
async def test_a_wrong_url_is_a_mistake_of_the_configuration(url, words):
    with pytest.raises(ConfigError, match=words):
        async with open_gateway(GatewayConfig(outbox=url)):
            pass
    with pytest.raises(ConfigError, match=words) as told:
        parse_config({"outbox": url})
    assert "secret" not in str(told.value)


async def test_a_second_owner_is_refused_and_told_who_has_it(path):
    async with SqliteOutbox(path):
        with pytest.raises(OutboxError, match="is open in this process already"):
            async with SqliteOutbox(path):
                pass


async def test_a_replacement_waits_for_the_old_owner(path):
    async with trio.open_nursery() as nursery:
        async with SqliteOutbox(path):
            entered = trio.Event()

            async def replace():
                async with SqliteOutbox(path, SqliteSettings(owner_wait=100.0)):
                    entered.set()

            nursery.start_soon(replace)
            await trio.sleep(0.25)
            assert not entered.is_set()
        await entered.wait()


async def test_what_has_no_place_in_memory_stays_in_the_file_and_comes_in_order(
    path, autojump_clock
):
    """Bounds of a few, hundreds accepted: memory holds the few, and nothing changes places."""
    channel = FakeChannel(latency=0.01)
    bounds = {"partition_bound": 8, "instance_bound": 8, "room_bound": 3, "partition_count": 1}
    async with open_test_gateway(
        channel, outbox=inline(path), outbox_capacity=300, drain_timeout=0.0, **bounds
    ) as gateway:
        for n in range(300):
            await gateway.submit(send(str(n // 10), room=f"room{n % 10}"))
            assert len(gateway._partitions[0].deliveries) <= 8
        statistics = gateway.statistics()
        assert (300, True) == (statistics.accepted, statistics.conserved)
        assert statistics.partitions[0].spilled > 200
        await trio.sleep(1)
    async with open_test_gateway(channel, outbox=inline(path), **bounds) as gateway:
        await trio.sleep(1)
        while gateway._pager.capacity.unfinished:
            assert len(gateway._partitions[0].deliveries) <= 8
            await trio.sleep(0.1)
    for n in range(10):
        texts = channel.texts(f"room{n}")
        assert [str(i) for i in range(30)] == list(dict.fromkeys(texts))
        assert sorted(texts, key=int) == texts


@pytest.mark.usefixtures("seldom")
async def test_a_scheduled_message_waits_in_the_file(path, autojump_clock):
    """Hours ahead it is no delivery; it goes out in its second, in the next life too."""
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=inline(path), drain_timeout=0.0) as gateway:
        await gateway.submit(send("soon", not_before=virtual_wall() + 3600, ttl=9e4))
        await gateway.submit(send("late", not_before=virtual_wall() + 7200, ttl=9e4))
        assert not any(part.deliveries for part in gateway._partitions)
        await trio.sleep(4000)
        assert [3600.0] == [pytest.approx(at, abs=0.1) for at in channel.times]
    async with open_test_gateway(channel, outbox=inline(path)) as gateway:
        await trio.sleep(4000)
    assert [3600.0, 7200.0] == [pytest.approx(at, abs=0.1) for at in channel.times]


@pytest.mark.usefixtures("seldom")
async def test_a_poll_that_a_later_run_sends_is_not_edited_away(path, autojump_clock):
    """The file says that its part is fixed; nor is it forgotten when an operator tries it again."""
    poll, channel = Poll("lunch?", ["yes", "no"]), FakeChannel(script=refuse)
    outbox = inline(path)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway:
        due = virtual_wall() + 3600
        await gateway.submit(send("who", poll=poll, key="later", not_before=due, ttl=9e4))
        refused = await gateway.send("bot", "room", "bad", poll=poll, key="again", raises=False)
        await outbox.flush()
        channel.script = None
        ask(outbox, "retry", seq=position_of(refused.envelope_id))
        await trio.sleep(5)
    async with open_test_gateway(channel, outbox=inline(path)) as gateway:
        await trio.sleep(4000)
        assert ["bad", "lunch?", "who", "lunch?"] == channel.texts("room")
        for key in ("later", "again"):
            named = KeyRef(instance_id="bot", external_room_id="room", key=key)
            edited = await gateway.edit(named, "new", raises=False)
            assert "unsupported" == edited.verdict.reason
    assert ["bad", "lunch?", "who", "lunch?"] == channel.texts("room")


async def test_what_waits_outside_expires_in_its_time(path, autojump_clock):
    channel = FakeChannel(latency=1000.0)
    async with open_test_gateway(
        channel, outbox=inline(path), room_bound=1, drain_timeout=0.0
    ) as gateway:
        await gateway.submit(send("first"))
        ticket = await gateway.submit(send("second", ttl=20.0))
        start = trio.current_time()
        receipt = await ticket.receipt()
    assert "expired" == receipt.disposition
    assert 20.0 == pytest.approx(trio.current_time() - start, abs=0.2)


async def refuse(attempt):
    if attempt.part.payload["text"] == "bad":
        raise Failure(
            Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.UNCLASSIFIED, raw="no")
        )


def ask(outbox, kind, *, seq=None, room="", instance="bot"):
    """As the command line does, on a connection of the same library."""
    outbox._writer._db.execute(
        "INSERT INTO requests (kind, seq, instance, room, asked_at) VALUES (?, ?, ?, ?, 0)",
        (kind, seq, instance, room),
    )
    outbox._desk._seen = None  # this connection's own writes do not count as another's


async def test_operators_try_again_what_failed(path, autojump_clock):
    channel, outbox = FakeChannel(script=refuse), inline(path)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        receipt = await gateway.send("bot", "room", "bad", raises=False)
        assert "rejected" == receipt.disposition
        await outbox.flush()
        channel.script = None
        ask(outbox, "retry", seq=position_of(receipt.envelope_id))
        await trio.sleep(5)
        again = (await gateway.status(receipt.envelope_id)).receipt
        assert again.delivered
        assert gateway.statistics().conserved
        answer = outbox._writer._db.execute("SELECT answer FROM requests").get
    assert ("goes on", ["bad"]) == (answer, channel.texts("room"))


async def test_operators_discard_what_has_not_started(path, autojump_clock):
    channel, outbox = FakeChannel(latency=100.0), inline(path)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway:
        await gateway.submit(send("first"))
        second = await gateway.submit(send("second"))
        ask(outbox, "discard", seq=position_of(second.id))
        await trio.sleep(5)
        assert "cancelled" == (await second.receipt()).disposition


async def test_operators_hear_of_what_was_delivered_meanwhile(path, autojump_clock):
    """A list is older than what is asked of it: nobody shall believe that it was not sent."""
    outbox = inline(path)
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        sent = await gateway.send("bot", "room", "first")
        await outbox.flush()
        ask(outbox, "discard", seq=position_of(sent.envelope_id))
        await trio.sleep(5)
        answer = outbox._writer._db.execute("SELECT answer FROM requests").get
    assert "had ended already: delivered" == answer


@pytest.mark.parametrize("kind", ["discard", "erase"])
async def test_operators_end_what_waits_for_an_instance_that_is_not_there(
    path, autojump_clock, kind
):
    """Of a channel that was uninstalled, say: nothing else would ever end it."""
    channel = FakeChannel(latency=100.0)
    async with open_test_gateway(channel, outbox=inline(path), drain_timeout=0.0) as gateway:
        await gateway.submit(send("first"))
        second = await gateway.submit(send("second"))
    outbox = inline(path)
    async with open_test_gateway(channel, outbox=outbox, instances=("other",)) as gateway:
        assert ({"bot": 2}, 2) == (gateway.statistics().unserved, gateway.statistics().stored)
        ask(outbox, kind, room="room", seq=position_of(second.id))
        await trio.sleep(5)
        left = {"bot": 1} if kind == "discard" else {}
        assert left == gateway.statistics().unserved
        assert len(left) == gateway.statistics().stored
        assert gateway.statistics().conserved
    assert [(len(left),)] == rows(path, "SELECT count(*) FROM envelopes")


REVOKED = Verdict(
    error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, scope=Scope.INSTANCE, raw="revoked"
)
LOST = Verdict(
    error_class=ErrorClass.RETRYABLE,
    reason=Reason.OUTCOME_UNKNOWN,
    dispatched="unknown",
    retry_after=1000.0,
)
TRIED = pytest.mark.parametrize(
    ("verdict", "disposition"),
    [(REVOKED, "cancelled"), (LOST, "unknown")],
    ids=["refused", "lost"],
)


@pytest.mark.parametrize("kind", ["discard", "erase"])
@TRIED
async def test_operators_end_what_was_tried_and_waits(
    path, autojump_clock, kind, verdict, disposition
):
    """Nothing of it is under way: an account whose token was revoked keeps none of its messages."""

    async def fail(_):
        raise Failure(verdict)

    channel, outbox = FakeChannel(script=fail), inline(path)
    channel.probe_error = Failure(verdict)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway:
        tried = await gateway.submit(send("SECRETTEXT"))
        await trio.sleep(5)
        channel.script = None
        ask(outbox, kind, room="room", seq=position_of(tried.id))
        await trio.sleep(5)
        answer = outbox._writer._db.execute("SELECT answer FROM requests").get
        assert ("ended" if kind == "discard" else "1 rows erased, 0 in flight") == answer
        assert disposition == (await tried.receipt()).disposition
        gateway.resume("bot")
        await trio.sleep(2000)
        assert gateway.statistics().conserved
    assert [0.0] == channel.times


@pytest.mark.parametrize("kind", ["discard", "erase"])
@pytest.mark.parametrize("gone", [True, False], ids=["gone", "suspended"])
@pytest.mark.parametrize("tried", ["lost", "refused", "under way", "not"])
async def test_operators_end_what_a_previous_run_had_tried(path, autojump_clock, kind, gone, tried):
    """`unknown` where it may have arrived: its attempt began, and nobody knows how that ended."""

    async def run(_):
        if tried == "under way":
            await trio.sleep_forever()
        raise Failure(LOST if tried == "lost" else REVOKED)

    channel = FakeChannel(script=run)
    async with open_test_gateway(channel, outbox=inline(path), drain_timeout=0.0) as gateway:
        if tried == "not":
            gateway.suspend("bot")
        ticket = await gateway.enqueue("bot", "room", "hello")
        await trio.sleep(0.5)
    outbox = inline(path)
    instances = ("other",) if gone else ("bot",)
    async with open_test_gateway(channel, outbox=outbox, instances=instances) as gateway:
        if not gone:
            gateway.suspend("bot")
        [stored] = await outbox.page("bot", after=-1, limit=9)
        ask(outbox, kind, room="room", seq=stored.position)
        await trio.sleep(5)
        receipt = (await gateway.status(ticket.id)) if kind == "discard" else None
        ended = gateway.statistics().dispositions
        assert gateway.statistics().conserved
    expected = "unknown" if tried in ("lost", "under way") else "cancelled"
    assert {expected: 1} == ended
    if receipt is not None:
        assert [expected if expected == "unknown" else "not_sent"] == [
            part.outcome for part in receipt.receipt.parts
        ]


async def test_a_room_is_erased_from_the_disk(path, autojump_clock):
    """Queued, ended, edited, keys and moves: not a byte of it stays in the file or its log."""
    channel, outbox = FakeChannel(), inline(path)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway:
        sent = await gateway.send("bot", "room", "SECRETTEXT one", key="SECRETKEY")
        await gateway.edit(sent.ref, "SECRETTEXT", extra={"button": "SECRETTEXT"})
        await gateway.send("bot", "other", "hello")
        channel.latency = 100.0
        running = await gateway.submit(send("SECRETTEXT two"))
        queued = await gateway.submit(send("SECRETTEXT three"))
        scheduled = await gateway.submit(
            send("SECRETTEXT four", not_before=virtual_wall() + 3600, ttl=9e4)
        )
        await trio.sleep(5)
        ask(outbox, "erase", room="room")
        await trio.sleep(5)
        assert "cancelled" == (await queued.receipt()).disposition
        assert "cancelled" == (await scheduled.receipt()).disposition
        assert not running.ended
        assert gateway.statistics().conserved
        answer = outbox._writer._db.execute("SELECT answer FROM requests").get
        assert answer.endswith("1 in flight")
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"SECRETTEXT" not in content
    assert b"SECRETKEY" not in content
    assert [("other",)] == rows(path, "SELECT room FROM history")


async def test_an_erasure_is_answered_once_the_log_is_rid_of_it(path, autojump_clock):
    """Somebody who reads keeps the log as it is; a kill meanwhile leaves it to the next life."""
    channel, outbox = FakeChannel(), inline(path)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        await gateway.send("bot", "room", "SECRETTEXT")
        await outbox.flush()
        reader = apsw.Connection(str(path))
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM history").get
        ask(outbox, "erase", room="room")
        await trio.sleep(5)
        answer = "SELECT answer FROM requests"
        assert reader.execute("SELECT count(*) FROM history").get
        assert outbox._writer._db.execute(answer).get is None
        reader.execute("COMMIT")
        await trio.sleep(5)
        assert outbox._writer._db.execute(answer).get.endswith("0 in flight")
        assert b"SECRETTEXT" not in b"".join(f.read_bytes() for f in path.parent.iterdir())
        outbox._writer._db.execute("UPDATE requests SET answer = NULL")
        reader.close()
    outbox = inline(path)
    async with open_test_gateway(channel, outbox=outbox):
        await trio.sleep(5)
        assert "erased" == outbox._writer._db.execute(answer).get


async def test_the_same_room_of_another_instance_is_another_room(path, autojump_clock):
    """Asked for while the first erasure is under way."""
    channel, outbox = FakeChannel(), inline(path)
    async with open_test_gateway(channel, outbox=outbox, instances=("bot", "two")) as gateway:
        await gateway.send("bot", "room", "SECRETTEXT")
        await gateway.send("two", "room", "SECRETTEXT")
        await outbox.flush()
        serve = outbox._desk.serve

        def as_well(*times):
            outbox._desk.serve = serve
            found = serve(*times)
            ask(outbox, "erase", room="room", instance="two")
            return found

        outbox._desk.serve = as_well
        ask(outbox, "erase", room="room")
        await trio.sleep(10)
        assert b"SECRETTEXT" not in b"".join(f.read_bytes() for f in path.parent.iterdir())


async def test_one_file_has_one_owner_by_whatever_name(path):
    link = path.with_name("link.db")
    link.symlink_to(path)
    async with SqliteOutbox(path):
        with pytest.raises(OutboxError, match="is open in this process already"):
            async with SqliteOutbox(link):
                pass


@pytest.mark.parametrize("new", [None, b"another"])
async def test_nothing_more_is_accepted_once_the_file_was_taken_away(path, autojump_clock, new):
    async with open_test_gateway(FakeChannel(), outbox=inline(path)) as gateway:
        await gateway.send("bot", "room", "one")
        path.unlink()
        if new is not None:
            path.write_bytes(new)
        await trio.sleep(5)
        with pytest.raises(OutboxError, match="was taken away"):
            await gateway.submit(send("two"))
        assert gateway.statistics().conserved


async def test_history_is_forgotten_in_its_time(path, autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(
        channel, outbox=inline(path, history_for=600.0), history=1
    ) as gateway:
        first = await gateway.send("bot", "room", "one")
        await gateway.send("bot", "room", "two")
        await trio.sleep(500)
        assert (await gateway.status(first.envelope_id)).receipt == first
        await trio.sleep(200)
        assert await gateway.status(first.envelope_id) is None


async def test_what_edits_made_is_forgotten_in_its_time(path, autojump_clock):
    """A message that was edited later than sent is remembered from its last edit on."""
    async with open_test_gateway(
        FakeChannel(), outbox=inline(path, refs_for=600.0, history_for=60.0)
    ) as gateway:
        sent = await gateway.send("bot", "room", "one")
        await trio.sleep(500)
        edited = await gateway.edit(sent.ref, "two")
        await trio.sleep(500)
    assert [(sent.envelope_id,)] == rows(path, "SELECT id FROM revisions")
    assert 1 == edited.ref.revision
    async with open_test_gateway(
        FakeChannel(), outbox=inline(path, refs_for=600.0, history_for=60.0)
    ):
        await trio.sleep(700)
    assert [] == rows(path, "SELECT id FROM revisions")


async def test_a_cancelled_application_is_cancelled_and_what_it_knew_is_kept(path, autojump_clock):
    """The outbox shields its committer, and nobody else."""
    channel = FakeChannel()
    with trio.move_on_after(10) as scope:
        async with open_test_gateway(channel, outbox=inline(path)) as gateway:
            receipt = await gateway.send("bot", "room", "hello")
            await trio.sleep(1_000)
    assert (True, 10.0) == (scope.cancelled_caught, pytest.approx(trio.current_time()))
    async with open_test_gateway(channel, outbox=inline(path)) as gateway:
        assert (await gateway.status(receipt.envelope_id)).receipt == receipt


async def test_a_read_comes_after_what_is_being_written(path, autojump_clock):
    """What was told before the read is in it, though its commit had begun and was not done."""
    receipts = []
    async with inline(path, linger=0.0) as outbox:
        for n in range(200):
            entry = entry_of(n)
            await outbox.append(entry, lambda: None)
            outbox.withdraw(entry.id)
            for _ in range(n % 10):
                await trio.lowlevel.checkpoint()
            receipts += await outbox.page("bot")
    assert [] == receipts


def entry_of(number):
    return Entry(
        id=f"{number + 1:012x}000000{'0' * 12}", envelope=send(), plan=(), accepted_at=0.0,
        deadline=1e9,
    )  # fmt: skip


async def test_a_retry_for_which_there_is_no_place_waits_for_one(path, autojump_clock):
    """It stays outside like everything else, and comes in when a place is free."""
    channel, outbox = FakeChannel(script=refuse, latency=30.0), inline(path)
    async with open_test_gateway(channel, outbox=outbox, room_bound=1) as gateway:
        receipt = await gateway.send("bot", "room", "bad", raises=False)
        await outbox.flush()
        channel.script = None
        await gateway.submit(send("good"))
        ask(outbox, "retry", seq=position_of(receipt.envelope_id))
        await trio.sleep(10)
        assert 1 == sum(len(partition.deliveries) for partition in gateway._partitions)
        await trio.sleep(80)
        assert (await gateway.status(receipt.envelope_id)).receipt.delivered
        assert gateway.statistics().conserved
    assert ["good", "bad"] == channel.texts("room")


@pytest.mark.usefixtures("seldom")
async def test_what_a_key_stands_for_is_remembered_as_long_as_the_key(path, autojump_clock):
    """History may be shorter than the keys' time; keys that are too old are free again."""
    channel = FakeChannel()
    settings = {"history": 1, "idempotency_keys": 1, "idempotency_window": 3600.0}
    outbox = inline(path, history_for=60.0)
    async with open_test_gateway(channel, outbox=outbox, **settings) as gateway:
        await gateway.send("bot", "room", "one", key="a")
        await gateway.send("bot", "room", "two", key="b")
        await gateway.send("bot", "room", "three", key="c")
        await trio.sleep(3000)
        assert (await gateway.send("bot", "room", "one", key="a")).replayed
        await trio.sleep(1000)
        assert not (await gateway.send("bot", "room", "one", key="a")).replayed
    assert ["one", "two", "three", "one"] == channel.texts("room")


async def test_very_much_history_is_forgotten_look_by_look(path, autojump_clock, monkeypatch):
    """More ends within a minute than one look forgets: the next look goes on."""
    monkeypatch.setattr("gateway_contrib.sqlite.files.shrinking.FORGET", 5)
    outbox = inline(path, history_for=100.0)
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        for n in range(30):
            await gateway.send("bot", f"room{n}", "hello")
        await outbox.flush()
        await trio.sleep(200)
        assert 0 == outbox._writer._db.execute("SELECT count(*) FROM history").get


async def test_closing_waits_for_no_suspended_account_and_no_limit(path):
    """By the clock on the wall, with a worker thread: within two seconds, and nothing is lost."""
    channel = FakeChannel(limits=lambda room, _: [Limit(f"r {room}", 1, 3600.0)])
    outbox = SqliteOutbox(path)
    async with open_test_gateway(
        channel, outbox=outbox, instances=("bot", "other"), drain_timeout=30.0
    ) as gateway:
        gateway.suspend("other")
        for n in range(5):
            await gateway.submit(send(str(n)))
            await gateway.submit(attrs.evolve(send(str(n)), instance_id="other"))
        begun = trio.current_time()
    assert trio.current_time() - begun < 2
    assert [(9,)] == rows(path, "SELECT count(*) FROM envelopes")


async def test_two_gateways_in_turn_on_one_file_keep_to_the_limits(path, autojump_clock):
    """Five a minute: what the first has sent, the second does not send again, closed or not."""
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("all", 5, 60.0, "window")])
    for _ in range(3):
        async with open_test_gateway(channel, outbox=inline(path), drain_timeout=0.0) as gateway:
            for _ in range(4):
                await gateway.submit(send("text"))
            await trio.sleep(10)
    assert 5 == len([at for at in channel.times if at < 60])
