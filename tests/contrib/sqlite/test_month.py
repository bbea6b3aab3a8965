"""Weeks in virtual time: rooms come and go, and nothing that lives as long as the gateway grows.

Each room is written to on one day and never again, with a key; some are refused, some move, some
are edited or lose a thread, and single operations are closed. What the gateway holds in the end is
what it held after a quarter of the time, and follows from its settings.
"""

from __future__ import annotations

from random import Random

import pytest
import trio
from amounts import amount
from sizes import collections_of

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import Call, Edit, ErrorClass, Instance, KeyRef, Limit, Reason, Scope, Send
from gateway_core.authors import Answer, BucketReport, Traits, Verdict, hookimpl
from gateway_core.testing import (
    Failure,
    FakeChannel,
    FakeSettings,
    open_test_gateway,
    virtual_wall,
)

DAY = 86_400.0
ROOMS = 40
"""A day, each new."""
KEYS, HISTORY = 100, 20
BOUND = 2_000
"""Things of one kind over all partitions, by the settings below: at most some hundreds each."""


class Platform(FakeChannel):
    """Refuses, moves rooms, reports buckets, by a generator."""

    def __init__(self, rng: Random) -> None:
        super().__init__(
            script=self._play,
            traits=Traits(edit=True, delete=True, independent_threads=True),
        )
        self.rng = rng
        self.refused: set[str] = set()

    @hookimpl
    def rate_limit(self, room: str, operation: str):
        return [
            Limit(f"chat:{room}", 1, 1.0, of="room"),
            Limit(f"group:{room}", 5, 60.0, "window", of="room"),
            Limit(f"{operation} {room}", 5, 5.0, "learned", of="room"),
            Limit("bot", 30, 1.0, most=30),
            Limit(f"tenant {room}", 30, 1.0, of="gateway"),
        ]

    async def _play(self, attempt) -> Answer | None:
        self.made.clear()  # the platform's own memory is not the gateway's
        for texts in self.rooms.values():
            texts.clear()
        room, rng = attempt.room, self.rng
        if room not in self.refused and rng.random() < 0.5:
            self.refused.add(room)
            kind = rng.choice(["room", "thread", "operation", "moved", "unknown", "report"])
            raise Failure(self._refusal(kind, room))
        name = f"{attempt.operation} {room}"
        reports = BucketReport(
            bucket=f"real {name}", provisional=name, limit=5, remaining=3, reset_after=5.0
        )
        self._count += 1
        known = attempt.message_id or str(self._count)
        return Answer(message_id=known, buckets=(reports,))

    def _refusal(self, kind: str, room: str) -> Verdict:
        if kind == "moved":
            return verdict(Reason.ROOM_MOVED, Scope.ROOM, moved_to=f"{room} moved")
        if kind == "unknown":
            return verdict(Reason.OUTCOME_UNKNOWN, Scope.INSTANCE, dispatched="unknown")
        scope = {"thread": Scope.THREAD, "operation": Scope.OPERATION}.get(kind, Scope.ROOM)
        wait = self.rng.choice([1.0, 30.0, 600.0])
        return verdict(Reason.RATE_LIMITED, scope, retry_after=wait)


def verdict(reason, scope, dispatched="no", **fields):
    return Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=reason,
        scope=scope,
        dispatched=dispatched,
        **fields,
    )


async def use(gateway, room, rng):
    """A room's only day."""
    thread = rng.choice([None, None, "t"])
    base = {"instance_id": "bot", "external_room_id": room}
    tickets = [
        await gateway.submit(Send(**base, text=f"{n}", key=f"{room} {n}", thread_id=thread))
        for n in range(2)
    ]
    key = KeyRef(**base, key=f"{room} 0")
    tickets.append(await gateway.submit(Edit(**base, target=key, text="edited")))
    tickets.append(await gateway.submit(Call(**base, method=f"method of {room}")))
    with trio.move_on_after(2 * 3600):
        for ticket in tickets:
            await ticket.receipt()


async def a_day(gateway, day, rng):
    async with trio.open_nursery() as nursery:
        for n in range(ROOMS):
            nursery.start_soon(use, gateway, f"room {day} {n}", rng)
            await trio.sleep(rng.random() * DAY / ROOMS / 2)
    gateway.add_instance(Instance(f"guest {day}", "fake", FakeSettings()))
    await gateway.send(f"guest {day}", "r", "x", raises=False)
    await gateway.remove_instance(f"guest {day}")
    await trio.sleep_until((day + 1) * DAY)


@pytest.mark.parametrize("outbox", ["in memory", "durable"])
async def test_nothing_grows_with_the_rooms_and_keys_of_a_month(
    outbox, tmp_path, monkeypatch, seldom, autojump_clock
):
    days = amount(f"days {outbox}")
    monkeypatch.setattr("gateway_core.accounts.instance_state.MOST_MOVED", 100)
    monkeypatch.setattr("gateway_core.engine.instances.instance_registry.MOST_GONE", 5)
    monkeypatch.setattr("gateway_core.backlog.capacity.MOST_GONE", 100)
    stored = None
    if outbox == "durable":
        settings = SqliteSettings(in_thread=False, history_for=DAY, refs_for=DAY)
        stored = SqliteOutbox(tmp_path / "o.db", settings, wall_clock=virtual_wall)
    rng = Random("a month")
    seen = []
    async with open_test_gateway(
        Platform(rng),
        outbox=stored,
        partition_count=2,
        idempotency_keys=KEYS,
        history=HISTORY,
        drain_timeout=5,
    ) as gateway:
        for day in range(days):
            await a_day(gateway, day, rng)
            if (day + 1) % (days // 4) == 0:
                seen.append(collections_of(gateway))
        assert gateway.statistics().accepted > days * ROOMS * 4
    last = seen[-1]
    assert "BucketRegistry._buckets" in last  # else nobody looked
    assert "Keys._known" in last
    grown = {
        path: [sizes.get(path, 0) for sizes in seen]
        for path, size in last.items()
        if size > BOUND or size > 2 * seen[0].get(path, 0) + 50
    }
    assert {} == grown
