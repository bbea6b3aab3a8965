"""Does what other processes ask the gateway to do: look, accept, cancel, retry, discard, erase.

This module waits for the outbox, and for slots for the envelopes that it is asked to accept.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import attrs

from gateway_core.backlog.intake import Intake
from gateway_core.backlog.lines import Lines, Place
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.envelopes import Disposition, Envelope
from gateway_core.contract.errors import (
    GatewayClosed,
    GatewayError,
    InstanceSourceError,
    OutboxError,
    UnknownInstance,
)
from gateway_core.deliveries.ending import given_up
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.handover import OF_SUSPENSION
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.journal import report
from gateway_core.outboxes.records import Request, RequestWithdrawn, StoredEntry, Stream
from gateway_core.outboxes.refusals import refusal_json
from gateway_core.outboxes.troubles import Troubles
from gateway_core.plugins.boundary import cause_of, place_of
from gateway_core.scheduling.classes import RANKS
from gateway_core.telemetry import REQUEST_CRASHED, REQUEST_REFUSED, log_event

PAGE = 500
AGAIN = 1.0
"""Seconds until a request is repeated after the outbox failed."""
PATIENCE = 30.0
"""Seconds for which a request of another process waits for an instance source that fails."""
MOST_PATIENT = 200
"""The most requests that wait so. Others are refused at once: no account may take all places."""
CANNOT_CANCEL = "not cancelled: the envelope has started, or is not known"


@attrs.define(eq=False)
class OperatorRequests:
    """The queue of requests, done one by one in their order.

    look        says as JSON which accounts do not work, and what envelopes wait for
    put_behind  called with instance, room, position and stream of an envelope that finds no slot
                in memory
    note_deadline  called with the deadline of such an envelope, a POSIX time
    position    gives the envelope with an id the position after all others, and returns it
    must_follow  whether an envelope must come in after its room's spilled envelopes
    comes       called with each request to accept an envelope, as soon as it is queued
    accept      accepts a request's envelope; returns its id, or the id of the envelope with the
                same key, and whether that envelope had ended. Calls its second argument once a
                later envelope of the room may be accepted
    cancel      ends the envelope with an id, unless it has started; whether it was ended
    leave       does the same, unless somebody else waits for the envelope
    is_of       whether the envelope with an id belongs to an instance
    group       carries out a request about a group, which may be new; returns the answer
    ask         carries out any other request of a process that only hands over; returns the answer
    is_ours     whether this process answers for an account
    _failing    since when the instance source fails for a request, by the request's number
    pass_on     called with a request whose account another process answers for: that process is to
                receive all requests for the account, in order
    """

    _outbox: Outbox
    _intake: Intake
    _partitions: Sequence[Partition]
    _clock: Clock
    _look: Callable[[Request], Awaitable[str]]
    _put_behind: Callable[[str, str, int, Stream], None]
    _note_deadline: Callable[[float], object]
    _position: Callable[[str], int]
    _must_follow: Callable[[Envelope], bool]
    comes: Callable[[Request], None] = attrs.field(init=False)
    accept: Callable[[Request, Callable[[], None]], Awaitable[tuple[str, bool]]] = attrs.field(
        init=False
    )
    cancel: Callable[[str], Awaitable[bool]] = attrs.field(init=False)
    leave: Callable[[str], Awaitable[bool]] = attrs.field(init=False)
    _troubles: Troubles = attrs.field(factory=Troubles, init=False)
    group: Callable[[str], Awaitable[str]] = attrs.field(init=False)
    is_of: Callable[[str, str], Awaitable[bool]] = attrs.field(init=False)
    ask: Callable[[Request], Awaitable[str]] = attrs.field(init=False)
    is_ours: Callable[[str], bool] = attrs.field(default=lambda _instance_id: True, init=False)
    pass_on: Callable[[Request], None] = attrs.field(default=lambda _request: None, init=False)
    _failing: dict[int, int] = attrs.field(factory=dict, init=False)
    _not_before: int = attrs.field(default=0, init=False)
    _requests: deque[Request] = attrs.field(factory=deque, init=False)
    lines: Lines = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.lines = Lines(self._carry_out, self._failed)

    def add(self, request: Request) -> None:
        """Queue a request."""
        asked_at = self._clock.now() - round(request.age * SECOND)
        request = attrs.evolve(request, asked_at=asked_at)
        if request.envelope is not None:
            self.comes(request)
        self._requests.append(request)

    def forget(self, instance_id: str | None) -> None:
        """Drop the requests for an account that this process does not own any more; None: all.

        The next owner receives them again, even if that is this process. A request that is being
        carried out now is not repeated here.
        """
        left = [each for each in self._requests if instance_id not in (None, _instance_of(each))]
        self._requests = deque(left)
        self.lines.forget(instance_id)

    def is_current(self, request: Request) -> bool:
        """Whether a request that is being carried out was not forgotten meanwhile."""
        return self.lines.is_current(_place_of(request), request)

    @property
    def wait(self) -> float:
        """Seconds after which to serve again, unless woken before."""
        return AGAIN if self._requests else math.inf

    async def serve(self) -> None:
        """Carry out the queued requests. If the outbox fails at one, that delays no envelope."""
        if not self._requests or self._clock.now() < self._not_before:
            return
        try:
            while self._requests:
                request = self._requests[0]
                if request.kind == "erase":
                    await self._erase(request)
                elif request.kind in ("look", "accounts"):
                    report(self._outbox.answered, request, await self._look(request))
                elif request.envelope is not None or request.kind in ("group", "ask"):
                    self.lines.add(_place_of(request), request)
                elif request.kind in ("cancel", "leave"):
                    report(self._outbox.answered, request, await self._withdraw(request))
                elif request.stored is not None and request.kind == "retry":
                    self.reopened(request.stored)
                elif request.stored is not None:
                    report(self._outbox.answered, request, self._discard(request.stored))
                _done(self._requests, request)
                self._troubles.over()
        except OutboxError as error:
            self._troubles.failed(error)
            self._not_before = self._clock.now() + round(AGAIN * SECOND)

    async def _carry_out(self, request: Request, comes_in: Callable[[], None]) -> None:
        """Accept the request's envelope, or answer its question."""
        if request.envelope is not None:
            await self._submit(request, comes_in)
        else:
            await self._question(request)

    def _failed(self, request: Request) -> float | None:
        """The seconds after which a request is repeated at which the outbox failed; None: never.

        Later ones of its room wait for it, no matter which process carries them out.
        """
        if self.is_ours(request.instance_id):
            return AGAIN
        self.forget(request.instance_id)
        self.pass_on(request)
        return None

    async def _submit(self, request: Request, comes_in: Callable[[], None]) -> None:
        """Accept the envelope, and answer as JSON with its id, or why it was refused.

        If this gateway closes meanwhile, it leaves the request to the next one. Raises
        `OutboxError` if the request is to be repeated because the outbox, or the instance source,
        fails now.
        """
        try:
            name, ended = await self.accept(request, comes_in)
            answer = json.dumps({"accepted": name} | ({"ended": True} if ended else {}))
        except GatewayClosed:
            return
        except RequestWithdrawn as error:  # never to be repeated
            answer = _refusal(error)
        except OutboxError:
            raise
        except InstanceSourceError as error:
            if self._has_patience(request.number):
                raise OutboxError(str(error)) from error
            answer = _refusal(error)
        except GatewayError as error:
            answer = _refusal(_untelling(request, error))
            if not request.awaited:
                _log_refused(request, error)
        except Exception as error:  # noqa: BLE001 - the boundary stands here
            answer = _crashed(request, error)
        self._failing.pop(request.number, None)
        report(self._outbox.answered, request, answer)

    def _has_patience(self, number: int) -> bool:
        """Whether to repeat a request for whose account the instance source fails."""
        now = self._clock.now()
        if number not in self._failing and len(self._failing) >= MOST_PATIENT:
            return False
        return now - self._failing.setdefault(number, now) < PATIENCE * SECOND

    async def _question(self, request: Request) -> None:
        """Carry out a `group` or `ask` request, and answer as JSON, as `_submit` does.

        Nobody would ask again for a suspension, or for its end, so these are repeated without end.
        """
        try:
            if request.kind == "group":
                told = await self.group(request.asked)
            else:
                told = await self.ask(request)
        except GatewayClosed:
            return
        except OutboxError:
            raise
        except InstanceSourceError as error:
            if _is_of_suspension(request) or self._has_patience(request.number):
                raise OutboxError(str(error)) from error
            told = _refusal(error)
        except GatewayError as error:
            told = _refusal(_untelling(request, error))
        except Exception as error:  # noqa: BLE001 - likewise
            told = _crashed(request, error)
        self._failing.pop(request.number, None)
        report(self._outbox.answered, request, told)

    async def _withdraw(self, request: Request) -> str:
        name, instance_id = request.envelope_id, request.instance_id
        if instance_id and not await self.is_of(name, instance_id):
            return CANNOT_CANCEL
        withdraw = self.cancel if request.kind == "cancel" else self.leave
        if await withdraw(name):
            return "cancelled"
        found = await self._outbox.find(name)  # another owner may have ended it without answering
        ended = None if found is None else found.receipt
        cancelled = ended is not None and ended.disposition is Disposition.CANCELLED
        return "cancelled" if cancelled else CANNOT_CANCEL

    def reopened(self, stored: StoredEntry) -> None:
        """Bring in a failed envelope that is unfinished again, after all that came meanwhile.

        Otherwise the next process run would send it between the parts of another envelope that has
        begun.
        """
        envelope = stored.entry.envelope
        stored = attrs.evolve(stored, position=self._position(stored.entry.id))
        partition = self._intake.partition_for(envelope)
        account = self._intake.reopened(stored, partition)
        if account is None:
            return
        place, stream = (envelope.instance_id, envelope.external_room_id), stored.entry.stream
        full = partition.admission.full(*place, RANKS[stream.priority])
        if full is None and not self._must_follow(envelope):
            self._intake.take(stored, partition, account)
        else:
            self._note_deadline(stored.entry.deadline)
            self._put_behind(*place, stored.position, stream)

    def _discard(self, stored: StoredEntry) -> str:
        """End an envelope, unless an attempt is under way; returns the answer."""
        partition = self._intake.partition_for(stored.entry.envelope)
        delivery = partition.deliveries.get(stored.entry.id)
        if delivery is not None:
            dropped = partition.completion.drop(delivery)
            return "ended" if dropped else "an attempt is under way: the envelope continues"
        ended = self._intake.end_stored(stored, given_up)
        return "ended" if ended else "had ended already"

    async def _erase(self, request: Request) -> None:
        """End a room's queued envelopes, then let the outbox erase all it stores of the room."""
        instance_id, room, after = request.instance_id, request.room, -1
        while page := await self._outbox.page(instance_id, room=room, after=after, limit=PAGE):
            after = page[-1].position
            for stored in page:
                self._discard(stored)
        await self._discard_scheduled(instance_id, room)
        completion = self._intake.partition_of(instance_id, room).completion
        in_flight = completion.forget_room(instance_id, room)
        for partition in self._partitions:  # an envelope may have been asked for in another room
            partition.keys.forget_room(instance_id, room)
        await self._outbox.erase(request, in_flight)

    async def _discard_scheduled(self, instance_id: str, room: str) -> None:
        after = (0.0, -1)
        while page := await self._outbox.scheduled(until=math.inf, after=after, limit=PAGE):
            after = (page[-1].entry.due or 0.0, page[-1].position)
            for stored in page:
                envelope = stored.entry.envelope
                if (envelope.instance_id, envelope.external_room_id) == (instance_id, room):
                    self._discard(stored)


def _is_of_suspension(request: Request) -> bool:
    """Whether another process asks to suspend or to resume an account."""
    return request.kind == "ask" and request.asked.startswith(OF_SUSPENSION)


def _place_of(request: Request) -> Place:
    """The line of requests that keep their order: of a room, of groups, or of suspensions."""
    kept = OF_SUSPENSION if _is_of_suspension(request) else request.room
    return request.instance_id, kept


def _instance_of(request: Request) -> str:
    """The account that the request concerns; empty: the request concerns no single account."""
    stored = request.stored
    return request.instance_id if stored is None else stored.entry.envelope.instance_id


def _done(requests: deque[Request], request: Request) -> None:
    """Remove a request that is done from the queue, unless it was forgotten meanwhile."""
    if requests and requests[0] is request:
        requests.popleft()


def _crashed(request: Request, error: Exception) -> str:
    """The answer to a request that crashed; the error is not raised, but logged.

    If the error were raised, it would end this owner, and each next owner as well.
    """
    name = type(cause_of(error)).__name__
    log_event(
        REQUEST_CRASHED, instance=request.instance_id or None, error=name, where=place_of(error)
    )
    text = f"the process that owns the outbox failed at the request ({name}): see its log"
    return _refusal(OutboxError(text))


def _log_refused(request: Request, error: GatewayError) -> None:
    """Log the refusal of a message for which nobody waits, without its words: they quote values."""
    places = [problem.place for problem in getattr(error, "problems", ())]
    log_event(
        REQUEST_REFUSED,
        instance=request.instance_id or None,
        error=type(error).__name__,
        where=", ".join(filter(None, places)) or None,
    )


def _untelling(request: Request, error: GatewayError) -> GatewayError:
    """The error without the names of other instances, if the request may be from outside."""
    if not request.outside or not isinstance(error, UnknownInstance):
        return error
    return UnknownInstance(
        [attrs.evolve(each, text=each.text.partition(";")[0]) for each in error.problems]
    )


def _refusal(error: GatewayError) -> str:
    """A refusal in words for people, and as data from which another process raises it again."""
    told = {"refused": f"{type(error).__name__}: {error}", "error": refusal_json(error)}
    return json.dumps(told)
