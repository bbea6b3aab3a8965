"""Discord's refusals: status, code and words, as its API gives them.

Source: discord.com/developers/docs/topics/opcodes-and-status-codes, and recorded answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SAID: Mapping[int, tuple[int, str]] = {
    10003: (404, "Unknown Channel"),
    10008: (404, "Unknown Message"),
    10015: (404, "Unknown Webhook"),
    10062: (404, "Unknown interaction"),
    20016: (429, "This action cannot be performed due to slowmode rate limit."),
    40060: (400, "Interaction has already been acknowledged."),
    50001: (403, "Missing Access"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50013: (403, "Missing Permissions"),
    50027: (401, "Invalid Webhook Token"),
    50035: (400, "Invalid Form Body"),
    50083: (400, "Thread is archived"),
    50109: (400, "The request body contains invalid JSON."),
}


class Refusal(Exception):
    """An answer that is no success: its HTTP status and its JSON body."""

    def __init__(
        self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers or {}
        super().__init__(status, body)


def coded(code: int, **more: Any) -> Refusal:
    """The refusal of one of Discord's own codes."""
    status, message = _SAID.get(code, (403, "Missing Permissions"))
    return Refusal(status, {"message": message, "code": code, **more})


def plain(status: int, words: str) -> Refusal:
    """A refusal of the HTTP layer: `401: Unauthorized`, with code 0."""
    return Refusal(status, {"message": f"{status}: {words}", "code": 0})


def form(place: str, code: str, message: str) -> Refusal:
    """An invalid form body, with its one mistake at `place` (dotted)."""
    errors: dict[str, Any] = {"_errors": [{"code": code, "message": message}]}
    for name in reversed(place.split(".")):
        errors = {name: errors}
    return coded(50035, errors=errors)
