"""The handover of an outbox in PostgreSQL: two connections, no lease; it needs no running owner."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import uuid4

import attrs
import msgspec
import psycopg
import trio

from gateway_contrib.durable.committer import Failing, Trouble
from gateway_contrib.postgres.connections.connecting import LATE
from gateway_contrib.postgres.connections.failing import Place, typed
from gateway_contrib.postgres.connections.migrations import migrated
from gateway_contrib.postgres.connections.pooling import PoolableLink
from gateway_contrib.postgres.names import PRIORITIES, scope_of
from gateway_contrib.postgres.producing import calls
from gateway_contrib.postgres.producing.calls import Connection, Handing
from gateway_contrib.postgres.producing.handing import HandingOver
from gateway_contrib.postgres.producing.listening import FLOOR, Listening
from gateway_contrib.postgres.sealing.handing import HandingKeys
from gateway_contrib.postgres.settings import PostgresSettings
from gateway_core import Invalid, Problem
from gateway_core.outboxes import (
    OUTBOX_FAILED,
    OUTBOX_WORKS,
    Endings,
    Envelope,
    News,
    OutboxError,
    Priority,
    What,
    log_event,
    position_of,
    to_json,
)

if TYPE_CHECKING:  # its library is an extra
    from gateway_contrib.durable.sealing.ciphers import Key

T = TypeVar("T")

PAGE = 1_000
"""Ids, at most, of one look."""
SOON = 0.1
"""Seconds between two looks if no notice can come and something was handed over lately."""
LATELY = 2.0
"""Seconds for which something counts as handed over lately."""


@attrs.define(eq=False)
class Question:
    """A question to the owner, and its answer."""

    answer: str | None = None
    answered: trio.Event = attrs.field(factory=trio.Event)


class PostgresHandover:
    """Hands over envelopes to the process that owns the outbox in the database at `url`.

    Entering it raises `OutboxError` if the database cannot be reached, if the schema is not there
    and cannot be made, or if the outbox is sealed with another key.

    keys     the keys to seal with; the first one that an owner has made known is used
    failing  the parts of this process's outbox that fail now
    """

    def __init__(
        self,
        url: str,
        settings: PostgresSettings,
        wall: Callable[[], float],
        keys: Sequence[Key],
        failing: Failing,
    ) -> None:
        self.waiting: Callable[[], Sequence[str]] = list
        self.heard: Callable[[News], None] = lambda _news: None
        self.keys_for = 86_400.0
        self.settings = settings
        self.place = Place(url, settings.schema)
        self._wall = wall
        self._keys = HandingKeys(keys, self.place)
        member = uuid4()
        link = partial(PoolableLink, url, settings, limit=settings.lease + settings.connect_for)
        self._writer, self._reader = link(), link()
        self._failing, self._troubled = failing, Trouble(failing)
        self._handing = HandingOver(self._writer, self.place, member, self._keys, self._troubled)
        self._listening = Listening(member)
        self._limiter = trio.CapacityLimiter(1)
        self._questions: dict[str, Question] = {}
        self._closed = False
        self._more = trio.Event()
        self._came = -LATELY
        self._tasks: Any = None

    async def __aenter__(self) -> Self:
        prepare = partial(calls.prepare, schema=self.settings.schema)
        try:
            with typed(self.place, "cannot be opened"):
                await migrated(partial(self._handing.call, prepare), self.place)
                await self._handing.call(self._keys.begin)
                await self._read(self._hear)
        except BaseException:
            self._close()
            raise
        self._tasks = trio.open_nursery()
        nursery = await self._tasks.__aenter__()
        nursery.start_soon(self._hand_on, nursery.cancel_scope)
        nursery.start_soon(self._listen)
        nursery.start_soon(self._watch)
        return self

    async def _hand_on(self, others: trio.CancelScope) -> None:
        await self._handing.run()
        others.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handing.close()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._close()

    def _close(self) -> None:
        self._closed = True
        self._failing.parts.discard(self._troubled)
        for question in self._questions.values():  # nobody could pass on its answer any more
            question.answered.set()
        self._listening.close()
        self._writer.close()
        self._reader.close()

    # -- what the gateway asks

    async def hand_over(
        self, envelope: Envelope, *, awaited: bool, files: Mapping[str, bytes]
    ) -> str:
        """Hand the envelope over; returns its id once it is committed."""
        names = (envelope.instance_id, envelope.external_room_id)
        if any("\0" in name for name in names):
            raise Invalid([Problem("", "instance and room must not contain NUL")])
        try:
            text = msgspec.json.encode(to_json(envelope)).decode()
        except (TypeError, UnicodeEncodeError) as error:
            raise Invalid([Problem("", f"cannot be stored as JSON: {error}")]) from None
        scope = None
        if envelope.key is not None:
            scope = scope_of((*names, envelope.operation, envelope.key))
        row = Handing(
            instance=names[0],
            room=names[1],
            text=text,
            scope=scope,
            awaited=awaited,
            files=files,
        )
        handed_id = await self._handing.hand_over(row)
        self.expect()
        return handed_id

    def expect(self) -> None:
        """Note that news will come, so look for it more often."""
        self._came = trio.current_time()
        self._more.set()

    def leave(self, handed_id: str) -> None:
        """Say with the next batch that nobody waits for it any more."""
        self._handing.leave(handed_id)

    async def cancel(self, envelope_id: str) -> bool:
        """Cancel the envelope: here if no owner has answered it, otherwise at its owner."""
        try:
            position_of(envelope_id)
        except ValueError:
            return False
        with typed(self.place, "cannot be asked"):
            withdrawal = calls.Withdrawal(envelope_id)
            await self._handing.call(withdrawal)
            if withdrawal.done:
                self._look_at_all()
                return True
        found = await self.find(envelope_id)
        if found is None or not found.stored or found.envelope_id is None:
            return False
        row = Handing(kind="cancel", instance=found.instance_id, text=found.envelope_id)
        return await self._asked(row) == "cancelled"

    async def ask(self, instance_id: str, question: str, *, files: Mapping[str, bytes]) -> str:
        """Ask the owner, by a row that it takes in its turn; returns the answer."""
        row = Handing(kind="ask", instance=instance_id, text=question, files=files)
        return await self._asked(row)

    async def tell(self, instance_id: str, question: str) -> None:
        """Tell the owner by such a row, which stays until an owner has taken it."""
        await self._handing.hand_over(Handing(kind="ask", instance=instance_id, text=question))

    async def _asked(self, row: Handing) -> str:
        handed_id = await self._handing.hand_over(row)
        question = Question()
        if self._closed:
            raise OutboxError(_CLOSED)
        self._questions[handed_id] = question
        self.expect()
        try:
            await question.answered.wait()
        except trio.Cancelled:
            self.leave(handed_id)
            raise
        finally:
            del self._questions[handed_id]
        if question.answer is None:
            raise OutboxError(_CLOSED)
        return question.answer

    async def find(self, what: What) -> News | None:
        """Find committed news by id or key."""
        with typed(self.place, "cannot be read"):
            if not isinstance(what, str):
                since = self._wall() - (self.settings.key_window or self.keys_for)
                found = await self._opened(partial(calls.keyed, scope=what, since=since))
            else:
                try:
                    position_of(what)
                except ValueError:
                    return None
                found = await self._opened(partial(calls.news, ids=[what]))
        return found[0] if found else None

    async def unfinished(self) -> Mapping[Priority, int]:
        """How many unfinished envelopes the owners have said that they count."""
        with typed(self.place, "cannot be read"):
            counts = await self._read(calls.counted)
        return dict(zip(PRIORITIES, counts, strict=False))

    async def endings(self, *, after: int, limit: int = 1000) -> Endings:
        """Endings, by their numbers."""
        with typed(self.place, "cannot be read"):
            return await self._opened(partial(calls.ended_after, after=after, limit=limit))

    async def _read(self, do: Callable[[Connection], T]) -> T:
        return await trio.to_thread.run_sync(
            partial(self._reader.call, do), limiter=self._limiter, abandon_on_cancel=False
        )

    async def _opened(self, do: Callable[..., T]) -> T:
        """Call `do`, which reads sealed values, with the keyring that opens them."""
        return await self._read(lambda it: do(it, seals=self._keys.keyring(it)))

    # -- what became of it

    def _look_at_all(self) -> None:
        self._listening.may_be_any()
        self._more.set()

    def _hear(self, connection: Connection) -> None:
        """Read notices; not through a pooler, which gives a listening session to other clients."""
        if not self._reader.pooled:
            self._listening.hear(connection)

    def _pause(self, waited: int) -> float:
        """Seconds between two looks for news without a notice."""
        lately = trio.current_time() - self._came < LATELY
        return (SOON if self._reader.pooled and lately else FLOOR) + waited / PAGE

    async def _listen(self) -> None:
        """Look for news whenever a notice comes, and now and then."""
        looked = trio.current_time()
        while True:
            try:
                if not self._reader.pooled:
                    await self._read(self._hear)
                now, waited = trio.current_time(), [*self.waiting(), *self._questions]
                pause = self._pause(len(waited))
                if now - looked >= pause:
                    self._listening.may_be_any()
                chosen = self._listening.chosen({position_of(each): each for each in waited})
                looked = now if chosen is None else looked
                await self._tell(waited if chosen is None else chosen)
            except (psycopg.Error, OSError, OutboxError) as error:
                await self._fail(error)
                continue
            writes, now = not self._handing.fails, trio.current_time()
            if (seconds := self._troubled.works(now, wrote=writes, ends=False)) is not None:
                log_event(OUTBOX_WORKS, seconds=round(seconds, 3))
            if not waited:
                await self._rest(1e9)
                looked = trio.current_time()
            elif chosen == []:
                await self._rest(max(0.0, looked + pause - trio.current_time()))

    async def _tell(self, ids: Sequence[str]) -> None:
        """Report news about these ids; one that is gone, perhaps erased, gets empty news."""
        for first in range(0, len(ids), PAGE):
            some = ids[first : first + PAGE]
            read = await self._opened(partial(calls.news, ids=some))
            found = {each.id: each for each in read}
            lacking = [each for each in some if each not in found or _is_forgotten(found[each])]
            if lacking:  # one may have ended while the statement read one table after the other
                again = await self._opened(partial(calls.news, ids=lacking))
                found |= {each.id: each for each in again}
            for each in some:
                news = found.get(each) or _gone(each)
                question = self._questions.get(each)
                if question is None:
                    self.heard(news)
                elif news.answered_at is not None:
                    question.answer = news.answer or _NO_ANSWER
                    question.answered.set()

    async def _rest(self, seconds: float) -> None:
        """Wait until a notice may have come, or there is more to wait for."""
        async with trio.open_nursery() as nursery:

            async def until_more() -> None:
                await self._more.wait()
                self._more = trio.Event()
                nursery.cancel_scope.cancel()

            nursery.start_soon(until_more)
            await self._listening.rest(seconds)
            nursery.cancel_scope.cancel()

    async def _fail(self, error: Exception) -> None:
        """Log the failure, but not each attempt, and wait before the connection is made again."""
        text = (
            error if isinstance(error, OutboxError) else self.place.failed("cannot be read", error)
        )
        if (times := self._troubled.fails(str(text), trio.current_time())) is not None:
            log_event(OUTBOX_FAILED, error=str(text), times=times)
        await trio.sleep(FLOOR)

    async def _watch(self) -> None:
        """Break connections that do not answer in time, so that their callers get an error."""
        while True:
            await trio.sleep(LATE)
            for link in (self._writer, self._reader):
                link.sever_if_late()


_CLOSED = "the gateway has closed: the owner may have done what it was asked, or may still do it"
_NO_ANSWER = json.dumps(
    {"refused": "the process that owns the outbox has an older release, which cannot do this"}
)


def _is_forgotten(news: News) -> bool:
    """Whether an envelope was accepted, and is neither unfinished nor known to have ended."""
    told = news.refused or news.receipt or news.cancelled or news.stored
    return news.envelope_id is not None and not told


def _gone(handed_id: str) -> News:
    return News(id=handed_id, instance_id="", room="", handed_at=0.0, answered_at=0.0)
