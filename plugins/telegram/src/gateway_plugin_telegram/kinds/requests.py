"""Makes requests that send a sticker, a location, a poll and the like. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_core.authors import Attempt
from gateway_plugin_telegram.kinds.table import NESTED, Kind, kinds_in
from gateway_plugin_telegram.methods import KIND_EXTRA
from gateway_plugin_telegram.requests import Request, destination, fields_of, own_fields


def kind_of(attempt: Attempt) -> Kind | None:
    """The kind that the attempt sends; None: it sends a text or files."""
    return next(iter(kinds_in(attempt.payload)), None)


def kind_request(attempt: Attempt, kind: Kind) -> Request:
    """A request of the kind's own method. Raises `TelegramApiError` as `send_request` does."""
    content: Mapping[str, Any] = attempt.payload[kind.name]
    own = {name: value for name, value in content.items() if name in kind.fields}
    own = {kind.name: own} if kind.name in NESTED else own
    values = {**destination(attempt), **own}
    fields = fields_of(kind.method, values)
    return Request(kind.method, {**fields, **own_fields(attempt, KIND_EXTRA - kind.lacks)})
