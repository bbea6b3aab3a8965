"""What outside memory has its time: no deadline is passed over."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import trio

from gateway_core.backlog.schedule import Schedule
from gateway_core.contract.errors import OutboxError
from gateway_core.contract.ids import Ids
from gateway_core.outboxes.records import Overdue


class Rows:
    """An outbox of deadlines alone, which takes a second to read."""

    def __init__(self) -> None:
        self._ids = Ids(SimpleNamespace(getrandbits=lambda _: 0))  # type: ignore[arg-type]
        self.rows = {}

    def add(self, deadline: float) -> None:
        """One that ends then."""
        envelope = SimpleNamespace(instance_id="bot")
        name = self._ids.next(0.0)
        entry = SimpleNamespace(id=name, deadline=deadline, envelope=envelope, accepted_at=0.0)
        self.rows[entry.id] = SimpleNamespace(entry=entry, sequence=None, records=())

    async def overdue(self, *, until, after, limit) -> Overdue:
        """As it was when it was asked."""
        rows = sorted(self.rows.values(), key=lambda row: row.entry.deadline)
        kept = tuple(r for r in rows if after[0] < r.entry.deadline <= until)[:limit]
        await trio.sleep(1)
        return Overdue(stored=kept)


async def test_what_is_left_behind_a_look_that_is_under_way_is_found(autojump_clock):
    """The clock was set back meanwhile, so that it ends before what that look finds."""
    outbox, ended = Rows(), []

    def end(kept) -> None:
        ended.append(kept.entry.deadline)
        del outbox.rows[kept.entry.id]

    times = Schedule(
        outbox,
        None,
        SimpleNamespace(end_stored=end),
        goes_on={"bot"}.__contains__,
        clock=SimpleNamespace(wall=lambda: 100.0),
        put_behind=None,
    )
    times.open((), scheduled=False)
    outbox.add(90.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(times.expire)
        await trio.sleep(0.5)
        outbox.add(80.0)
        times.deadlines.note(80.0)
    assert [90.0] == ended
    while await times.expire():
        pass
    assert [90.0, 80.0] == ended


class Failing:
    """An outbox that cannot be read just now."""

    async def overdue(self, **_) -> Overdue:
        raise OutboxError("disk I/O error")

    async def scheduled(self, **query):
        if query["until"] == 100.0:  # nothing is due; what comes next cannot be read
            return ()
        raise OutboxError("disk I/O error")


@pytest.mark.parametrize("kind", ["deadlines", "due"])
async def test_a_time_that_could_not_be_looked_for_is_looked_for_again(kind):
    schedule = Schedule(
        Failing(),
        None,
        None,
        goes_on={"bot"}.__contains__,
        clock=SimpleNamespace(wall=lambda: 100.0),
        put_behind=None,
    )
    times = getattr(schedule, kind)
    times.note(90.0)
    with pytest.raises(OutboxError):
        await (schedule.expire() if kind == "deadlines" else schedule.scan())
    assert 90.0 == times.next
