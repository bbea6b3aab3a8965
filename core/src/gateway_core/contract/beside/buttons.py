"""Buttons under a message, as all channels have them: values."""

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
    """Rows of what may be one row, or several. What is neither stays, for its problems to be named.

    None stays as well: of an edit it keeps the buttons.
    """
    if not isinstance(value, list | tuple):
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
