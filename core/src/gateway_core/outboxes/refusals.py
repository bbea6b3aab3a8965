"""Turns refusals and errors into JSON, so that another process raises them too. Sans-I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from gateway_core.contract.errors import (
    ConfigError,
    DeadlinePassed,
    GatewayClosed,
    GatewayError,
    GroupTooLong,
    HookContractError,
    IdempotencyConflict,
    InstanceSourceError,
    InstanceSuspended,
    Invalid,
    OutboxError,
    Overloaded,
    Problem,
    Refused,
    UnknownInstance,
)

_WITH_PROBLEMS = (ConfigError, Invalid, UnknownInstance)
_WITH_FIELDS = (
    DeadlinePassed, GroupTooLong, HookContractError, IdempotencyConflict, InstanceSourceError,
    InstanceSuspended, Overloaded,
)  # fmt: skip
_KINDS: Mapping[str, Any] = {
    kind.__name__: kind for kind in (*_WITH_PROBLEMS, *_WITH_FIELDS, GatewayClosed, OutboxError)
}


def refusal_json(error: GatewayError) -> str:
    """The error as JSON: `kind`, its problems or fields if it has any, and its words as `text`."""
    plain: dict[str, Any] = {"kind": type(error).__name__, "text": str(error)}
    if type(error) in _WITH_PROBLEMS:
        plain["problems"] = [[each.place, each.text] for each in error.problems]  # type: ignore[attr-defined]  # of these kinds
    elif type(error) in _WITH_FIELDS:
        fields: Any = type(error)
        plain["fields"] = {field.name: getattr(error, field.name) for field in attrs.fields(fields)}
    return json.dumps(plain)


def refusal_of(text: str) -> GatewayError:
    """The error of this JSON; `Refused` for a kind or a form that this release does not know."""
    try:
        plain = json.loads(text)
        kind = _KINDS[plain["kind"]]
        if kind in _WITH_PROBLEMS:
            return kind([Problem(place, words) for place, words in plain["problems"]])  # type: ignore[no-any-return]  # one of these kinds
        if kind in _WITH_FIELDS:
            return kind(**plain["fields"])  # type: ignore[no-any-return]  # likewise
        return kind(plain["text"])  # type: ignore[no-any-return]  # likewise
    except (KeyError, TypeError, ValueError):
        return Refused(_words(text))


def _words(text: str) -> str:
    """The error's words, or else the JSON itself."""
    try:
        return str(json.loads(text)["text"])
    except (KeyError, TypeError, ValueError):
        return text
