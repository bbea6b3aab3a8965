"""Passes endings to an application in order, each at least once, also after restarts.

The application's place is a cursor: a text that it stores beside its own rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import islice
from typing import Protocol

import attrs
import trio

from gateway_core.contract.envelopes import Receipt
from gateway_core.contract.errors import (
    EndingsForgotten,
    Invalid,
    OutboxError,
    Problem,
)
from gateway_core.contract.validators import shown
from gateway_core.outboxes.records import Endings, OutboxForbidden
from gateway_core.outboxes.troubles import Troubles

PAGE = 1000
COMPANY = 0.05
"""Seconds between two looks while envelopes end one by one."""
POLL = 1.0
"""Seconds after which a follower looks without being woken, or again after an `OutboxError`."""


@attrs.frozen(kw_only=True)
class Ended:
    """How an envelope ended, and the cursor for reading the endings that follow.

    cursor   a text, to be stored together with your record of the receipt
    receipt  the receipt that `send` returned or would have returned
    """

    cursor: str
    receipt: Receipt


class Source(Protocol):
    """The object that numbers endings in their order."""

    async def endings(self, *, after: int, limit: int = PAGE) -> Endings:
        """The next endings after the number `after`."""
        ...


class MemoryEndings:
    """The endings of this run, if no outbox has them: as many as the histories have receipts.

    on_note  called after each ending that is noted
    """

    def __init__(self, source: str, ended: Iterable[Receipt], most: int) -> None:
        before = sorted(ended, key=lambda receipt: receipt.ended_at)
        self._source = source
        self._receipts: deque[Receipt] = deque(before, maxlen=most)
        self._count = len(before)
        self.on_note: Callable[[], None] = lambda: None

    def note(self, receipt: Receipt) -> None:
        """An envelope ended."""
        self._receipts.append(receipt)
        self._count += 1
        self.on_note()

    async def endings(self, *, after: int, limit: int = PAGE) -> Endings:
        """The next endings after the number `after`, at once."""
        await trio.lowlevel.checkpoint()
        forgotten = self._count - len(self._receipts)
        start = max(0, after - forgotten)
        found = islice(enumerate(self._receipts, forgotten + 1), start, start + limit)
        return Endings(
            source=self._source, forgotten=forgotten, newest=self._count, ended=tuple(found)
        )


class Follower:
    """Passes endings to any number of subscribers as they happen, each from its own position."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.troubles = Troubles()
        self.woken = trio.Event()
        self.closed = False

    def wake(self) -> None:
        """An envelope ended: let subscribers look."""
        self.woken.set()

    def close(self) -> None:
        """Stop once all stored endings have been passed on."""
        self.closed = True
        self.woken.set()

    def after(self, cursor: str | None) -> AsyncIterator[Ended]:
        """Every ending after the cursor, until the gateway closes."""
        return _Following(self, cursor)


@attrs.define(eq=False)
class _Following:
    """One application's place. It is no generator: the application would have to close that."""

    _follower: Follower
    _cursor: str | None
    _number: int = attrs.field(init=False)
    _checked: bool = attrs.field(init=False)
    _next: deque[tuple[int, Receipt]] = attrs.field(factory=deque, init=False)
    _source: str = attrs.field(default="", init=False)
    _more: bool = attrs.field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        self._number = -1 if self._cursor is None else _number_of(self._cursor)
        self._checked = self._cursor is None

    def __aiter__(self) -> _Following:
        return self

    async def __anext__(self) -> Ended:
        while not self._next:
            closed, woken = self._follower.closed, self._follower.woken
            if not self._more:
                await trio.sleep(COMPANY)
                with trio.move_on_after(POLL):
                    await woken.wait()
            if woken.is_set() and not closed:
                self._follower.woken = trio.Event()
            page = await self._page(closed=closed)
            if page is not None:
                self._look(page)
                self._next.extend(page.ended)
                self._source, self._more = page.source, len(page.ended) == PAGE
            if closed and not self._next:
                raise StopAsyncIteration
        self._number, receipt = self._next.popleft()
        return Ended(cursor=f"{self._source}.{self._number}", receipt=receipt)

    def _look(self, page: Endings) -> None:
        if not self._checked:
            _check(self._cursor or "", self._number, page)
            self._checked = True
        elif 0 <= self._number < page.forgotten:
            cursor = f"{page.source}.{self._number}"
            raise EndingsForgotten(cursor, "too many envelopes have ended meanwhile")

    async def _page(self, *, closed: bool) -> Endings | None:
        """The next page; None: the outbox cannot give it now, which is logged."""
        follower = self._follower
        try:
            page = await follower.source.endings(after=max(self._number, 0), limit=PAGE)
        except OutboxForbidden:
            raise
        except OutboxError as error:
            follower.troubles.failed(error)
            if not closed:
                await trio.sleep(POLL)
            return None
        follower.troubles.over()
        return page


def _number_of(cursor: object) -> int:
    source, _, number = cursor.rpartition(".") if isinstance(cursor, str) else ("", "", "")
    if not (source and number.isascii() and number.isdigit()):
        text = f"must be the cursor of an ending, or None, not {shown(cursor)}"
        raise Invalid([Problem("after", text)])
    return int(number)


def _check(cursor: str, number: int, page: Endings) -> None:
    """Raises `EndingsForgotten` for a cursor from which reading cannot go on."""
    if cursor.rpartition(".")[0] != page.source:
        raise EndingsForgotten(cursor, "it is from another outbox, or an earlier run in memory")
    if number > page.newest:
        raise EndingsForgotten(cursor, "the outbox is an older one, restored from a copy")
    if number < page.forgotten:
        raise EndingsForgotten(cursor, "the history does not reach back that far")
