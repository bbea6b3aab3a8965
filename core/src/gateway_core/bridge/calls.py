"""One call into the gateway's thread, and the answer that it owes.

The caller makes and posts it; a task of the gateway's thread performs it in the caller's context
variables; `heard` is called there once the answer is there, and wakes the caller.
"""

from __future__ import annotations

import contextvars
import types
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from typing import Any, NoReturn

import trio

from gateway_core.contract.errors import GatewayClosed

Heard = Callable[["Answer"], None]


class Answer:
    """A value or an error, given once.

    heard   called on the gateway's thread as it is given; wakes whoever waits
    waiter  what wakes the caller, its face's own: a future, a lock
    """

    __slots__ = ("error", "given", "heard", "value", "waiter")

    def __init__(self, heard: Heard, waiter: Any = None) -> None:
        self.heard = heard
        self.waiter = waiter
        self.given = False
        self.value: Any = None
        self.error: BaseException | None = None

    def give(self, value: Any) -> None:
        """It worked."""
        if not self.given:
            self.value, self.given = value, True
            self.heard(self)

    def fail(self, error: BaseException) -> None:
        """It did not."""
        if not self.given:
            self.error, self.given = error, True
            self.heard(self)

    def result(self) -> Any:
        """The value; raises the error, with the frames of both sides in its traceback."""
        if self.error is not None:
            self._raise()
        return self.value

    def _raise(self) -> NoReturn:
        error, self.error = self.error, None
        assert error is not None  # noqa: S101 - checked by the caller
        try:
            raise error
        finally:
            del error  # a traceback that holds its own frame is collected late


class Call(Answer):
    """An async function to be awaited on the gateway's thread, by one of its `Workers`."""

    __slots__ = ("_args", "_context", "_fields", "_function", "_scope", "_withdrawn")

    def __init__(
        self,
        function: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        fields: Mapping[str, Any],
        heard: Heard,
        waiter: Any = None,
    ) -> None:
        super().__init__(heard, waiter)
        self._function = function
        self._args = args
        self._fields = fields
        self._context = contextvars.copy_context()
        self._scope: trio.CancelScope | None = None
        self._withdrawn = False

    def withdraw(self) -> None:
        """On the gateway's thread: the caller gave up."""
        self._withdrawn = True
        if self._scope is not None:
            self._scope.cancel()

    async def perform(self, task: trio.lowlevel.Task) -> None:
        """Await it in the caller's context variables. Raises nothing but `trio.Cancelled`.

        task  the one that runs this; its context is the caller's afterwards
        """
        if self._withdrawn:
            self.fail(Withdrawn())
            return
        scope = self._scope = trio.CancelScope()
        try:
            with scope:
                self.give(await _in_context(self._begun, self._context, task))
                return
        except trio.Cancelled:
            self.fail(closed())
            raise
        except BaseException as error:  # noqa: BLE001 - the caller's, whatever it is
            self.fail(error)
        else:
            self.fail(Withdrawn())

    def _begun(self) -> Any:
        return self._function(*self._args, **self._fields)


@types.coroutine
def _in_context(
    make: Callable[[], Any], context: contextvars.Context, task: trio.lowlevel.Task
) -> Generator[Any, Any, Any]:
    """Await a coroutine in another context, from its first step on and without a pause before it.

    trio resumes a task in `task.context`; the step under way is in the one that it has been.
    """
    try:
        coroutine = context.run(make)
        trap = context.run(coroutine.send, None)
        task.context = context
        while True:
            try:
                sent = yield trap
            except BaseException as error:  # noqa: BLE001 - passed on, such as `Cancelled`
                trap = coroutine.throw(error)
            else:
                trap = coroutine.send(sent)
    except StopIteration as stop:
        return stop.value


class Withdrawn(Exception):
    """The caller gave up before there was an answer; it knows that, and raises its own error."""


def closed(cause: BaseException | None = None) -> GatewayClosed:
    """What callers get of a gateway that has ended."""
    error = GatewayClosed("the gateway has closed")
    error.__cause__ = cause
    return error


def listed(items: Any) -> Any:
    """All that an iterable gives, read by its caller and not by the gateway's thread.

    What is none is given back as it is, for the gateway to judge.
    """
    is_read = isinstance(items, Iterable) and not isinstance(items, str | bytes)
    return list(items) if is_read else items
