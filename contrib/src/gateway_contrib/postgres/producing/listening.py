"""Learns that there is news, by the server's notices or else by looking now and then.

This module waits for the server, on the connection that reads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias
from uuid import UUID

import psycopg
import trio

Connection: TypeAlias = psycopg.Connection[Any]

FLOOR = 1.0
"""Seconds until a look for news without a notice, since a notice may be lost."""
MOST_EARLY = 10_000
"""Numbers that are remembered although nobody waits for them yet, or any more."""
ALL = ""
"""Stands for numbers in a notice; means that there may be news about any number."""


class Listening:
    """One member's notices. `hear` is called with the connection, by one thread at a time."""

    def __init__(self, member: UUID) -> None:
        self._channel = f"gateway_{member}"
        self._connection: Connection | None = None
        self._line: int | None = None
        self._stale: list[int] = []
        self._heard: deque[str] = deque()
        self._early: set[int] = set()

    # -- in a thread, with the connection

    def hear(self, connection: Connection) -> None:
        """Take in the notices that have come on this connection, which may be a new one."""
        if connection is not self._connection:
            connection.execute(f'LISTEN "{self._channel}"')
            line = os.dup(connection.fileno())
            if self._line is not None:
                self._stale.append(self._line)
            self._connection, self._line = connection, line
            self._heard.append(ALL)  # something may have come before
        for notice in connection.notifies(timeout=0):
            self._heard.append(notice.payload)

    # -- on trio's thread

    def chosen(self, waited: Mapping[int, str]) -> list[str] | None:
        """The ids about which there is news; None: there may be news about any.

        waited  ids by their numbers. A notice may come a moment before its number is among them, so
                the number is remembered for a while
        """
        numbers, self._early = self._early, set()
        while self._heard:
            named = _numbers(self._heard.popleft())
            if named is None:
                self._heard.clear()
                return None
            numbers |= named
        found = numbers & waited.keys()
        if len(numbers) < MOST_EARLY:
            self._early = numbers - found
        return [waited[number] for number in found]

    def may_be_any(self) -> None:
        """Note that there may be news about any number, since this process changed something."""
        self._heard.append(ALL)

    async def rest(self, seconds: float) -> None:
        """Wait until something has come on the connection, but at most `seconds`."""
        self._close_stale()
        with trio.move_on_after(seconds):
            if self._line is None:
                await trio.sleep_forever()
            else:
                await trio.lowlevel.wait_readable(self._line)

    def close(self) -> None:
        """Stop listening."""
        if self._line is not None:
            self._stale.append(self._line)
            self._line = None
        self._close_stale()

    def _close_stale(self) -> None:
        while self._stale:
            line = self._stale.pop()
            trio.lowlevel.notify_closing(line)
            with suppress(OSError):
                os.close(line)


def _numbers(payload: str) -> set[int] | None:
    """The numbers that a notice names; None: it may be any, as whoever sent it did not say."""
    try:
        return None if payload == ALL else {int(each) for each in payload.split(",") if each}
    except ValueError:  # every role may send notices
        return None
