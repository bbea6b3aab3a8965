"""Instances (configured accounts) and the secrets that they hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from gateway_core.contract.redaction import redactor
from gateway_core.contract.validators import Validator, name


class Secret:
    """A value that never prints: `repr`, `str` and formatting show `Secret(***)`.

    `reveal()` gives the value; adapters call it where the request is made and nowhere else.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str) or not value:
            raise ValueError("a secret is a text that is not empty")
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a Secret is not pickled")


def secret(
    pattern: str = "[!-~]+", words: str = "printable ASCII without white space"
) -> Validator:
    """A `Secret` whose text has this form, which `words` describe; its text is in no error."""
    form = re.compile(pattern)

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, Secret):
            kind = type(value).__name__
            raise ValueError(f"'{attribute.name}' must be a Secret, not {kind}")  # noqa: TRY004 - as all validators
        if form.fullmatch(value.reveal()) is None:
            raise ValueError(f"'{attribute.name}' must be {words}{_odd(value.reveal())}")

    return check


def _odd(text: str) -> str:
    """What people overlook in a secret that was pasted, as the end of a sentence; else nothing."""
    if "\ufeff" in text:
        return "; it has a byte order mark"
    if text != text.rstrip():
        return "; it ends in white space or a line break"
    return "; it has white space" if any(map(str.isspace, text)) else ""


@attrs.frozen
class Instance:
    """One configured account on a channel: a bot, a workspace.

    id        unique in the gateway; a part of every routing key
    channel   the entry-point name of the adapter that serves it
    settings  an instance of the adapter's `settings_type()`
    """

    id: str = attrs.field(validator=name)
    channel: str = attrs.field(validator=name)
    settings: Any = None


def hidden(text: str, instance: Instance) -> str:
    """The text without the secrets of the instance's settings, however they are spelled there."""
    return redactor(secret.reveal() for secret in _secrets(instance.settings))(text)


def _secrets(value: object) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif attrs.has(kind := type(value)):
        for field in attrs.fields(kind):
            yield from _secrets(getattr(value, field.name, None))
    elif isinstance(value, tuple | list | set | frozenset):
        for item in value:
            yield from _secrets(item)
    elif isinstance(value, Mapping):
        yield from _secrets(tuple(value.values()))
