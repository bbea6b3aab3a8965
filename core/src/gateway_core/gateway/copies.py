"""Refuses copies of a gateway, whose tasks and connections exist once."""

from __future__ import annotations

from typing import NoReturn


def refuse_copy(_: object) -> NoReturn:
    """Raise `TypeError`: the `__reduce__` of each `Gateway`, for `copy` and `pickle`."""
    raise TypeError(
        "a gateway cannot be copied or pickled: keep it in a variable of your module,"
        " not in data that a library copies or stores"
    )
