"""Defines the buttons under a message, the same on all channels: values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import attrs

ButtonStyle = Literal["primary", "danger"]


@attrs.frozen
class Button:
    """A button under a message: it tells the application `value`, or opens `url`.

    text   the label
    value  the value of `gateway.address(event).pressed` when somebody presses it
    url    the address that it opens. A button has either a value or a URL
    style  `primary` or `danger`; None: the platform's default. Discord shows no style on links
    """

    text: str
    value: str | None = None
    url: str | None = attrs.field(default=None, kw_only=True)
    style: ButtonStyle | None = attrs.field(default=None, kw_only=True)


Buttons: TypeAlias = Sequence[Button] | Sequence[Sequence[Button]]
"""One row of buttons, or rows of them."""
Rows: TypeAlias = tuple[tuple[Button, ...], ...]
"""Rows of buttons, from the top."""


def rows_of(value: Any) -> Any:
    """Make rows of buttons from one row or several. Other values stay, for later checks to refuse.

    None stays as well: in an edit it means that the message keeps its buttons.
    """
    if value == () or not isinstance(value, (list, tuple)):  # mostly there are none
        return value
    if value and all(isinstance(each, Button) for each in value):
        return (tuple(value),)
    if all(isinstance(row, list | tuple) for row in value):
        return tuple(map(tuple, value))
    return value


def places(rows: Rows) -> Iterator[tuple[str, Button]]:
    """Each button, with the name of its place."""
    for at, row in enumerate(rows):
        for place, button in enumerate(row):
            yield f"buttons.{at}.{place}", button
