"""Where a text tells a secret, or a piece of one."""

import re
from urllib.parse import quote

SHORTEST_PIECE = 12


def pieces(secret):
    """The secret, its longer parts, and either as a URL spells it."""
    parts = {secret, *(part for part in re.split("[.:]", secret) if len(part) >= SHORTEST_PIECE)}
    return parts | {quote(part, safe="") for part in parts}


def found_in(text, secrets):
    return [piece for secret in secrets for piece in sorted(pieces(secret)) if piece in text]
