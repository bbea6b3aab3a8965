"""Takes secrets out of texts that people or logs will see. Sans-I/O."""

from __future__ import annotations

import functools
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

REDACTED = "***"
"""What stands where a secret was."""

_LONG_ENOUGH = 8  # A word of a secret from this length on is redacted by itself ("Bearer" is not).


def _spellings(secret: str) -> set[str]:
    words = {word for word in re.split(r"[\s:]+", secret) if len(word) >= _LONG_ENOUGH}
    spelled = {secret, *words}
    escapes = (quote, functools.partial(quote, safe=""), quote_plus)
    encoded = {text for word in spelled if len(word) >= _LONG_ENOUGH for text in _in_base64(word)}
    return encoded | spelled | {escape(text) for text in spelled for escape in escapes}


def _in_base64(text: str) -> set[str]:
    """What of the text stands in any base64 of a text around it, such as a header's."""
    found = set()
    for before in range(3):
        content = bytes(before) + text.encode(errors="surrogatepass")
        whole = len(content) // 3 * 4  # what its last bytes become depends on what follows
        for encode in (b64encode, urlsafe_b64encode):
            found.add(encode(content).decode()[4 if before else 0 : whole])
    return found


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that replaces each secret: raw, percent-encoded, in base64, or a long word."""
    spelled = {text for secret in secrets for text in _spellings(secret)}
    if not spelled:
        return str
    longest_first = sorted(spelled, key=lambda text: (-len(text), text))
    pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
    return functools.partial(pattern.sub, REDACTED)
