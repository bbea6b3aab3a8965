"""Finds the secrets, or pieces of them, that a text reveals."""

import re
from urllib.parse import quote

SHORTEST_PIECE = 12


def pieces(secret):
    """The secret and its longer parts, also in the encoding of URLs."""
    parts = {secret, *(part for part in re.split("[.:]", secret) if len(part) >= SHORTEST_PIECE)}
    return parts | {quote(part, safe="") for part in parts}


def found_in(text, secrets):
    return [piece for secret in secrets for piece in sorted(pieces(secret)) if piece in text]
