"""Code that blocks, run on trio's thread: where it would block, others have their turn.

What the product does in worker threads is done in a greenlet here, whose waits are trio's: so it
waits in virtual time, in an order that the seed draws.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")


async def stepped(do: Callable[[], T]) -> T:
    """What `do` gives. What it waits for by `waited` is awaited here."""
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
    """Wait for it, in code that `stepped` runs."""
    parent: Any = getcurrent().parent
    return parent.switch(wanted)
