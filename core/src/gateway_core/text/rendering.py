"""Defines what an adapter tells `plan` about a document. Not compiled, so adapters can inherit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway_core.contract.envelopes import Json


class Rendering(Protocol):
    """One document as a channel writes it; an adapter's `markup.py` implements it.

    If a stretch begins or ends inside a construct, the construct is opened or closed in it. So cost
    and payload of `start..end` are those of what is sent, including repeated table headers.
    """

    def cost(self, start: int, end: int) -> int:
        """How much the stretch counts towards the limit; never less for a greater `end`."""
        ...

    def payload(self, start: int, end: int) -> Mapping[str, Json]:
        """The platform's content fields for the stretch, as plain JSON."""
        ...
