"""The JSON bodies of requests: a part's content, with what the attempt adds to it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from gateway_core import Attempt
from gateway_plugin_discord.rendering.parts import SUPPRESS_EMBEDS

CREATE_FIELDS = frozenset(
    {"allowed_mentions", "components", "content", "embeds", "enforce_nonce", "flags"}
    | {"message_reference", "nonce", "poll", "sticker_ids", "tts"}
)
EDIT_FIELDS = frozenset(
    {"allowed_mentions", "attachments", "components", "content", "embeds", "flags"}
)
"""The fields that messages are made and edited with; nothing else is sent
(discord.com/developers/docs/resources/message#create-message, #edit-message)."""

CARRIED = ("components", "embeds")
"""Fields of a message's own that an edit takes away by naming them empty."""

COMPONENTS_V2 = 1 << 15
NOT_IN_V2 = frozenset({"content", "embeds", "poll", "sticker_ids"})
"""The flag by which components are all that a message is, and what it then has none of
(discord.com/developers/docs/components/reference)."""

EDIT_FLAGS = SUPPRESS_EMBEDS | COMPONENTS_V2
"""The flags that an edit may name."""

OWNED = frozenset({"content", "enforce_nonce", "message_reference", "nonce"})
"""Fields that the gateway fills in itself: none of them may stand in `extra`."""

NONCE_BYTES = 12  # 24 characters; Discord takes up to 25.


def nonce_of(key: str) -> str:
    """The nonce of a step: the same over retries and restarts.

    With `enforce_nonce`, creating a message with it again gives the message that is there
    (discord.com/developers/docs/resources/message#create-message).
    """
    return hashlib.blake2b(key.encode(), digest_size=NONCE_BYTES).hexdigest()


def edit_body(attempt: Attempt) -> dict[str, Any]:
    """The content of `attempt.part` with its `extra`, as far as edits take these fields.

    What a PATCH does not name stays on the message: fields that it shall lose are named, empty.
    """
    named = {name: value for name, value in _content(attempt).items() if name in EDIT_FIELDS}
    lost = CARRIED if attempt.extra is not None else ()
    flags = named["flags"] & EDIT_FLAGS
    return _fitting({**{name: [] for name in lost}, **named, "flags": flags})


def _content(attempt: Attempt) -> dict[str, Any]:
    """The content of `attempt.part` with its `extra`. Flags add up.

    Suppressed embeds would hide the envelope's own as well as link previews: where it has some,
    that flag is left out.
    """
    payload: Mapping[str, Any] = attempt.payload
    extra = attempt.extra or {}
    flags = payload.get("flags", 0) | extra.get("flags", 0)
    if extra.get("embeds"):
        flags &= ~SUPPRESS_EMBEDS
    return _fitting({**payload, **extra, "flags": flags})


def _fitting(body: dict[str, Any]) -> dict[str, Any]:
    """The body without what its flags exclude."""
    without = NOT_IN_V2 if body["flags"] & COMPONENTS_V2 else ()
    return {name: value for name, value in body.items() if name not in without}


def create_body(attempt: Attempt) -> dict[str, Any]:
    """Content and `extra`, with the nonce and the message that it answers.

    An unknown message to answer is refused rather than passed over in silence, so that the
    receipt can say that the reply was dropped.
    """
    body = _content(attempt)
    if attempt.key:
        body |= {"nonce": nonce_of(attempt.key), "enforce_nonce": True}
    if attempt.reply is not None:
        body["message_reference"] = {"message_id": attempt.reply, "fail_if_not_exists": True}
    return body


def call_body(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a call: interactions and webhooks make messages, which ping nobody unasked."""
    body = dict(arguments)
    if isinstance(body.get("data"), Mapping):
        body["data"] = call_body(body["data"])
    return {"allowed_mentions": {"parse": []}, **body} if "content" in body else body
