"""Objects, context managers and iterators of the gateway's thread, for callers that block.

A face of an object is a `Handle` with a method for each of the object's, of a line each:

class Group(Handle[core.Group]):
    def pause(self, *, timeout: float | None = None) -> None:
        self._call(timeout, self._inner.pause)              # async there
    def write(self, text: str) -> None:
        self._tell(partial(self._inner.write, text))        # sync there; nobody waits for it

`Block(home, lambda: home.core.stream(event), face)` is a context manager, an async one there.
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
    """An object of the gateway's thread.

    What a method that nobody waits for raised is raised by the next that is waited for, or by the
    end of the block.
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
    """A context manager that is an async one of the gateway's thread.

    make  makes it, there
    face  makes of what it gives what the block gets
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
        """Enter it."""
        self._held, self._ended, inner = self._home.enter(self._make)
        self._face = self._make_face(inner)
        return self._face

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Leave it, with the block's exception; whether it swallowed that."""
        swallowed = self._home.leave(self._held, self._ended, error)
        if error is None and isinstance(self._face, Handle):
            self._face._raise_failure()  # noqa: SLF001 - this module's own
        return swallowed


class Items(Iterator[T]):
    """An iterator that is an async one of the gateway's thread.

    `next_within` waits so long at the most, and loses nothing.
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
        """The next, if it comes within so many seconds. Raises `TimeoutError`, `StopIteration`."""
        try:
            item = self._home.call_after_end(timeout, self._fetch)
        except StopAsyncIteration:
            raise StopIteration from None
        self._next.popleft()
        return item

    async def _fetch(self) -> T:
        """On the gateway's thread: what a caller who gave up did not take is there still."""
        if not self._next:
            self._next.append(await self._items.__anext__())
        return self._next[0]
