"""Groups that one process stores and another feeds: both use one outbox, one owns the account."""

from __future__ import annotations

import pytest
import trio
from broadcasting import got, paced, rooms

from gateway_core import (
    ErrorClass,
    OutboxError,
    Reason,
    Verdict,
)
from gateway_core.testing import EPOCH, Failure, MemoryOutbox, open_test_gateway


class Process:
    """The outbox as one of several processes has it, like an engine on another machine."""

    def __init__(self, store: MemoryOutbox, processes: list[Process], owners: dict[str, Process]):
        self._store, self._processes, self._owners = store, processes, owners
        self.requested = self.lost = self.arrived = self.next_position = None
        self.keys_for = 0.0
        processes.append(self)

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for instance_id, owner in list(self._owners.items()):
            if owner is self:
                del self._owners[instance_id]

    async def recover(self, instance_id):
        if self._owners.setdefault(instance_id, self) is not self and instance_id:
            raise OutboxError(f"{instance_id} is owned by another")
        return await self._store.recover(instance_id)

    async def append_group(self, group, members, on_stored):
        await self._store.append_group(group, members, on_stored)
        self._tell(group.instance_id)

    async def retry(self, group_id):
        count = await self._store.retry(group_id)
        self._tell("bot")
        return count

    def _tell(self, instance_id):
        """The owner hears of it."""
        owner = self._owners.get(instance_id)
        if owner is not self and owner is not None and owner.arrived is not None:
            owner.arrived(instance_id)

    def seize(self, instance_id):
        """It owns the account from now on."""
        before, self._owners[instance_id] = self._owners[instance_id], self
        before.lost(instance_id)


@pytest.fixture
def processes():
    """Makes a process's outbox, all with the same store."""
    store, all_of_them, owners = MemoryOutbox(), [], {}
    return lambda: Process(store, all_of_them, owners)


def another(channel, outbox):
    """The gateway of another process, which has no account yet; its ids are others."""
    return open_test_gateway(channel, outbox=outbox, instances=(), seed="another process")


async def test_the_owner_feeds_what_another_process_stores(processes, autojump_clock):
    """Within a second, and never the process that stored it."""
    channel, other, owning = paced(10), paced(10), processes()
    async with open_test_gateway(channel, outbox=owning) as owner:
        await trio.sleep(60)  # what was there as it opened has been looked at long ago
        async with another(other, processes()) as producer:
            producer.add_instance(owner.config.instances[0])
            await trio.sleep(5)
            began = trio.current_time()
            job = await producer.broadcast("bot", rooms(50), "news")
            with trio.fail_after(60):
                assert {"delivered": 50} == dict((await job.wait()).counts)
            assert trio.current_time() - began < 5 + 1 + 1
    assert dict.fromkeys(rooms(50), 1) == got(channel)
    assert {} == got(other)


async def test_the_owner_tries_again_what_another_process_asks_it_to(processes, autojump_clock):
    """Of a group that has ended here long ago."""

    async def refused(_):
        raise Failure(Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.FORBIDDEN))

    channel, other = paced(10, script=refused), paced(10)
    async with (
        open_test_gateway(channel, outbox=processes()) as owner,
        another(other, processes()) as asking,
    ):
        asking.add_instance(owner.config.instances[0])
        job = await owner.broadcast("bot", rooms(5), "news")
        assert 5 == (await job.wait()).failed
        await trio.sleep(60)
        channel.script = None
        job = await asking.group(job.id)
        assert 5 == await job.retry()
        with trio.fail_after(60):
            assert {"delivered": 5} == dict((await job.wait()).counts)
    assert {} == got(other)


async def test_whoever_takes_an_account_over_feeds_what_was_stored_meanwhile(
    processes, autojump_clock
):
    """It opened before the group was stored, and read nothing of it then."""
    channel, standing_by, second = paced(10), paced(10), processes()
    async with (
        open_test_gateway(channel, outbox=processes()) as owner,
        another(standing_by, second) as standby,
    ):
        standby.add_instance(owner.config.instances[0])
        await trio.sleep(60)
        job = await owner.broadcast("bot", rooms(100), "news", not_before=EPOCH + 100)
        second.seize("bot")
        await trio.sleep(100)
        with trio.fail_after(60):
            await (await standby.group(job.id)).wait()
    assert {} == got(channel)
    assert dict.fromkeys(rooms(100), 1) == got(standing_by)
