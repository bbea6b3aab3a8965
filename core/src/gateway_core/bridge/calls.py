"""Defines a call into the gateway's thread, and its answer.

The caller makes and posts the call. A task of the gateway's thread performs it with the caller's
context variables. Once the answer is there, the task calls `heard`, which wakes the caller.
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

    heard   called on the gateway's thread when the answer is given; wakes the caller
    waiter  the face's own object that wakes the caller: a future, a lock
    """

    __slots__ = ("error", "given", "heard", "value", "waiter")

    def __init__(self, heard: Heard, waiter: Any = None) -> None:
        self.heard = heard
        self.waiter = waiter
        self.given = False
        self.value: Any = None
        self.error: BaseException | None = None

    def give(self, value: Any) -> None:
        """Give the value, and wake the caller."""
        if not self.given:
            self.value, self.given = value, True
            self.heard(self)

    def fail(self, error: BaseException) -> None:
        """Give the error, and wake the caller."""
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
        """Await the function with the caller's context variables. Raises only `trio.Cancelled`.

        task  the task that runs this; afterwards it has the caller's context
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

    trio resumes a task in `task.context`, so the step under way is still in the former context.
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
    """The caller gave up before there was an answer; the caller raises its own error."""


def closed(cause: BaseException | None = None) -> GatewayClosed:
    """The error that callers get if the gateway has ended."""
    error = GatewayClosed("the gateway has closed")
    error.__cause__ = cause
    return error


def listed(items: Any) -> Any:
    """A list of all items of an iterable, read by the caller and not by the gateway's thread.

    A value that is no iterable is returned as it is, for the gateway to check.
    """
    is_read = isinstance(items, Iterable) and not isinstance(items, str | bytes)
    return list(items) if is_read else items
