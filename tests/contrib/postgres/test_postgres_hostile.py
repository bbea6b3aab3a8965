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


KEYED = ("SELECT {}.keyed(%s, %s, %s::bytea, 0)", "SELECT {}.keyed(%s, %s, ARRAY[%s::bytea], 0)")


@pytest.mark.parametrize("keyed", KEYED, ids=["one scope", "several"])
async def test_who_may_send_as_one_instance_hears_of_no_other_s_keys(shared, keyed):
    async with shared.owner(instances=("bot", "other")) as owner:
        for instance in ("bot", "other"):
            assert (await owner.send(instance, "room", "text", key="order-7")).delivered
    scopes = dict(shared.ran("SELECT account, scope FROM keys"))
    with shared.server.connect() as own:
        if not own.execute("SELECT 1 FROM pg_roles WHERE rolname = 'keys_web'").fetchone():
            own.execute("CREATE ROLE keys_web LOGIN")
        own.execute(f"SELECT {shared.schema}.allow('keys_web', 'bot')")

    def known(account, instance="bot"):
        asked = (account, instance, scopes[account])
        ((number,),) = shared.server.execute(keyed.format(shared.schema), *asked, user="keys_web")
        return number is not None

    assert known("bot")
    assert not known("other", "other")
    assert not known("other")
