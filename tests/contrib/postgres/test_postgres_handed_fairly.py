"""What is handed over for one account, and cannot be accepted, holds back no other account's."""

import json

import trio
from postgres_shared import Shared

from gateway_contrib.postgres import handed

PATIENCE = 30.0


def hand(connection, schema, instance, count=1, text="text"):
    sql = f"SELECT {schema}.send(%s, 'room', %s) FROM generate_series(1, %s)"  # noqa: S608 - a name
    connection.execute(sql, (instance, text, count))


async def until(holds):
    with trio.fail_after(PATIENCE):
        while not holds():  # noqa: ASYNC110 - a look at the server
            await trio.sleep(0.02)


def of(taken, instance):
    return [request for request in taken if request.instance_id == instance]


async def test_an_account_of_which_nothing_is_answered_holds_back_no_other_s_rows(
    server, emptied_schema
):
    taken = []
    async with Shared(server, emptied_schema).outbox() as outbox:
        with server.connect() as own:
            hand(own, emptied_schema, "bot", handed.MOST + 700)
            hand(own, emptied_schema, "other")
            outbox.requested = taken.append
            await until(lambda: of(taken, "other"))
            assert len(of(taken, "bot")) <= handed.MOST
            hand(own, emptied_schema, "third")
            await until(lambda: of(taken, "third"))


async def test_many_such_accounts_hold_back_no_other_s_rows(server, emptied_schema):
    taken = []
    async with Shared(server, emptied_schema).outbox() as outbox:
        with server.connect() as own:
            for n in range(6):
                hand(own, emptied_schema, f"bot {n}", 600)
            hand(own, emptied_schema, "other")
            outbox.requested = taken.append
            await until(lambda: of(taken, "other"))
            assert len(taken) <= handed.MOST + 7 * handed.FEW


async def test_large_texts_of_one_account_hold_back_no_other_s_rows(server, emptied_schema):
    taken = []
    async with Shared(server, emptied_schema).outbox() as outbox:
        with server.connect() as own:
            hand(own, emptied_schema, "bot", 40, text="x" * 900_000)
            hand(own, emptied_schema, "other")
            outbox.requested = taken.append
            await until(lambda: of(taken, "other"))
            assert len(of(taken, "bot")) < 40


async def test_what_was_held_back_comes_in_its_order_as_the_account_is_answered(
    server, emptied_schema
):
    taken, answered = [], []
    async with Shared(server, emptied_schema).outbox() as outbox:
        with server.connect() as own:
            hand(own, emptied_schema, "bot", 1_300)
            outbox.requested = taken.append
            await until(lambda: len(taken) >= handed.AT_ONCE)
            hand(own, emptied_schema, "bot", 100)
            while len(answered) < 1_400:
                await until(lambda: len(taken) > len(answered))
                for request in taken[len(answered) :]:
                    outbox.answered(request, json.dumps({"refused": "no"}))
                    answered.append(request.number)
    assert sorted(answered) == answered
    assert len(set(answered)) == 1_400


async def test_an_answer_is_not_missed_for_long_where_somebody_held_its_row(server, emptied_schema):
    """Who withdraws it holds it, and may change their mind."""
    taken = []
    async with Shared(server, emptied_schema).outbox() as outbox:
        with server.connect() as own, server.connect() as other:
            hand(own, emptied_schema, "bot")
            outbox.requested = taken.append
            await until(lambda: taken)
            with other.transaction(force_rollback=True):
                sql = f"SELECT 1 FROM {emptied_schema}.handed FOR UPDATE"  # noqa: S608 - a name
                other.execute(sql)
                outbox.answered(taken[0], json.dumps({"refused": "no"}))
                await until(lambda: not outbox._handed.knows(taken[0].number))
            await until(lambda: len(taken) > 1)
            outbox.answered(taken[1], json.dumps({"refused": "no"}))
            sql = f"SELECT 1 FROM {emptied_schema}.handed WHERE answered_at IS NULL"  # noqa: S608 - a name
            await until(lambda: not own.execute(sql).fetchall())
