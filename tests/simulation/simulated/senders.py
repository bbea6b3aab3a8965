"""Makes callers that hand in groups, pause and cancel them, retry failures, and wait for ends."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any

import trio
from simulated.callers import EXPECTED, Callers
from simulated.drawing import Setup
from simulated.grouped import Grouped, has_failed
from simulated.ledger import Ledger
from simulated.lives import check
from simulated.posters import Posters
from simulated.traffic import Grouping

from gateway_core import (
    Gateway,
    GroupTooLong,
    IdempotencyConflict,
    Invalid,
    Job,
    OutboxError,
    Progress,
    Send,
)

ROOMS = {"telegram": "{n}7{k:02d}", "slack": "C{n}Z{k:02d}", "discord": "{n}7{k:02d}"}
"""Rooms to which nobody else writes."""
REFUSALS = (*EXPECTED, GroupTooLong)


class Senders:
    """All senders of a world; in each life, they look after the groups that have not ended."""

    gateway: Gateway

    def __init__(self, setup: Setup, ledger: Ledger, callers: Callers, posters: Posters) -> None:
        self._posters = posters
        self._setup = setup
        self._ledger = ledger
        self._groups = ledger.groups
        self._callers = callers
        self._left = 0 if setup.groups is None else setup.groups.groups

    async def run(self, gateway: Gateway) -> None:
        """Run until all accepted groups have ended."""
        drawn = self._setup.groups
        if drawn is None:
            return
        self.gateway = gateway
        life = self._ledger.life
        async with trio.open_nursery() as nursery:
            for number, group in enumerate(self._groups.all):
                if not group.done:
                    rng = self._setup.generator(f"group {number} of life {life}")
                    nursery.start_soon(self._looked_after, group, rng, drawn)
            for number in range(drawn.senders):
                rng = self._setup.generator(f"sender {number} of life {life}")
                nursery.start_soon(self._sender, rng, drawn)

    async def _sender(self, rng: Random, drawn: Grouping) -> None:
        while self._left > 0:
            self._left -= 1
            await trio.sleep(rng.choice(drawn.pauses))
            await self._sent(self._drawn(rng, drawn), rng, drawn)

    async def _looked_after(self, group: Grouped, rng: Random, drawn: Grouping) -> None:
        """The application was killed, and goes on with what it knows of its groups."""
        if group.key is not None or group.ids:
            await self._sent(group, rng, drawn)

    async def _sent(self, group: Grouped, rng: Random, drawn: Grouping) -> None:
        patience = math.inf
        if rng.random() < drawn.patience:
            patience = rng.choice([0.0, 0.25, 1.0])
        with trio.move_on_after(patience):
            if not group.ids or (group.key is not None and rng.random() < drawn.again):
                await self._handed_in(group, rng)
        if not group.ids:
            return
        for act in rng.choice(drawn.acts):
            await trio.sleep(rng.choice(drawn.pauses))
            await self._tried(getattr(self, f"_{act}"), group, rng)
            if group.key is not None and rng.random() < drawn.again / 3:
                await self._tried(self._again, group, rng)
        while not (group.done or self._ledger.ending):
            await self._tried(self._over, group, rng)
            await trio.sleep(1.0)

    async def _tried(
        self, act: Callable[[Grouped, Random], Awaitable[None]], group: Grouped, rng: Random
    ) -> bool:
        """Whether the call came through; nobody may wait for a closed gateway."""
        self._callers.calls += 1
        number = self._callers.calls
        self._callers.inside[number] = None
        try:
            await act(group, rng)
        except REFUSALS as refusal:
            self._ledger.refused[type(refusal).__name__] += 1
            self._ledger.note("refused", "group", type(refusal).__name__)
            return False
        except Invalid as refusal:  # a clock that was set back puts `not_before` behind the end
            late = self._setup.jumps and group.due is not None
            self._ledger.expect(late, f"{group} is refused: {refusal}")
            return False
        finally:
            del self._callers.inside[number]
        return True

    # -- handing in

    def _drawn(self, rng: Random, drawn: Grouping) -> Grouped:
        instances = self._setup.config.instances
        which = rng.randrange(len(instances))
        instance = instances[which]
        own = [
            (ROOMS[instance.channel].format(n=which + 1, k=k), None)
            for k in range(rng.choice(drawn.rooms))
        ]
        mine = [place for place in self._setup.places if place.instance == instance.id]
        shared = rng.random() >= drawn.own_texts
        others = {place.room: None if shared else self._callers.thread(place) for place in mine}
        places = own + (list(others.items()) if drawn.shared or not own else [])
        rng.shuffle(places)
        text = self._callers.text(rng)
        texts = [text if shared else self._callers.text(rng) for _ in places]
        due = self._ledger.wall() + rng.choice([-1.0, 0.5, 3.0])
        key = f"group {self._callers.texts}" if rng.random() < drawn.keyed else None
        files = self._posters.of_group(f"group {self._callers.texts}")
        return Grouped(
            files=files,
            instance=instance.id,
            key=key,
            rooms=[room for room, _ in places],
            texts=texts,
            threads=[thread for _, thread in places],
            shared=shared,
            priority=rng.choice(drawn.classes),
            due=due if rng.random() < drawn.scheduled else None,
            ttl=rng.choice(drawn.ttls),
        )

    async def _handed_in(self, group: Grouped, rng: Random) -> None:
        """Hand a group in until it is accepted, or refused for good."""
        while not await self._tried(self._hand_in, group, rng):
            if rng.random() < 0.3 or self._ledger.ending:
                return
            await trio.sleep(1.0)

    async def _hand_in(self, group: Grouped, rng: Random) -> None:
        """Hand a group in by the gateway's public methods."""
        called_at = self._ledger.wall()
        self._groups.hand_in(group)
        life = self._ledger.life
        try:
            job = await self._accepted(group, rng)
        except BaseException:
            check()
            self._groups.refused(group)
            raise
        finally:
            if life == self._ledger.life and group.handing:
                group.handing -= 1
        check()
        self._groups.heard(group, job.id, called_at)

    async def _accepted(self, group: Grouped, rng: Random) -> Job:
        more: dict[str, Any] = {"not_before": group.due, "priority": group.priority}
        own = {"files": group.files} if group.files else {}
        if not group.shared:
            return await self.gateway.submit_many(self._envelopes(group), group=group.key, **more)
        rooms = [*group.rooms, *group.rooms[: rng.choice([0, 0, 2])]]
        if group.newest() and rng.random() < 0.5:
            rng.shuffle(rooms)  # the same rooms in another order are the same group
        if rng.random() < 0.5:
            rooms = iter(rooms)  # type: ignore[assignment]  # any iterable is taken
        return await self.gateway.broadcast(
            group.instance, rooms, group.texts[0], key=group.key, ttl=group.ttl, **own, **more
        )

    def _envelopes(self, group: Grouped) -> Iterable[Send]:
        members = zip(group.rooms, group.texts, group.threads, strict=True)
        return [
            Send(
                instance_id=group.instance,
                external_room_id=room,
                text=text,
                thread_id=thread,
                ttl=group.ttl,
                files=tuple(group.files),
            )
            for room, text, thread in members
        ]

    async def _again(self, group: Grouped, rng: Random) -> None:
        """Hand a group in again: with its key, it is the same group; another text conflicts."""
        if rng.random() < 0.7 or not group.newest():
            await self._hand_in(group, rng)
            return
        before = group.ids[-1]
        try:
            job = await self.gateway.broadcast(
                group.instance, group.rooms, self._callers.text(rng), key=group.key
            )
        except IdempotencyConflict as conflict:
            self._ledger.expect(conflict.envelope_id == before, f"{group} conflicts with another")
            return
        self._ledger.wrong(f"another text is taken for {group}: {job.id}")

    # -- what is done with a group

    async def _job(self, group: Grouped, rng: Random) -> Job:
        """The group's handle, by its id or by its key."""
        by_key = group.key is not None and rng.random() < 0.5
        if by_key:
            job = await self.gateway.group(instance=group.instance, key=group.key)
        else:
            job = await self.gateway.group(group.ids[-1])
        check()
        gone = by_key and group.cancelled is not False and not group.newest()
        if job is None and gone:  # its key is free again
            job = await self.gateway.group(group.ids[-1])
        if job is None:
            self._ledger.wrong(f"{group} is not known")
            raise OutboxError("not known")
        self._ledger.expect(job.id == group.ids[-1], f"{group} is found as {job.id}")
        return job

    async def _look(self, group: Grouped, rng: Random) -> None:
        job = await self._job(group, rng)
        before = group.counts()
        self._groups.expect_progress(group, await job.progress(), before)
        self._ledger.expect(
            group.ids[-1] in [each.id for each in await self.gateway.groups(group.instance)],
            f"{group} is not listed",
        )
        failed = {entry.id for entry in group.newest() if has_failed(entry)}
        told = [receipt async for receipt in job.failed()]
        known = {entry.id: entry for entry in self._ledger.entries if entry.id}
        for receipt in told if not group.trying else ():
            entry = known.get(receipt.envelope_id)
            fits = entry is not None and self._groups.of(entry.envelope) is group
            self._ledger.expect(fits and has_failed(entry), f"{group} tells of {entry} as failed")  # type: ignore[arg-type]  # it is there
        missed = failed - {receipt.envelope_id for receipt in told}
        self._ledger.expect(group.trying or not missed, f"{group} does not tell of {missed}")

    async def _pause(self, group: Grouped, rng: Random) -> None:
        job = await self._job(group, rng)
        group.paused = None
        progress = await job.pause()
        check()
        over = group.is_over(ended=progress.ended)
        self._ledger.expect(progress.paused or over, f"{group} is not paused")
        group.paused, group.paused_at = progress.paused, trio.current_time()
        self._ledger.note("group", "paused", group)

    async def _resume(self, group: Grouped, rng: Random) -> None:
        job = await self._job(group, rng)
        group.paused = None
        progress = await job.resume()
        check()
        self._ledger.expect(not progress.paused, f"{group} stays paused")
        group.paused = progress.paused
        self._ledger.note("group", "resumed", group)

    async def _cancel(self, group: Grouped, rng: Random) -> None:
        job = await self._job(group, rng)
        group.cancelled = group.cancelled or None
        progress = await job.cancel()
        check()
        over = group.is_over(ended=progress.ended)
        self._ledger.expect(progress.cancelled or over, f"{group} is not cancelled")
        group.cancelled = progress.cancelled
        group.trying &= not progress.cancelled
        self._ledger.note("group", "cancelled", group)

    async def _retry(self, group: Grouped, rng: Random) -> None:
        """Retry the members that have failed until now, and no others."""
        job = await self._job(group, rng)
        least = len(group.failing())
        self._groups.try_again(group)
        group.heard = False
        count = await job.retry()
        check()
        group.heard = True
        group.tried_until = self._ledger.moment()
        most = sum(map(has_failed, group.newest()))
        in_vain = not self._setup.durable and group.cancelled is not False and count == 0
        fits = least <= count <= max(most, least) or in_vain
        self._ledger.expect(fits, f"{count} of {group} are tried again, and {least} had failed")
        self._ledger.note("group", "retried", group, count)
        if count == 0:
            group.trying = False

    async def _over(self, group: Grouped, rng: Random) -> None:
        """Let the group go on, and wait for its end."""
        job = await self._job(group, rng)
        if group.paused is not False:
            await self._resume(group, rng)
        progress = await self._waited(job, group)
        check()
        before = group.counts()
        self._groups.waited(group, progress, before)
        group.done = True

    async def _waited(self, job: Job, group: Grouped) -> Progress:
        self._ledger.note("group", "waited for", group)
        return await job.wait()
