"""A release goes on with the file that its successor made newer, and the successor after it."""

import apsw
import pytest
import trio
from sealed import FIRST

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings, schema
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_contrib.sqlite.schema import CHANGES, OLDEST, SEALED_FROM, VERSION, Change, number
from gateway_core import OutboxError
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall

LATER = Change(
    make="""
    ALTER TABLE envelopes ADD COLUMN grade INTEGER NOT NULL DEFAULT 5;
    ALTER TABLE steps ADD COLUMN grade INTEGER NOT NULL DEFAULT 5;
    ALTER TABLE history ADD COLUMN grade INTEGER NOT NULL DEFAULT 5;
    ALTER TABLE keys ADD COLUMN grade INTEGER NOT NULL DEFAULT 5;
    ALTER TABLE requests ADD COLUMN grade INTEGER NOT NULL DEFAULT 5;
    CREATE TABLE grades (seq INTEGER PRIMARY KEY, grade INTEGER NOT NULL) STRICT;
    INSERT INTO grades SELECT seq, 6 FROM history;
    """,
    adopt="INSERT OR IGNORE INTO grades SELECT seq, 7 FROM history;",
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def later(monkeypatch):
    """Becomes the release after this one, or this one again."""

    def become(*, really: bool) -> None:
        changes = (*CHANGES, LATER) if really else CHANGES
        monkeypatch.setattr(schema, "CHANGES", changes)
        monkeypatch.setattr(schema, "VERSION", len(changes))
        schema._all_names.cache_clear()

    yield become
    schema._all_names.cache_clear()


def opened(path, *keys):
    settings = SqliteSettings(in_thread=False, integrity_check=True)
    return SqliteOutbox(path, settings, wall_clock=virtual_wall, keys=keys)


def asked(path, *statements):
    database = apsw.Connection(str(path))
    try:
        return [database.execute(statement).fetchall() for statement in statements]
    finally:
        database.close()


async def traffic(path, name):
    """A message that arrives, one that is refused, one that a kill leaves in its attempt."""

    async def script(attempt):
        if attempt.payload["text"] == "hangs":
            await trio.sleep(100)
        if attempt.payload["text"] == "refused":
            raise RuntimeError("no")

    channel = FakeChannel(script=script)
    async with open_test_gateway(channel, outbox=opened(path), drain_timeout=0.0) as gateway:
        assert (await gateway.send("bot", name, "arrives", key="arrives")).delivered
        await gateway.send("bot", name, "refused", raises=False)
        await gateway.enqueue("bot", name, "hangs")
        await trio.sleep(5)
    return channel


async def finish(path, unfinished):
    """Deliver what is left of that; how many texts of it arrive."""
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=opened(path)) as gateway:
        assert unfinished == gateway.statistics().stored
        await trio.sleep(1_000)
        assert 0 == gateway.statistics().stored
        assert (await gateway.send("bot", "new", "arrives", key="arrives")).replayed
    return channel


async def test_this_release_goes_on_with_its_successors_file(path, later, autojump_clock):
    later(really=True)
    await traffic(path, "new")
    later(really=False)
    channel = await traffic(path, "old")
    assert ["arrives"] == channel.texts("old")
    steps, version, used = asked(
        path,
        "SELECT grade FROM steps",
        "PRAGMA user_version",
        "SELECT oldest, used FROM format",
    )
    assert {(5,)} == set(steps)
    assert [(VERSION + 1,)] == version
    assert [(OLDEST, VERSION)] == used
    await finish(path, 2)


@pytest.mark.usefixtures("seldom")
async def test_the_successor_takes_up_what_was_written_without_it(path, later, autojump_clock):
    """Once for each time that somebody else had the file."""
    await traffic(path, "first")
    later(really=True)
    await traffic(path, "new")
    later(really=False)
    await traffic(path, "old")
    later(really=True)
    await finish(path, 2)
    grades, used = asked(path, "SELECT grade FROM grades ORDER BY seq", "SELECT used FROM format")
    assert [(6,)] * 2 + [(7,)] * 5 == grades
    assert [(VERSION + 1,)] == used
    await finish(path, 0)
    assert grades == asked(path, "SELECT grade FROM grades ORDER BY seq")[0]


async def test_what_the_successor_wrote_into_its_columns_stays(path, later, autojump_clock):
    """A step is told again and again; what a release knows nothing of, it leaves alone."""
    later(really=True)
    await traffic(path, "new")
    asked(path, "UPDATE steps SET grade = 9", "UPDATE envelopes SET grade = 9")
    later(really=False)

    async def slowly(_attempt):
        await trio.sleep(100)

    channel = FakeChannel(script=slowly)
    async with open_test_gateway(channel, outbox=opened(path), drain_timeout=0.0) as gateway:
        await trio.sleep(80)
        assert 1 == len(channel.made)
        assert 1 == gateway.statistics().stored
    numbers, envelopes = asked(
        path,
        "SELECT grade, number FROM steps WHERE seq IN (SELECT seq FROM envelopes)",
        "SELECT grade FROM envelopes",
    )
    assert [(9, 2)] == numbers
    assert [(9,)] == envelopes


async def test_a_file_that_only_later_releases_can_use_is_refused(path, later, autojump_clock):
    await traffic(path, "new")
    asked(path, "UPDATE format SET oldest = 14", "PRAGMA user_version = 16")
    with pytest.raises(OutboxError, match="schema version 16, which needs a release that knows"):
        async with opened(path):
            pass
    with pytest.raises(OutboxError, match=f"version 14; this one knows up to {VERSION}"):
        Operator(path)


async def test_who_looks_brings_no_file_up_to_date(path, later, autojump_clock):
    await traffic(path, "old")
    later(really=True)
    with pytest.raises(OutboxError, match=f"an earlier release wrote the file .* {VERSION}, here"):
        Operator(path)
    assert number_of(path) == VERSION
    later(really=False)
    with Operator(path) as operator:
        assert {"bot": 1} == operator.stats()["unfinished"]


def number_of(path):
    database = apsw.Connection(str(path))
    try:
        return number(database, "PRAGMA user_version")
    finally:
        database.close()


async def test_who_looks_may_look_at_the_successors_file(path, later, autojump_clock):
    later(really=True)
    await traffic(path, "new")
    later(really=False)
    with Operator(path) as operator:
        assert {"bot": 1} == operator.stats()["unfinished"]
        assert operator.ask("retry", 0.0, envelope_id="0" * 30) == 1


async def test_a_request_that_only_the_successor_knows_waits_for_it(path, autojump_clock):
    async with open_test_gateway(FakeChannel(), outbox=opened(path)):
        with Operator(path) as operator:
            number, known = operator.ask("dance", 0.0), operator.ask("accounts", 0.0)
            await trio.sleep(3)
            assert operator.answer(known) is not None
            assert operator.answer(number) is None


async def test_a_file_needs_a_release_that_seals_once_there_are_keys(path, later, autojump_clock):
    """And not before; a later release does not make it usable again."""
    await traffic(path, "new")
    assert [[(OLDEST, VERSION)]] == asked(path, "SELECT oldest, used FROM format")
    async with opened(path, FIRST):
        pass
    assert [[(SEALED_FROM, VERSION)]] == asked(path, "SELECT oldest, used FROM format")
    later(really=True)
    async with opened(path, FIRST):
        pass
    assert [[(SEALED_FROM, VERSION + 1)]] == asked(path, "SELECT oldest, used FROM format")
    assert OLDEST < SEALED_FROM
