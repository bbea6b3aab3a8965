"""Makes Telegram's refusals: status and words, as the Bot API gives them.

Source: core.telegram.org/bots/api#making-requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PREFIXES: Mapping[int, str] = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
}


class Refusal(Exception):
    """The request is refused: status, Telegram's words, and `parameters` if there are any."""

    def __init__(
        self, status: int, words: str, parameters: Mapping[str, Any] | None = None
    ) -> None:
        prefix = _PREFIXES.get(status)
        self.status = status
        self.description = f"{prefix}: {words}" if prefix and words != prefix else words
        self.parameters = parameters
        super().__init__(status, self.description)


def bad_request(words: str) -> Refusal:
    """400, the most common one."""
    return Refusal(400, words)


def flood(seconds: int) -> Refusal:
    """429: come back after so many seconds."""
    return Refusal(429, f"retry after {seconds}", {"retry_after": seconds})


def body_of(refusal: Refusal) -> dict[str, Any]:
    """The JSON of a refusal."""
    body: dict[str, Any] = {
        "ok": False,
        "error_code": refusal.status,
        "description": refusal.description,
    }
    return {**body, "parameters": refusal.parameters} if refusal.parameters else body
