"""The text of a request with its entities, however they are given: listed, or by a parse mode."""

from __future__ import annotations

from gateway_contrib.emulators.telegram.content import Formatted, accepted, linked
from gateway_contrib.emulators.telegram.markup import parsed
from gateway_contrib.emulators.telegram.refusals import bad_request
from gateway_contrib.emulators.telegram.requests import Parameters


def formatted(parameters: Parameters) -> Formatted:
    """The text as it is stored. Raises `Refusal`."""
    text = parameters.text("text")
    if not text:
        raise bad_request("message text is empty")
    mode = parameters.text("parse_mode")
    if mode:
        # With a parse_mode, entities are ignored in silence.
        marked = parsed(text, mode)
        return accepted(marked.text, marked.entities)
    entities = parameters.structure("entities", list, "entities JSON object")
    return accepted(text, linked(entities or ()))
