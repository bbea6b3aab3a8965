"""Takes secrets out of texts that people or logs will see. Sans-I/O."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

REDACTED = "***"
"""What stands where a secret was."""

_LONG_ENOUGH = 8  # A word of a secret from this length on is redacted by itself ("Bearer" is not).


def _spellings(secret: str) -> set[str]:
    words = {word for word in re.split(r"[\s:]+", secret) if len(word) >= _LONG_ENOUGH}
    spelled = {secret, *words}
    escapes = (quote, functools.partial(quote, safe=""), quote_plus)
    return spelled | {escape(text) for text in spelled for escape in escapes}


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that replaces every one of the secrets: raw, percent-encoded, or a long word."""
    spelled = {text for secret in secrets for text in _spellings(secret)}
    if not spelled:
        return str
    longest_first = sorted(spelled, key=lambda text: (-len(text), text))
    pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
    return functools.partial(pattern.sub, REDACTED)
