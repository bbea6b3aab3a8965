"""Carries out the requests of each room in their order. Waits for each request to be done.

A message begins as soon as the message before it is on its way into the outbox, so that many
messages of one room share a commit. An outbox stores none whose predecessor is not answered. Any
other request begins once all before it are done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

import attrs
import trio

from gateway_core.contract.envelopes import Send
from gateway_core.contract.errors import OutboxError
from gateway_core.outboxes.records import Request

Place: TypeAlias = tuple[str, str]
"""The instance, and the room or whatever else keeps an order of its own."""

MOST_AT_ONCE = 100
"""Messages of one room that are on their way into the outbox at once."""


@attrs.define(eq=False)
class UnderWay:
    """A request that is being carried out."""

    request: Request
    failed: bool = False


@attrs.define(eq=False)
class Line:
    """The requests of one place, in order.

    waiting    not begun
    under_way  begun, and neither done nor forgotten, each with whether the outbox failed at it
    fails      whether it failed at any request since the line went on
    busy       how many requests are being carried out, with those that were forgotten
    """

    waiting: deque[Request] = attrs.field(factory=deque)
    under_way: list[UnderWay] = attrs.field(factory=list)
    fails: bool = False
    busy: int = 0
    _less: trio.Event = attrs.field(factory=trio.Event)

    async def until(self, most: int) -> None:
        """Wait until no more than so many are busy."""
        while self.busy > most:
            self._less = trio.Event()
            await self._less.wait()

    def over(self) -> None:
        """One that was busy is not any more."""
        self.busy -= 1
        self._less.set()

    def forget(self) -> None:
        """Repeat none that are under way, and begin none of the others."""
        self.waiting.clear()
        self.under_way.clear()

    def has_begun(self, request: Request) -> bool:
        """Whether the request is under way, and was not forgotten."""
        return any(each.request is request for each in self.under_way)

    def begin(self) -> UnderWay:
        """Begin the next request, which knows which one may be under way before it."""
        request = self.waiting.popleft()
        after = self.under_way[-1].request.number if self.under_way else 0
        if after != request.after:  # a repeated one had another before it
            request = attrs.evolve(request, after=after)
        begun = UnderWay(request)
        self.under_way.append(begun)
        return begun

    def done(self, begun: UnderWay) -> None:
        """The request needs no repetition."""
        if begun in self.under_way:  # otherwise it was forgotten
            self.under_way.remove(begun)

    def failed(self, begun: UnderWay) -> None:
        """The outbox failed at the request."""
        begun.failed = self.fails = True

    def again(self) -> Request | None:
        """Let failed requests come first, in their order; the first of them, if there is one."""
        failed = [each.request for each in self.under_way if each.failed]
        self.waiting.extendleft(reversed(failed))
        self.under_way.clear()
        self.fails = False
        return failed[0] if failed else None


@attrs.define(eq=False)
class Lines:
    """The lines of all rooms; each has a task while it is not empty.

    carry_out  carries out a request and answers it; calls its second argument once a later message
               of the room may begin. Raises `OutboxError` if the request is to be repeated
    on_failed  called with the first request of a line that the outbox failed at; returns the
               seconds after which it is repeated, or None: never here
    spawn      starts a task
    """

    _carry_out: Callable[[Request, Callable[[], None]], Awaitable[None]]
    _on_failed: Callable[[Request], float | None]
    spawn: Callable[[Callable[[], Awaitable[None]]], None] = attrs.field(init=False)
    _of: dict[Place, Line] = attrs.field(factory=dict, init=False)

    def add(self, place: Place, request: Request) -> None:
        """Carry out the request after the earlier ones of its place."""
        line = self._of.get(place)
        if line is not None:
            line.waiting.append(request)
            return
        self._of[place] = Line(deque([request]))
        self.spawn(partial(self._serve, place))

    def forget(self, instance_id: str | None) -> None:
        """Drop an instance's requests, or all. One that is being carried out is not repeated."""
        for (of, _), line in self._of.items():
            if instance_id in (None, of):
                line.forget()

    def is_current(self, place: Place, request: Request) -> bool:
        """Whether a request that is being carried out was not forgotten meanwhile."""
        line = self._of.get(place)
        return line is not None and line.has_begun(request)

    async def _serve(self, place: Place) -> None:
        line = self._of[place]
        while line.waiting:
            await self._run(line)
            first = line.again()
            if first is None:
                continue
            wait = self._on_failed(first)
            if wait is not None:  # the line's later requests wait for it
                await trio.sleep(wait)
            elif line.waiting and line.waiting[0] is first:
                line.waiting.popleft()
        del self._of[place]

    async def _run(self, line: Line) -> None:
        """Begin the line's requests until one fails or has to come alone; wait for all begun."""
        while line.waiting and not line.fails:
            shares = _shares(line.waiting[0])
            if not shares and line.busy:
                break
            line.busy += 1
            comes_in = trio.Event()
            if not shares:
                await self._one(line, line.begin(), comes_in)
                break
            self.spawn(partial(self._one, line, line.begin(), comes_in))
            await comes_in.wait()
            await line.until(MOST_AT_ONCE - 1)
        await line.until(0)

    async def _one(self, line: Line, begun: UnderWay, comes_in: trio.Event) -> None:
        try:
            await self._carry_out(begun.request, comes_in.set)
        except OutboxError:  # is logged
            line.failed(begun)
        else:
            line.done(begun)
        finally:
            comes_in.set()
            line.over()


def _shares(request: Request) -> bool:
    """Whether others of its room may be under way with it: it is a whole message that `claims`."""
    envelope = request.envelope
    return request.claims and isinstance(envelope, Send) and envelope.grows is None
