"""Makes Discord's refusals: status, code and words, as its API gives them.

Source: discord.com/developers/docs/topics/opcodes-and-status-codes, and recorded answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SAID: Mapping[int, tuple[int, str]] = {
    10003: (404, "Unknown Channel"),
    10004: (404, "Unknown Guild"),
    10008: (404, "Unknown Message"),
    10014: (400, "Unknown Emoji"),
    10015: (404, "Unknown Webhook"),
    10062: (404, "Unknown interaction"),
    20016: (429, "This action cannot be performed due to slowmode rate limit."),
    20022: (429, "This message cannot be edited due to announcement rate limits."),
    20028: (429, "The channel you are writing has hit the write rate limit."),
    20029: (429, "The write action you are performing on the server has hit the rate limit."),
    30003: (400, "Maximum number of pins reached for the channel"),
    30010: (400, "Maximum number of reactions reached"),
    30046: (429, "Maximum number of edits to messages older than 1 hour reached."),
    30015: (400, "Maximum number of attachments in a message reached (10)"),
    40001: (401, "Unauthorized. Provide a valid token and try again"),
    40002: (403, "You need to verify your account in order to perform this action"),
    40003: (429, "You are opening direct messages too fast"),
    40005: (413, "Request entity too large"),
    40060: (400, "Interaction has already been acknowledged."),
    40062: (429, "Service resource is being rate limited."),
    50001: (403, "Missing Access"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50007: (403, "Cannot send messages to this user"),
    50008: (400, "Cannot send messages in a non-text channel"),
    50009: (403, "Channel verification level is too high for you to gain access"),
    50013: (403, "Missing Permissions"),
    50014: (401, "Invalid authentication token provided"),
    50021: (403, "Cannot execute action on a system message"),
    50024: (400, "Cannot execute action on this channel type"),
    50027: (401, "Invalid Webhook Token"),
    50035: (400, "Invalid Form Body"),
    50046: (400, "Invalid file uploaded"),
    50083: (400, "Thread is archived"),
    50109: (400, "The request body contains invalid JSON."),
    50278: (403, "Cannot send messages to this user due to having no mutual guilds"),
    110001: (503, "Application not yet available. Try again later"),
    130000: (503, "API resource is currently overloaded. Try again a little later"),
    160002: (400, "Cannot reply without permission to read message history"),
    160005: (400, "Thread is locked"),
    200000: (400, "Message was blocked by automatic moderation"),
    200001: (400, "Title was blocked by automatic moderation"),
    240000: (400, "Message blocked by harmful links filter"),
    520003: (400, "Cannot edit a poll message"),
}


class Refusal(Exception):
    """A request is refused: HTTP status, JSON body, and headers."""

    def __init__(
        self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers or {}
        super().__init__(status, body)


def coded(code: int, **more: Any) -> Refusal:
    """The refusal with one of Discord's own codes."""
    status, message = _SAID.get(code, (403, "Missing Permissions"))
    return Refusal(status, {"message": message, "code": code, **more})


def plain(status: int, words: str) -> Refusal:
    """A refusal of the HTTP layer: `401: Unauthorized`, with code 0."""
    return Refusal(status, {"message": f"{status}: {words}", "code": 0})


def form(place: str, code: str, message: str) -> Refusal:
    """The refusal of an invalid form body, with its only mistake at `place` (dotted)."""
    errors: dict[str, Any] = {"_errors": [{"code": code, "message": message}]}
    for name in reversed(place.split(".")):
        errors = {name: errors}
    return coded(50035, errors=errors)
