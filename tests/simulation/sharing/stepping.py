"""Runs blocking code on trio's thread: where the code would block, other tasks have their turn.

Work that the product does in worker threads is done in a greenlet here, whose waits are trio's. So
it waits in virtual time, in an order that the seed draws.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")


async def stepped(do: Callable[[], T]) -> T:
    """The result of `do`; the waits that it makes by `waited` are awaited here."""
    body = greenlet(do)
    body.gr_context = contextvars.copy_context()
    wanted = body.switch()
    while not body.dead:
        try:
            answer = await wanted()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            wanted = body.throw(error)
        else:
            wanted = body.switch(answer)
    return wanted


def waited(wanted: Callable[[], Awaitable[T]]) -> T:
    """Wait for `wanted`, in code that `stepped` runs."""
    parent: Any = getcurrent().parent
    return parent.switch(wanted)
