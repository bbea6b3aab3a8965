"""Defines a poll, the same on all channels that have polls: a value."""

from __future__ import annotations

from collections.abc import Sequence

import attrs


def _as_tuple(options: object) -> object:
    return tuple(options) if isinstance(options, list) else options


@attrs.frozen
class Poll:
    """A question with answers to choose from.

    question   what is asked
    options    the answers, in their order
    multiple   whether people may choose several
    anonymous  whether votes are anonymous; None: the platform's default
    duration   seconds after which the poll closes; None: the platform's default
    """

    question: str
    options: Sequence[str] = attrs.field(converter=_as_tuple)
    multiple: bool = attrs.field(default=False, kw_only=True)
    anonymous: bool | None = attrs.field(default=None, kw_only=True)
    duration: float | None = attrs.field(default=None, kw_only=True)
