"""Enters, holds open and leaves a context manager in one task, as trio requires."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio

from gateway_core.bridge.calls import Answer, closed


class Held:
    """A context manager whose block runs elsewhere; answers say when it is open and has ended.

    make     makes the context manager, on the gateway's thread
    entered  answered with the value that the context manager yields
    ended    answered with whether the context manager swallowed the block's exception; or with its
             own error, even if it raised this before the block ended
    """

    def __init__(
        self,
        make: Callable[[], AbstractAsyncContextManager[Any]],
        entered: Answer,
        ended: Answer,
    ) -> None:
        self._make = make
        self.entered = entered
        self.ended = ended
        self._left = trio.Event()
        self._scope = trio.CancelScope()
        self._error: Exception | None = None

    async def run(self) -> None:
        """Enter the context manager, wait for `leave`, leave it. Raises only `trio.Cancelled`."""
        try:
            with self._scope:
                async with self._make() as value:
                    self.entered.give(value)
                    await self._block()
            self._answer(swallowed=self._error is not None)
        except trio.Cancelled:
            self._fail(closed())
            raise
        except BaseException as error:  # noqa: BLE001 - the block's, whatever it is
            if error is self._error:
                self._answer(swallowed=False)
            else:
                self._fail(error)
        finally:
            self._error = None

    async def _block(self) -> None:
        await self._left.wait()
        if self._error is not None:
            raise self._error

    def leave(self, error: BaseException | None = None) -> None:
        """On the gateway's thread: the block ended; its exception is raised in the task as well.

        If it is no `Exception` (a cancellation, an exit), the task is cancelled instead.
        """
        if error is None or isinstance(error, Exception):
            self._error = error
            self._left.set()
        else:
            self.cancel()

    def cancel(self) -> None:
        """On the gateway's thread: cancel the task, since nobody waits for it any more."""
        self._scope.cancel()

    def over(self, run: Answer) -> None:
        """The call of `run` is over; if it never began, or its thread broke, there is an error."""
        if run.error is not None:
            self._fail(run.error)

    def _answer(self, *, swallowed: bool) -> None:
        self.entered.fail(closed())  # withdrawn before it was open
        self.ended.give(swallowed)

    def _fail(self, error: BaseException) -> None:
        if self.entered.given:
            self.ended.fail(error)
        else:
            self.entered.fail(error)
            self.ended.give(value=False)
