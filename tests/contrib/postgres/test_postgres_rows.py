"""Rows that no release writes: of a foreign dump, of a hand-made UPDATE, of a stolen owner's role.

One such row stops neither the owner, nor what is stored or handed over beside it.
"""

import json
import sys
from uuid import uuid4

import pytest
import trio
from amounts import one_of_three
from postgres_shared import PATIENCE, Shared
from structlog.testing import capture_logs

from gateway_core import Send
from gateway_core.testing import FakeChannel

SECRET = "the password is swordfish"
DEEP = "[" * 100_000
HUGE = 9_223_372_036_854_775_807

pytestmark = pytest.mark.usefixtures("often")


@pytest.fixture
def shared(server, emptied_schema):
    return Shared(server, emptied_schema)


def bind(shared, sql, *bound):
    return shared.server.ran(shared.schema, sql, *bound)


def hand(shared, text, instance="bot", room="room"):
    ((name,),) = bind(shared, "SELECT send(%s, %s, %s)", instance, room, text)
    return name


async def until(condition):
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a row has no event
            await trio.sleep(0.02)


async def answered(shared, number):
    """The answer to the request, once there is one."""
    sql = "SELECT answer FROM requests WHERE number = %s AND done_at IS NOT NULL"
    found = []

    def is_answered():
        found[:] = bind(shared, sql, number)
        return found

    await until(is_answered)
    return found[0][0]


def ask(shared, kind, *, envelope=None, instance="", room="", seq=None):
    sql = """INSERT INTO requests (kind, seq, instance, room, asked_at, envelope)
        VALUES (%s, %s, %s, %s, 1, %s) RETURNING number"""
    ((number,),) = bind(shared, sql, kind, seq, instance, room, envelope)
    return number


async def leave(shared, *rooms, instances=("bot", "other")):
    """Leave a message that waits in each of the rooms, of each of the instances."""

    async def hang(_):
        await trio.sleep_forever()

    unhurried = {"drain_timeout": 0.0, "attempt_timeout": 3600.0}
    shared.channel = FakeChannel(script=hang)
    async with shared.owner(instances=instances, **unhurried) as owner:
        for instance in instances:
            for room in rooms:
                message = Send(instance_id=instance, external_room_id=room, text=f"{SECRET} {room}")
                await owner.submit(message)
        await until(lambda: len(bind(shared, "SELECT 1 FROM steps")) == len(rooms) * len(instances))
    shared.channel = FakeChannel()


# -- rows of `envelopes`, and of what belongs to them


DAMAGED = {
    "no class": "UPDATE envelopes SET class = 'none' WHERE {bad}",
    "accepted at no time": "UPDATE envelopes SET accepted_at = 'Infinity' WHERE {bad}",
    "no deadline": "UPDATE envelopes SET deadline = 'NaN' WHERE {bad}",
    "an endless deadline": "UPDATE envelopes SET deadline = 'Infinity' WHERE {bad}",
    "a deep entry": f"UPDATE envelopes SET entry = '{DEEP}' WHERE {{bad}}",  # noqa: S608 - constants
    "a number": "UPDATE envelopes SET entry = '5' WHERE {bad}",
    "an entry of numbers": "UPDATE envelopes SET entry = '[1, []]' WHERE {bad}",
    "a text that is none": """UPDATE envelopes SET entry = regexp_replace(entry,
        '"text":"[^"]*"', '"text":["the password is swordfish"]') WHERE {bad}""",
    "a part that is none": """UPDATE envelopes SET entry = regexp_replace(entry,
        ',\\[\\[.*$', ',[["the password is swordfish", [0, 1], 7, []]]]') WHERE {bad}""",
    "no id": "UPDATE envelopes SET id = 'none' WHERE {bad}",
    "another id": "UPDATE envelopes SET id = repeat('0', 30) WHERE {bad}",
    "steps without form": "UPDATE envelopes SET shapes = '5' WHERE {bad}",
    "steps without JSON": "UPDATE envelopes SET shapes = 'none' WHERE {bad}",
    "no messages": "UPDATE steps SET made = '[' WHERE {bad}",
    "attempts without number": f"UPDATE steps SET attempts = {HUGE} WHERE {{bad}}",  # noqa: S608 - constants
    "an attempt at no time": "UPDATE steps SET first_at = 'NaN' WHERE {bad}",
    "a pause without end": "UPDATE steps SET not_before = 'Infinity' WHERE {bad}",
}


@pytest.mark.parametrize("damage", one_of_three(DAMAGED))
async def test_a_damaged_envelope_is_reported_and_stops_no_other(shared, damage):
    await leave(shared, "bad", "good")
    bad = "seq = (SELECT seq FROM envelopes WHERE account = 'bot' AND room = 'bad')"
    bind(shared, DAMAGED[damage].format(bad=bad))
    with capture_logs() as lines:
        async with shared.owner(instances=("bot", "other")) as owner:
            await until(lambda: len(shared.channel.texts("good")) == 2)
            await until(lambda: shared.channel.texts("bad"))
            for instance in ("bot", "other"):
                for room in ("bad", "fresh"):
                    assert (await owner.send(instance, room, "text")).delivered
    assert 1 == sum(SECRET in text for text in shared.channel.texts("bad"))
    told = [line for line in lines if line["event"] == "gateway.outbox_unreadable"]
    ((name,),) = bind(shared, f"SELECT id FROM envelopes WHERE {bad}")  # noqa: S608 - constants
    assert {name} == {line["envelope"] for line in told}
    assert not any(SECRET in str(line) or DEEP[:999] in str(line) for line in lines)


PLACES = {
    "a last position": f"UPDATE envelopes SET position = {HUGE} WHERE {{bad}}",  # noqa: S608 - constants
    "a last sequence": f"UPDATE envelopes SET sequence = {HUGE} WHERE {{bad}}",  # noqa: S608 - constants
    "a last id": f"UPDATE envelopes SET seq = {HUGE}, id = repeat('f', 30) WHERE {{bad}}",  # noqa: S608 - constants
    "an id that is none": "UPDATE envelopes SET seq = seq + 1000000, id = 'none' WHERE {bad}",
    "a last ending": f"""INSERT INTO history (account, seq, id, number, room, disposition, reason,
            raw, accepted_at, deadline, ended_at, fingerprint, receipt, stream, sequence)
        SELECT account, 7, 'none', 0, room, 'delivered', '', '', 0, 0, 4e9, '', 'none', 1, {HUGE}
        FROM envelopes WHERE {{bad}}""",  # noqa: S608 - constants
}


@pytest.mark.parametrize("damage", one_of_three(PLACES))
async def test_what_comes_later_has_its_place_after_the_last_that_is_one(shared, damage):
    await leave(shared, "bad", "good")
    bind(shared, PLACES[damage].format(bad="account = 'bot' AND room = 'bad'"))
    async with shared.owner(instances=("bot", "other")) as owner:
        await until(lambda: len(shared.channel.texts("good")) == 2)
        for _ in range(3):
            for instance in ("bot", "other"):
                assert (await owner.send(instance, "fresh", "text")).delivered
        name = hand(shared, "handed")
        await until(lambda: "ended" == status(shared, name)["state"])
    assert "handed" in shared.channel.texts("room")


@pytest.mark.parametrize("entry", ["5", DEEP], ids=["a number", "deep"])
async def test_a_damaged_envelope_that_is_overdue_is_reported_once(shared, entry):
    await leave(shared, "bad", "good")
    bind(shared, """UPDATE envelopes SET entry = %s, deadline = 1
        WHERE account = 'bot' AND room = 'bad'""", entry)  # fmt: skip
    with capture_logs() as lines:
        async with shared.owner(instances=("bot", "other")) as owner:
            for _ in range(30):
                await trio.sleep(0.1)
                assert (await owner.send("bot", "room", "text")).delivered
    told = [line["event"] for line in lines if line["log_level"] != "info"]
    assert 1 == told.count("gateway.outbox_unreadable")


async def test_an_operator_discards_a_damaged_envelope(shared):
    await leave(shared, "bad", "good")
    bad = "account = 'bot' AND room = 'bad'"
    bind(shared, f"UPDATE envelopes SET entry = '5' WHERE {bad}")  # noqa: S608 - constants
    ((seq,),) = bind(shared, f"SELECT seq FROM envelopes WHERE {bad}")  # noqa: S608 - constants
    async with shared.owner(instances=("bot", "other")):
        assert "discarded" == await answered(shared, ask(shared, "discard", seq=seq))
        await until(lambda: len(shared.channel.texts("good")) == 2)
    for table in ("envelopes", "steps"):
        assert [] == bind(shared, f"SELECT 1 FROM {table} WHERE seq = {seq}")  # noqa: S608 - constants


async def test_a_stream_that_no_release_knows_stops_no_other(shared):
    await leave(shared, "bad", "good")
    bind(shared, "UPDATE envelopes SET stream = 99 WHERE account = 'bot' AND room = 'bad'")
    async with shared.owner(instances=("bot", "other")):
        await until(lambda: len(shared.channel.texts("good")) == 2)


STATES = {
    "what was spent": "INSERT INTO spent VALUES ('bot', 1, 'none')",
    "when it was spent": "INSERT INTO spent VALUES ('bot', 'NaN', '[]')",
    "spent without number": """INSERT INTO spent VALUES ('bot', 1,
        '[{"names": ["x"], "closed": 1e308}]')""",
    "closed until no time": "INSERT INTO closures VALUES ('bot', '', 'NaN', 30)",
    "closed for ever": "INSERT INTO closures VALUES ('bot', '', 'Infinity', 'Infinity')",
}


@pytest.mark.parametrize("damage", STATES.values(), ids=STATES)
async def test_an_account_s_damaged_state_counts_as_none(shared, damage):
    async with shared.owner():
        pass
    bind(shared, "DELETE FROM spent")
    bind(shared, damage)
    async with shared.owner() as owner:
        assert (await owner.send("bot", "room", "text")).delivered


async def test_an_account_whose_table_was_emptied_is_owned_again(server, schema):
    shared = Shared(server, schema)
    await leave(shared, "room")
    bind(shared, "TRUNCATE accounts")
    async with shared.owner(instances=("bot", "other")) as owner:
        await until(lambda: len(shared.channel.texts("room")) == 2)
        assert (await owner.send("bot", "room", "text")).delivered


SOURCES = {
    "none": "TRUNCATE source",
    "two": "INSERT INTO source SELECT * FROM source",
    "the last number": f"UPDATE source SET newest = {HUGE}",  # noqa: S608 - constants
}


@pytest.mark.parametrize("damage", SOURCES.values(), ids=SOURCES)
async def test_endings_have_numbers_whatever_the_source_says(server, schema, damage):
    shared = Shared(server, schema)
    async with shared.owner() as owner:
        assert (await owner.send("bot", "room", "before")).delivered
        bind(shared, damage)
        for number in range(3):
            assert (await owner.send("bot", "room", f"{number}")).delivered
    assert [(n,) for n in range(1, 5)] == bind(shared, "SELECT number FROM history ORDER BY number")


# -- rows of `handed`


@pytest.mark.parametrize("at", ["infinity", "-infinity", "294276-12-31", "4713-01-01 BC"])
async def test_a_row_that_was_handed_over_at_no_time_stops_no_other(shared, at):
    async with shared.owner():
        pass
    names = [hand(shared, text) for text in ("bad", "good")]
    bind(shared, "UPDATE handed SET handed_at = %s WHERE id = %s", at, names[0])
    async with shared.owner():
        await until(lambda: "good" in shared.channel.texts("room"))
        for name in names:
            await until(lambda name=name: "ended" == status(shared, name)["state"])


def status(shared, name):
    ((found,),) = bind(shared, "SELECT status(%s)", name)
    return found


async def test_what_looks_sealed_needs_no_cipher_where_nothing_is_sealed(shared, monkeypatch):
    """A role may hand over any text, also where the library of the ciphers is not installed."""
    monkeypatch.delitem(sys.modules, "gateway_contrib.durable.sealing.ciphers", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    async with shared.owner():
        sql = "SELECT hand('bot', 'room', '~01234567abcdef')"
        ((name,),) = bind(shared, sql)
        good = hand(shared, "good")
        await until(lambda: "ended" == status(shared, good)["state"])
        await until(lambda: "ended" == status(shared, name)["state"])
    assert "is damaged" in status(shared, name)["reason"]


# -- rows of `requests`


REQUESTS = {
    "to cancel what is no id": {"kind": "withdraw", "envelope": "none", "instance": "bot"},
    "to cancel nothing": {"kind": "withdraw"},
    "to submit what is too deep": {"kind": "submit", "envelope": DEEP},
    "to submit a number": {"kind": "submit", "envelope": "5"},
    "about a group, too deep": {"kind": "group", "envelope": DEEP},
    "to suspend, too deep": {"kind": "suspend", "instance": "third", "envelope": DEEP},
    "to discard nothing": {"kind": "discard"},
    "to try nothing again": {"kind": "retry", "seq": -HUGE},
}


@pytest.mark.parametrize("asked", REQUESTS.values(), ids=REQUESTS)
async def test_a_damaged_request_is_answered_and_stops_no_other(shared, asked):
    async with shared.owner():
        bad, good = ask(shared, **asked), ask(shared, "accounts")
        assert "bot" in json.loads(await answered(shared, good))["accounts"]
        await answered(shared, bad)


async def test_requests_that_cannot_be_done_yet_hold_back_no_other(shared):
    """Such as those to cancel what the owner has not taken, however many somebody makes."""
    await leave(shared, "room")
    sql = """INSERT INTO handed (id, instance, room, envelope, handed_by, answered_at, waiting)
        VALUES (%s, 'bot', 'room', '{}', 'web', NULL, false)"""
    with shared.server.connect() as slow, slow.transaction():
        name = uuid4()
        bind(shared, sql, name)
        # Held by another transaction, so that its refusal is not written yet.
        slow.execute(f"SELECT 1 FROM {shared.schema}.handed WHERE id = %s FOR UPDATE", (name,))  # noqa: S608 - constants
        with shared.server.connect() as own:
            calls = f"SELECT {shared.schema}.cancel(%s) FROM generate_series(1, 600)"  # noqa: S608 - constants
            assert 600 == len(own.execute(calls, (name,)).fetchall())
        bind(shared, """INSERT INTO requests (kind, asked_at)
            SELECT 'of a later release', 1 FROM generate_series(1, 600)""")  # fmt: skip
        async with shared.owner(instances=("bot", "other")):
            assert "bot" in json.loads(await answered(shared, ask(shared, "accounts")))["accounts"]


async def test_an_account_s_many_cancellations_hold_back_no_other_account(shared):
    """Whoever may send as one account may cancel as many of its messages as they like."""
    later = '{"not_before": 4000000000, "deadline": 4100000000}'
    sql = f"SELECT send(%s, 'later', 'x', '{later}') FROM generate_series(1, %s)"  # noqa: S608 - constants
    async with shared.owner(instances=("bot", "other")):
        many = [name for (name,) in bind(shared, sql, "bot", 1_000)]
        ((one,),) = bind(shared, sql, "other", 1)
        taken = "SELECT 1 FROM handed WHERE answered_at IS NOT NULL"
        await until(lambda: len(bind(shared, taken)) == 1_001)
        bind(shared, "SELECT cancel(id) FROM unnest(%s::uuid[]) id", many)
        bind(shared, "SELECT cancel(%s)", one)
        await until(lambda: "ended" == status(shared, one)["state"])
        ((left,),) = bind(shared, "SELECT count(*) FROM requests WHERE done_at IS NULL")
        assert left > 100


async def test_a_number_of_another_table_is_none(shared):
    """What is handed over has numbers above zero, and what operators ask for has others."""
    async with shared.owner() as owner:
        bind(shared, """INSERT INTO handed (number, instance, room, envelope, handed_by)
            OVERRIDING SYSTEM VALUE SELECT n, 'bot', 'room', 'none', '' FROM unnest(%s) n""",
            [-HUGE, -7, 0])  # fmt: skip
        held = await owner.submit(
            Send(instance_id="bot", external_room_id="later", text="x", not_before=4e9)
        )
        name = hand(shared, "text")
        bind(shared, """INSERT INTO requests (number, kind, asked_at, envelope)
            OVERRIDING SYSTEM VALUE SELECT number, 'cancel', 1, %s FROM handed WHERE id = %s""",
            held.id, name)  # fmt: skip
        assert "bot" in json.loads(await answered(shared, ask(shared, "accounts")))["accounts"]
        await until(lambda: "ended" == status(shared, name)["state"])
    assert "delivered" == status(shared, name)["disposition"]
    assert ["text"] == shared.channel.texts("room")


FAILED = {
    "a deep entry": f"UPDATE history SET entry = '{DEEP}' WHERE seq = {{seq}}",  # noqa: S608 - constants
    "no class": "UPDATE history SET class = 'none' WHERE seq = {seq}",
    "steps without form": "UPDATE history SET shapes = '5' WHERE seq = {seq}",
    "no messages": "UPDATE steps SET made = '[' WHERE seq = {seq}",
}


@pytest.mark.parametrize("damage", FAILED.values(), ids=FAILED)
async def test_a_damaged_failed_envelope_is_not_tried_again(shared, damage):
    await leave(shared, "room", instances=("bot",))
    ((seq,),) = bind(shared, "SELECT seq FROM envelopes")
    bind(shared, """INSERT INTO history SELECT account, seq, id, 1, room, 'rejected', '', '',
        accepted_at, deadline, accepted_at, fingerprint, class, '{}', entry, shapes, stream
        FROM envelopes""")  # fmt: skip
    bind(shared, "DELETE FROM envelopes")
    bind(shared, damage.format(seq=seq))
    async with shared.owner() as owner:
        assert "cannot be read" == await answered(shared, ask(shared, "retry", seq=seq))
        assert (await owner.send("bot", "room", "text")).delivered


# -- groups


GROUPS = {
    "a deep content": f"UPDATE groups SET content = '{DEEP}' WHERE account = 'bot'",  # noqa: S608 - constants
    "no id": "UPDATE groups SET id = 'none' WHERE account = 'bot'",
    "turns without JSON": "UPDATE groups SET returned = 'none' WHERE account = 'bot'",
    "a turn that is none": "UPDATE groups SET erased = '5' WHERE account = 'bot'",
    "turns without number": f"UPDATE groups SET taken = {HUGE} WHERE account = 'bot'",  # noqa: S608 - constants
    "members without form": "UPDATE group_members SET members = '5' WHERE account = 'bot'",
    "a member that is none": "UPDATE group_members SET members = '[5, {}]' WHERE account = 'bot'",
    "deep members": f"UPDATE group_members SET members = '{DEEP}' WHERE account = 'bot'",  # noqa: S608 - constants
}


@pytest.mark.parametrize("damage", one_of_three(GROUPS))
async def test_a_damaged_group_stops_no_other_and_no_erasing(shared, damage):
    async with shared.owner(instances=("bot", "other"), drain_timeout=0.0) as owner:
        for instance in ("bot", "other"):
            job = await owner.broadcast(instance, ["a", "b"], "all", not_before=4_000_000_000.0)
            assert job is not None
    bind(shared, GROUPS[damage])
    async with shared.owner(instances=("bot", "other")) as owner:
        number = ask(shared, "erase", instance="bot", room="a")
        assert "rows erased" in await answered(shared, number)
        for instance in ("bot", "other"):
            job = await owner.broadcast(instance, [f"{instance} c"], "more")
            await until(lambda instance=instance: shared.channel.texts(f"{instance} c"))
