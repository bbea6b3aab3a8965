"""Lets callers that block use objects, context managers and iterators of the gateway's thread.

The face of an object is a `Handle` that has a one-line method for each method of the object:

class Group(Handle[core.Group]):
    def pause(self, *, timeout: float | None = None) -> None:
        self._call(timeout, self._inner.pause)              # async there
    def write(self, text: str) -> None:
        self._tell(partial(self._inner.write, text))        # sync there; nobody waits for it

`Block(home, lambda: home.core.stream(event), face)` stands for an async context manager there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar

from gateway_core.blocking.home import Home
from gateway_core.bridge.calls import Answer
from gateway_core.bridge.held import Held

P = ParamSpec("P")
T = TypeVar("T")
Inner = TypeVar("Inner")
Face = TypeVar("Face")


class Handle(Generic[Inner]):
    """An object of the gateway's thread, as callers that block use it.

    If a method that nobody waits for raises, the next method that is waited for raises the error,
    or the end of the block does.
    """

    def __init__(self, home: Home, inner: Inner) -> None:
        self._home = home
        self._inner = inner
        self._failure: Exception | None = None

    def _call(
        self,
        timeout: float | None,
        method: Callable[P, Awaitable[T]],
        /,
        *args: P.args,
        **fields: P.kwargs,
    ) -> T:
        self._raise_failure()
        return self._home.call(timeout, method, *args, **fields)

    def _tell(self, work: Callable[[], object]) -> None:
        self._home.tell(self._failed, work)

    def _failed(self, error: Exception) -> None:
        self._failure = self._failure or error

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


class Block(AbstractContextManager[Face], Generic[Face]):
    """A context manager that stands for an async context manager of the gateway's thread.

    make  makes the async context manager, on the gateway's thread
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

    def __enter__(self) -> Face:
        """Enter the context manager."""
        self._held, self._ended, inner = self._home.enter(self._make)
        self._face = self._make_face(inner)
        return self._face

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Leave the context manager with the block's exception; returns whether it swallowed it."""
        swallowed = self._home.leave(self._held, self._ended, error)
        if error is None and isinstance(self._face, Handle):
            self._face._raise_failure()  # noqa: SLF001 - this module's own
        return swallowed


class Items(Iterator[T]):
    """An iterator that stands for an async iterator of the gateway's thread.

    `next_within` waits for a limited time, and loses no item.
    """

    def __init__(self, home: Home, items: AsyncIterator[T]) -> None:
        self._home = home
        self._items = items
        self._next: deque[T] = deque()

    def __iter__(self) -> Items[T]:
        return self

    def __next__(self) -> T:
        return self.next_within(None)

    def next_within(self, timeout: float | None) -> T:
        """The next item within `timeout` seconds. Raises `TimeoutError` and `StopIteration`."""
        try:
            item = self._home.call_after_end(timeout, self._fetch)
        except StopAsyncIteration:
            raise StopIteration from None
        self._next.popleft()
        return item

    async def _fetch(self) -> T:
        """On the gateway's thread: the next item, or the item that an earlier caller left."""
        if not self._next:
            self._next.append(await self._items.__anext__())
        return self._next[0]
