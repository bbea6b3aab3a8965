"""What an adapter tells `plan` of a document. Never compiled: an adapter may inherit it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway_core.contract.envelopes import Json


class Rendering(Protocol):
    """One document as a channel writes it; an adapter's `markup.py` has one.

    A stretch that begins or ends inside a construct is written with the construct opened or
    closed: what `start..end` costs and holds is what is sent, reopened table headers included.
    """

    def cost(self, start: int, end: int) -> int:
        """How much the stretch counts towards the limit; never less for a greater `end`."""
        ...

    def payload(self, start: int, end: int) -> Mapping[str, Json]:
        """The platform's content fields for the stretch, as plain JSON."""
        ...
