"""Keeps track of the open streams of one gateway. Never waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from gateway_core.clock import SECOND, Clock
from gateway_core.contract.beside.buttons import Rows
from gateway_core.contract.beside.faults import button_problems
from gateway_core.contract.envelopes import Json, Send
from gateway_core.contract.errors import Invalid
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import scope_of
from gateway_core.deliveries.remembered import Scope
from gateway_core.outboxes.journal import Journal
from gateway_core.plugins.buttons import fields_beside
from gateway_core.streams.stream import Stream
from gateway_core.submission.door import Door
from gateway_core.submission.draft import Drafting


@attrs.define(eq=False)
class Streams:
    """The open streams of one gateway.

    journal  records growing texts in a durable outbox; None: nothing survives the process
    spawn    starts one of the gateway's tasks
    """

    door: Door
    clock: Clock
    journal: Journal | None
    spawn: Callable[[Callable[[], Any]], None]
    _drafting: Drafting
    _open: dict[Stream, Scope | None] = attrs.field(factory=dict, init=False)
    _keyed: dict[Scope, Stream] = attrs.field(factory=dict, init=False)

    @property
    def is_closed(self) -> bool:
        """Whether the gateway accepts nothing more."""
        return self._drafting.closed

    def open(self, stream: Stream, envelope: Send) -> Stream | None:
        """Note an open stream; returns another open stream with the same key, which it joins."""
        self._drafting.draft(*self._drafting.rewrite(envelope))
        scope = scope_of(envelope)
        if scope is not None:
            first = self._keyed.get(scope)
            if first is not None:
                return first
            self._keyed[scope] = stream
        self._open[stream] = scope
        return None

    def fields_beside(
        self,
        envelope: Send,
        rows: Rows,
        given: Mapping[str, Json] | None,
        known: Mapping[str, Json] | None,
    ) -> Mapping[str, Json]:
        """The platform's own fields with these buttons. Raises `Invalid` as a `Send` does."""
        if problems := list(button_problems(rows)):
            raise Invalid(problems)
        account = self._drafting.account_for(envelope.instance_id)
        return fields_beside(account.hooks, account.instance, rows, given, known)

    def close(self, stream: Stream) -> None:
        """Forget a stream that is no longer open."""
        scope = self._open.pop(stream, None)
        if scope is not None:
            self._keyed.pop(scope, None)

    def ends(self, delivery: Delivery, ago: float = 0.0) -> None:
        """Let a whole stream's time to live count from now, or from `ago` seconds ago."""
        draft, envelope = self._drafting, delivery.envelope
        partition = draft.partition_of(envelope.instance_id, envelope.external_room_id)
        ttl = envelope.ttl
        if ttl is None:
            ttl = getattr(draft.config.ttl, delivery.priority)
        if delivery.receipt is None and envelope.deadline is None:
            delivery.ends_by(self.clock.now() + round((ttl - ago) * SECOND))
            if delivery.id in partition.deliveries:  # otherwise when the delivery comes in
                partition.scheduler.deadlines.add(delivery)

    def gateway_closes(self) -> None:
        """The gateway accepts nothing more: no open stream will become whole."""
        for stream in list(self._open):
            stream._gateway_closes()  # noqa: SLF001 - of one kind
