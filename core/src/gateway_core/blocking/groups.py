"""Sends many messages at once, for code that blocks: the verbs, and the handle of a group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack

from gateway_core.blocking.handles import Handle, Items
from gateway_core.blocking.home import Home
from gateway_core.bridge.calls import listed
from gateway_core.contract.envelopes import Envelope, Priority, Receipt, Send
from gateway_core.groups import job
from gateway_core.groups.job import Progress
from gateway_core.groups.verbs import BroadcastFields, Forecast


class Job(Handle[job.Job]):
    """The handle of an accepted group. A group may have any number of handles.

    Every method raises `OutboxError` if a durable outbox cannot answer, `GatewayClosed` once it has
    closed with the gateway, and `Invalid` if the group is no longer known.
    """

    def __repr__(self) -> str:
        return repr(self._inner)

    @property
    def id(self) -> str:
        """The group's id, by which `gateway.group` finds it again after a restart."""
        return self._inner.id

    @property
    def key(self) -> str | None:
        """The group's key; None: it has none."""
        return self._inner.key

    @property
    def instance_id(self) -> str:
        """The account that sends the group."""
        return self._inner.instance_id

    def progress(self, *, timeout: float | None = None) -> Progress:
        """How far the group is now."""
        return self._call(timeout, self._inner.progress)

    def pause(self, *, timeout: float | None = None) -> Progress:
        """Let no more members have their turn until `resume`, even after a restart.

        The few members that had their turn go on.
        """
        return self._call(timeout, self._inner.pause)

    def resume(self, *, timeout: float | None = None) -> Progress:
        """Go on after `pause`. The deadline does not change."""
        return self._call(timeout, self._inner.resume)

    def cancel(self, *, timeout: float | None = None) -> Progress:
        """End the group: members whose turn has not come end `cancelled`; others go on."""
        return self._call(timeout, self._inner.cancel)

    def failed(self) -> Items[Receipt]:
        """Receipts of members that ended otherwise than delivered, superseded or cancelled.

        Only receipts that the history remembers; without a durable outbox the newest 10,000.
        """
        return Items(self._home, self._inner.failed())

    def retry(self, *, timeout: float | None = None) -> int:
        """Retry the members in `failed`, as `gateway_core.Job.retry` does; returns how many."""
        return self._call(timeout, self._inner.retry)

    def wait(self, *, timeout: float | None = None) -> Progress:
        """Wait until all members have ended; returns the progress.

        Raises `GatewayClosed` (`kept=True`) if the gateway closes and a durable outbox stores the
        rest of the group. Without a durable outbox the rest ends `cancelled`.
        """
        return self._call(timeout, self._inner.wait)


class GroupVerbs:
    """The methods of a `Gateway` that deliver many messages."""

    _home: Home

    def broadcast(
        self,
        instance: str,
        rooms: Iterable[str],
        text: str,
        *,
        timeout: float | None = None,
        **fields: Unpack[BroadcastFields],
    ) -> Job:
        """Send a message to many rooms, each once, as `gateway_core.Gateway.broadcast` does.

        rooms  ids of rooms; a generator is read to its end first, by the calling thread
        """
        broadcast = self._home.core.broadcast
        made = self._home.call(timeout, broadcast, instance, listed(rooms), text, **fields)
        return Job(self._home, made)

    def foresee_broadcast(
        self, template: Send, rooms: Iterable[str], *, timeout: float | None = None
    ) -> Forecast:
        """What `broadcast` would do with this message; its room is ignored. Accepts nothing."""
        foresee = self._home.core.foresee_broadcast
        return self._home.call(timeout, foresee, template, listed(rooms))

    def submit_many(
        self,
        envelopes: Iterable[Envelope],
        *,
        group: str | None = None,
        not_before: float | None = None,
        priority: Priority = "bulk",
        timeout: float | None = None,
    ) -> Job:
        """Accept envelopes as a group, as `gateway_core.Gateway.submit_many` does.

        envelopes  envelopes of one account; a generator is read to its end first, by the calling
                   thread
        """
        made = self._home.call(
            timeout,
            self._home.core.submit_many,
            listed(envelopes),
            group=group,
            not_before=not_before,
            priority=priority,
        )
        return Job(self._home, made)

    def group(
        self,
        group_id: str | None = None,
        *,
        instance: str | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> Job | None:
        """The handle of a group, by its id or by its account and key; None: it is not known."""
        core = self._home.core
        found = self._home.call(timeout, core.group, group_id, instance=instance, key=key)
        return None if found is None else Job(self._home, found)

    def groups(self, instance: str, *, timeout: float | None = None) -> list[Job]:
        """The remembered groups of an account, the oldest first. Raises `OutboxError`."""
        found = self._home.call(timeout, self._home.core.groups, instance)
        return [Job(self._home, each) for each in found]
