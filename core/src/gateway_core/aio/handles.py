"""Lets a loop use objects, context managers and iterators of the gateway's thread.

The face of an object is a `Handle` that has a one-line method for each method of the object:

class Group(Handle[core.Group]):
    async def pause(self) -> None:
        await self._call(self._inner.pause)                 # async there
    def write(self, text: str) -> None:
        self._tell(partial(self._inner.write, text))        # sync there; nobody waits for it
    @property
    def stopped(self) -> bool:
        return self._inner.stopped                          # an attribute that is set once

`Block(home, partial(gateway.stream, event), face)` stands for an async context manager there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar

from gateway_core.aio.home import Home
from gateway_core.bridge.calls import Answer
from gateway_core.bridge.held import Held

P = ParamSpec("P")
T = TypeVar("T")
Inner = TypeVar("Inner")
Face = TypeVar("Face")


class Handle(Generic[Inner]):
    """An object of the gateway's thread, as code in the loop uses it.

    If a method that nobody waits for raises, the next awaited method raises the error, or the end
    of the block does.
    """

    def __init__(self, home: Home, inner: Inner) -> None:
        self._home = home
        self._inner = inner
        self._failure: Exception | None = None

    async def _call(
        self, method: Callable[P, Awaitable[T]], /, *args: P.args, **fields: P.kwargs
    ) -> T:
        self._raise_failure()
        return await self._home.call(method, *args, **fields)

    def _tell(self, work: Callable[[], object]) -> None:
        self._home.tell(self._failed, work)

    def _failed(self, error: Exception) -> None:
        self._failure = self._failure or error

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


class Block(AbstractAsyncContextManager[Face], Generic[Face]):
    """An async context manager that is entered and left on the gateway's thread.

    make  makes the context manager, on the gateway's thread
    face  turns the value that it yields into the value that the block gets
    """

    def __init__(
        self,
        home: Home,
        make: Callable[[], AbstractAsyncContextManager[Inner]],
        face: Callable[[Inner], Face],
    ) -> None:
        self._home = home
        self._make = make
        self._make_face = face
        self._ended: Answer
        self._held: Held
        self._face: Face

    async def __aenter__(self) -> Face:
        """Enter the context manager; a cancellation meanwhile also cancels it there."""
        entered, self._ended = self._home.answer(), self._home.answer()
        self._held = self._home.hold(self._make, entered, self._ended)
        inner = await self._home.waited_for(entered, self._held)
        self._face = self._make_face(inner)
        return self._face

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Leave the context manager with the block's exception; returns whether it swallowed it."""
        self._home.leave(self._held, error)
        swallowed = await self._home.waited_for(self._ended, self._held)
        if error is None and isinstance(self._face, Handle):
            self._face._raise_failure()  # noqa: SLF001 - this module's own
        return bool(swallowed)


class Items(AsyncIterator[T]):
    """An async iterator of the gateway's thread. A cancelled call loses no item."""

    def __init__(self, home: Home, items: AsyncIterator[T]) -> None:
        self._home = home
        self._items = items
        self._next: deque[T] = deque()

    def __aiter__(self) -> Items[T]:
        return self

    async def __anext__(self) -> T:
        item = await self._home.call_after_end(self._fetch)
        self._next.popleft()
        return item

    async def _fetch(self) -> T:
        """On the gateway's thread: the next item, or the item that a cancelled caller left."""
        if not self._next:
            self._next.append(await self._items.__anext__())
        return self._next[0]
