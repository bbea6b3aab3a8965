"""Reads the text of a request with its entities, which are listed or given by a parse mode."""

from __future__ import annotations

from gateway_contrib.emulators.telegram.content import (
    Entities,
    Formatted,
    accepted,
    accepted_caption,
    linked,
)
from gateway_contrib.emulators.telegram.markup import parsed
from gateway_contrib.emulators.telegram.refusals import bad_request
from gateway_contrib.emulators.telegram.requests import Parameters


def formatted(parameters: Parameters) -> Formatted:
    """The text as it is stored. Raises `Refusal`."""
    if not parameters.text("text"):
        raise bad_request("message text is empty")
    return accepted(*_given(parameters, "text", "entities"))


def captioned(parameters: Parameters) -> Formatted:
    """The caption as it is stored; empty if there is none. Raises `Refusal`."""
    return accepted_caption(*_given(parameters, "caption", "caption_entities"))


def _given(parameters: Parameters, name: str, entities_name: str) -> tuple[str, Entities]:
    text, mode = parameters.text(name), parameters.text("parse_mode")
    if mode:
        # With a parse_mode, entities are ignored in silence.
        marked = parsed(text, mode)
        return marked.text, marked.entities
    entities = parameters.structure(entities_name, list, "entities JSON object")
    return text, linked(entities or ())
