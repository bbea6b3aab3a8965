"""Remembers uploaded files that Slack has not shared yet, for the next attempt. Sans-I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import attrs

MOST = 1_000
"""How many messages' files a session remembers."""


@attrs.define(eq=False)
class Unshared:
    """The ids of uploaded files, by the key of the attempts that are to share them."""

    _ids: OrderedDict[str, tuple[str, ...]] = attrs.field(factory=OrderedDict, init=False)

    def take(self, key: str) -> list[str]:
        """The ids of the first files of the message, which are not remembered any more."""
        return list(self._ids.pop(key, ()))

    def keep(self, key: str, ids: Sequence[str]) -> None:
        """Remember the ids of the message's first files."""
        if ids:
            self._ids[key] = tuple(ids)
        if len(self._ids) > MOST:
            self._ids.popitem(last=False)
