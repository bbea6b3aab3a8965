"""Defines instances (configured accounts) and their secrets, and removes secrets from texts."""

from __future__ import annotations

import functools
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import attrs

from gateway_core.contract.validators import Validator, name

REDACTED = "***"
"""Replaces a secret in a text."""

_LONG_ENOUGH = 8  # A word of a secret from this length on is redacted by itself ("Bearer" is not).


class Secret:
    """A value that is never printed: `repr`, `str` and formatting show `Secret(***)`.

    `reveal()` returns the value; adapters call it where they make the request and nowhere else.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str) or not value:
            raise ValueError("a secret must be a text that is not empty")
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
        raise TypeError("a Secret cannot be pickled")


def secret(
    pattern: str = "[!-~]+", words: str = "printable ASCII without white space"
) -> Validator:
    """A `Secret` whose text has this form, which `words` describe; no error shows the text."""
    form = re.compile(pattern)

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, Secret):
            kind = type(value).__name__
            raise ValueError(f"'{attribute.name}' must be a Secret, not {kind}")  # noqa: TRY004 - as all validators
        if form.fullmatch(value.reveal()) is None:
            raise ValueError(f"'{attribute.name}' must be {words}{_odd(value.reveal())}")

    return check


def _odd(text: str) -> str:
    """What people overlook in a pasted secret, such as a space, as a sentence's end; or nothing."""
    if "\ufeff" in text:
        return "; it has a byte order mark"
    if text != text.rstrip():
        return "; it ends in white space or a line break"
    if any(map(str.isspace, text)):
        return "; it has white space"
    odd = not (text.isascii() and text.isprintable())
    return "; it has a character that is not printable ASCII" if odd else ""


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
    """The text without the secrets of the instance's settings, however the text encodes them."""
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


def _spellings(secret: str) -> set[str]:
    words = {word for word in re.split(r"[\s:]+", secret) if len(word) >= _LONG_ENOUGH}
    spelled = {secret, *words}
    escapes = (quote, functools.partial(quote, safe=""), quote_plus)
    encoded = {text for word in spelled if len(word) >= _LONG_ENOUGH for text in _in_base64(word)}
    return encoded | spelled | {escape(text) for text in spelled for escape in escapes}


def _in_base64(text: str) -> set[str]:
    """The pieces of base64 that show the text inside any longer text, such as a header."""
    found = set()
    for before in range(3):
        content = bytes(before) + text.encode(errors="surrogatepass")
        whole = len(content) // 3 * 4  # the last bytes' digits depend on what follows
        for encode in (b64encode, urlsafe_b64encode):
            found.add(encode(content).decode()[4 if before else 0 : whole])
    return found


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that replaces secrets and their long words: raw, percent-encoded or in base64."""
    spelled = {text for secret in secrets for text in _spellings(secret)}
    if not spelled:
        return str
    longest_first = sorted(spelled, key=lambda text: (-len(text), text))
    pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
    return functools.partial(pattern.sub, REDACTED)
