"""Checks a message's content as Discord does, and trims its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_contrib.emulators.discord.attachments import planned
from gateway_contrib.emulators.discord.beside.polls import check_poll
from gateway_contrib.emulators.discord.interactions import buttons
from gateway_contrib.emulators.discord.limits import DiscordLimits
from gateway_contrib.emulators.discord.refusals import coded, form
from gateway_contrib.emulators.discord.requests import Posted

_FILLING = (
    "embeds",
    "components",
    "sticker_ids",
    "poll",
    "attachments",
    "shared_client_theme",
)
_NOT_IN_V2 = ("content", "embeds", "poll", "sticker_ids")
_NONCE_LENGTH = 25
_KINDS: Mapping[str, type] = {
    "allowed_mentions": dict,
    "message_reference": dict,
    "components": list,
    "embeds": list,
    "sticker_ids": list,
}
"""The types of fields that are neither texts nor numbers."""


def _length(content: str) -> int:
    return len(content.encode("utf-16-le", "surrogatepass")) // 2


def check_content(limits: DiscordLimits, posted: Posted, *, prefix: str = "") -> None:
    """Refuse content that is no text or too long, and fields and flags of a wrong type."""
    content, most = posted.fields.get("content"), limits.max_length
    if content is not None and not isinstance(content, str):
        raise form(f"{prefix}content", "STRING_TYPE_CONVERT", "Could not interpret as string.")
    if _length(content or "") > most:
        words = f"Must be {most} or fewer in length."
        raise form(f"{prefix}content", "BASE_TYPE_MAX_LENGTH", words)
    for name, kind in _KINDS.items():
        _check_kind(f"{prefix}{name}", posted.fields.get(name), kind)
    for number, embed in enumerate(posted.fields.get("embeds") or ()):
        _check_kind(f"{prefix}embeds.{number}", embed, dict)
    flags = posted.fields.get("flags", 0)
    if flags is not None and (not isinstance(flags, int) or isinstance(flags, bool)):
        raise form(f"{prefix}flags", "NUMBER_TYPE_COERCE", f'Value "{flags}" is not int.')


def _check_kind(place: str, value: Any, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        word = "dictionaries" if kind is dict else "lists"
        raise form(place, f"{kind.__name__.upper()}_TYPE_CONVERT", f"Only {word} may be used.")


def accepted(
    limits: DiscordLimits,
    posted: Posted,
    *,
    before: Mapping[str, Any] | None = None,
    prefix: str = "",
) -> dict[str, Any]:
    """The fields as they are stored; changed `attachments` list all files of the message.

    before  the fields of a message that is edited; they stay unless the request names them

    Raises Refusal, also if the message would show nothing.
    """
    check_content(limits, posted, prefix=prefix)
    fields = _trimmed(posted.fields)
    if (((before or {}).get("flags") or 0) | (fields.get("flags") or 0)) & buttons.V2:
        fields["flags"] = (fields.get("flags") or 0) | buttons.V2  # no edit takes it away
        _check_of_components(fields, prefix)
    buttons.check(fields, prefix)
    attachments = planned(limits, posted, None if before is None else before["attachments"], prefix)
    if attachments is not None:
        fields["attachments"] = attachments
    if fields.get("poll") is not None:
        check_poll(fields["poll"], prefix)
    after = {**(before or {}), **fields}
    if not (after.get("content") or "").strip() and not any(after.get(name) for name in _FILLING):
        raise coded(50006)
    return fields


def _check_of_components(fields: Mapping[str, Any], prefix: str) -> None:
    """Refuse what a message that consists of components alone cannot have."""
    for name in _NOT_IN_V2:
        if fields.get(name):
            words = f"The '{name}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
            raise form(
                f"{prefix}{name}", "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", words
            )


def check_nonce(posted: Posted) -> None:
    """Refuse a nonce that is too long."""
    nonce = posted.fields.get("nonce")
    if nonce is not None and len(str(nonce)) > _NONCE_LENGTH:
        words = f"Must be {_NONCE_LENGTH} or fewer in length."
        raise form("nonce", "NONCE_TYPE_TOO_LONG", words)


def _trimmed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Trim white space at both ends of the content, as Discord does."""
    content = fields.get("content")
    return {**fields, "content": content.strip()} if isinstance(content, str) else {**fields}
