"""Reads Discord's ids: everything has a snowflake, and a thread has one like any channel. Sans-I/O.

A room is a channel's id, or a person: `@` and the user's id, such as `@80351110224678912`.
"""

from __future__ import annotations

import re
from typing import TypeGuard

from gateway_core.authors import Attempt

_SNOWFLAKE = re.compile(r"[1-9][0-9]{0,19}")
_BEYOND = 1 << 64


def is_snowflake(value: object) -> TypeGuard[str]:
    """True for a whole number of 64 bits in decimal digits."""
    digits = isinstance(value, str) and _SNOWFLAKE.fullmatch(value)
    return bool(digits) and int(str(value)) < _BEYOND


def person_of(room: str) -> str | None:
    """The user's id, if the room is a person; None: the room is a channel."""
    user = room.removeprefix("@")
    return user if user != room and is_snowflake(user) else None


def channel_of(attempt: Attempt) -> str:
    """The Discord channel that an attempt is made in: a thread is a channel of its own."""
    return attempt.thread or attempt.room
