"""Cuts out the piece of an envelope that a refused part shows, to plan the part again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from gateway_core.contract.envelopes import Edit, Mode, Part, Send
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step
from gateway_core.text import Excerpt


def piece_of(
    delivery: Delivery, step: Step, mode: Mode, *, without_files: bool = False
) -> Send | Edit | None:
    """The envelope with the refused part's text and files alone; None: nothing is left of it."""
    envelope, part = delivery.envelope, step.part
    if part is None or not isinstance(envelope, Send | Edit):
        return None
    if isinstance(envelope, Edit) and envelope.only_buttons:  # it has no text to plan anew
        return None
    start, end = step.span
    text = envelope.text[start:end]
    if without_files and not text.strip():
        return None
    if envelope.format == "markdown" and mode == "stricter":
        text = Excerpt(envelope.text, start, end)
    piece: Any = attrs.evolve(envelope, text=text)
    if envelope.files is not None or step.files is not None:
        kept = None if without_files else step.files
        piece = attrs.evolve(piece, files=() if kept is None else kept.files)
    if not part.fixed and _has_fixed(delivery.steps or ()):  # its part goes on as planned
        piece = attrs.evolve(piece, poll=None, extra={})
    return piece  # type: ignore[no-any-return]  # `evolve` keeps its class


def in_whole(parts: Sequence[Part], step: Step) -> list[Part]:
    """The new parts of a step's piece, with their spans in the whole text."""
    start, end = (0, 0) if step.part is None else step.part.span
    spans = [(min(start + p.span[0], end), min(start + p.span[1], end)) for p in parts]
    return [attrs.evolve(p, span=span) for p, span in zip(parts, spans, strict=True)]


def _has_fixed(steps: Sequence[Step]) -> bool:
    """Whether one of the steps' parts is a poll or the like."""
    return any(step.part is not None and step.part.fixed for step in steps)
