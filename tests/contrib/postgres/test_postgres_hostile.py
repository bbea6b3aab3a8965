"""What a role may do that can hand over and means no good: nothing to others' messages."""

import json
from functools import partial
from uuid import uuid4

import pytest
import trio
from postgres_shared import Shared
from sealed import FIRST
from structlog.testing import capture_logs

from gateway_contrib.postgres.beside.adopting import PIECE
from gateway_core import File, Send, to_json
from gateway_core.outboxes import digest_of_bytes
from gateway_core.testing import virtual_wall

GOOD = bytes(range(256)) * 2_000
OPEN = "SELECT count(*) FROM handed WHERE answered_at IS NULL"
FORGED = {
    "others": [b"forged"],
    "none": [],
    "part of them": [GOOD[:PIECE]],
    "cut elsewhere": [GOOD[:10], GOOD[10 : PIECE + 10], GOOD[PIECE + 10 :]],
    "with a gap": [GOOD[:PIECE], None, GOOD[PIECE:]],
}


@pytest.fixture(params=[(), (FIRST,)], ids=["plain", "sealed"])
def shared(server, emptied_schema, request):
    return Shared(server, emptied_schema, request.param)


def message(text, **given):
    return Send(instance_id="bot", text=text, **{"external_room_id": "room"} | given)


def hand(connection, schema, text, **given):
    """As a driver of its own does it, with no code of this project."""
    given = {"kind": "submit", "instance": "bot", "room": "room"} | given
    token = uuid4()
    values = ([token], [given["kind"]], [given["instance"]], [given["room"]], [text], [None])
    connection.execute(
        f"SELECT {schema}.hand_all(gen_random_uuid(), %s, %s, %s, %s, %s, %s, '{{true}}')",
        values,
    )
    return token


def hand_file(connection, schema, token, pieces):
    sql = f"SELECT {schema}.hand_file(%s, %s, %s)"
    given = (token, digest_of_bytes(GOOD), len(GOOD))
    (upload,) = connection.execute(sql, given).fetchone()
    for number, piece in enumerate(pieces):
        if piece is not None:
            sql = f"SELECT {schema}.hand_piece(%s, %s, %s)"
            connection.execute(sql, (upload, number, piece))


@pytest.mark.parametrize("pieces", FORGED.values(), ids=FORGED)
async def test_nobody_s_bytes_take_the_place_of_others(shared, pieces):
    """Bytes that were handed over count as what they are, and not as what they are called."""
    digest = digest_of_bytes(GOOD)
    files = [File(name="x.bin", digest=digest, size=len(GOOD))]
    forger = message("", external_room_id="forger", files=files)
    async with shared.producer() as producer:
        with shared.server.connect() as own, own.transaction():
            text = json.dumps(to_json(forger))
            token = hand(own, shared.schema, text, room="forger")
            hand_file(own, shared.schema, token, pieces)
        ticket = await producer.enqueue("bot", "room", "", files=[File(GOOD, name="x.bin")])
        async with shared.owner():
            receipt = await ticket.receipt()
            assert receipt.delivered
            with trio.fail_after(60):
                while [(0,)] != await _asked(shared, OPEN):  # noqa: ASYNC110 - a row has no event
                    await trio.sleep(0.02)
    (part,) = receipt.parts
    files = shared.channel.files[part.message_id]
    assert [GOOD] == [shared.channel.contents[name] for name in files]
    assert {} == shared.channel.rooms["forger"]


@pytest.mark.parametrize("kind", ["submit", "ask"])
async def test_who_knows_no_more_than_a_file_s_digest_does_not_get_the_file(shared, kind):
    digest = digest_of_bytes(GOOD)
    thief = message("", external_room_id="thief", files=[File(name="x", digest=digest, size=1)])
    text = to_json(thief)
    if kind == "ask":
        asked = {"do": "submit_many", "group": "g", "not_before": None, "priority": "normal"}
        text = asked | {"envelopes": [text]}
    async with shared.owner() as owner:
        ticket = await owner.enqueue(
            "bot", "room", "", files=[File(GOOD, name="x.bin")], not_before=virtual_wall() + 10
        )
        with shared.server.connect() as own:
            hand(own, shared.schema, json.dumps(text), kind=kind, room="thief")
        with trio.fail_after(60):
            while [(0,)] != await _asked(shared, OPEN):  # noqa: ASYNC110 - as above
                await trio.sleep(0.02)
        ((answer, refused),) = await _asked(shared, "SELECT answer, refused FROM handed")
        assert (await ticket.receipt()).delivered
    if not shared.keys:
        assert "its bytes were not handed over with it" in (answer or "") + (refused or "")
    assert {} == shared.channel.rooms["thief"]


async def _asked(shared, sql):
    return await trio.to_thread.run_sync(partial(shared.ran, sql))


@pytest.mark.parametrize("kind", ["submit", "ask"])
@pytest.mark.parametrize("do", ["withdraw", "leave"])
async def test_a_transaction_that_withdraws_and_stays_open_holds_up_nobody(shared, kind, do):
    """Its row is looked at again; the owner waits for no lock that others may take."""
    async with shared.outbox():
        pass
    with shared.server.connect() as bad:
        text = json.dumps(to_json(message("held", external_room_id="held")))
        if kind == "ask":
            text = '{"do": "status", "id": "x"}'
        hand(bad, shared.schema, text, kind=kind, room="held")
        ((own,),) = shared.ran("SELECT own FROM handed")
        with bad.transaction(force_rollback=True), capture_logs() as lines:
            bad.execute(f"SELECT {shared.schema}.{do}(%s)", (own,))
            async with shared.owner() as owner, shared.producer() as producer:
                for gateway in (owner, producer):
                    assert (await gateway.send("bot", "room", "text")).delivered
        troubles = {"gateway.outbox_failed", "gateway.outbox_broke"}
        assert [] == [line for line in lines if line["event"] in troubles]
        if kind == "submit":
            async with shared.owner():
                with trio.fail_after(60):
                    while "held" not in shared.channel.texts("held"):  # noqa: ASYNC110 - likewise
                        await trio.sleep(0.02)


@pytest.fixture
def roles(shared):
    """`hostile_a` and `hostile_b`, who may send as `a` and as `b`."""

    async def make():
        async with shared.outbox():
            pass

    trio.run(make)
    shared.let_in("hostile_a", "a")
    shared.let_in("hostile_b", "b")
    return shared


@pytest.mark.parametrize("do", ["withdraw", "leave"])
def test_nobody_locks_a_message_as_whose_instance_he_may_not_send(roles, do):
    with (
        roles.server.connect(user="hostile_b") as good,
        roles.server.connect(user="hostile_a") as bad,
    ):
        hand(good, roles.schema, "{}", instance="b")
        ((own,),) = roles.ran("SELECT own FROM handed")
        with bad.transaction():
            bad.execute(f"SELECT {roles.schema}.{do}(%s)", (own,))
            assert [(own,)] == roles.ran("SELECT own FROM handed FOR UPDATE SKIP LOCKED")
        assert [(None, False)] == roles.ran("SELECT left_at, cancelled FROM handed")


def test_a_message_is_asked_to_be_cancelled_once_however_often(roles):
    """What waits to be done is done in turn, for all."""
    ran = roles.ran
    with roles.server.connect(user="hostile_a") as own:
        tokens = [hand(own, roles.schema, "{}", instance="a") for _ in range(2)]
        ran("UPDATE handed SET answered_at = now(), seq = -number")
        for token in tokens * 50:
            own.execute(f"SELECT {roles.schema}.cancel(%s)", (token,))
        waiting = "SELECT envelope FROM requests WHERE done_at IS NULL ORDER BY 1"
        assert [(str(it),) for it in sorted(tokens, key=str)] == ran(waiting)
        ran("UPDATE requests SET done_at = 1, envelope = NULL")
        assert [(True,)] == own.execute(
            f"SELECT {roles.schema}.cancel(%s)", (tokens[0],)
        ).fetchall()
        assert [(str(tokens[0]),)] == ran(waiting)


KEYED = ("SELECT {}.keyed(%s, %s, %s::bytea, 0)", "SELECT {}.keyed(%s, %s, ARRAY[%s::bytea], 0)")


@pytest.mark.parametrize("keyed", KEYED, ids=["one scope", "several"])
async def test_who_may_send_as_one_instance_hears_of_no_other_s_keys(shared, keyed):
    async with shared.owner(instances=("bot", "other")) as owner:
        for instance in ("bot", "other"):
            assert (await owner.send(instance, "room", "text", key="order-7")).delivered
    scopes = dict(shared.ran("SELECT account, scope FROM keys"))
    shared.let_in("keys_web", "bot")

    def known(account, instance="bot"):
        asked = (account, instance, scopes[account])
        ((number,),) = shared.server.execute(keyed.format(shared.schema), *asked, user="keys_web")
        return number is not None

    assert known("bot")
    assert not known("other", "other")
    assert not known("other")
