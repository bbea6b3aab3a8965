"""Lists Telegram's words for what went wrong, and says what each of them means. Sans-I/O.

Their sources: core.telegram.org/bots/api and method pages such as
core.telegram.org/method/messages.sendMessage, Client.cpp of tdlib/telegram-bot-api, and errors.rs
of teloxide.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal, TypeAlias

import attrs

from gateway_core.authors import ErrorClass, Reason, Scope

Transform: TypeAlias = Literal["stricter", "plain", "without_reply"]


@attrs.frozen
class Meaning:
    """What a refusal means, whatever was attempted; `of_files`: only the files are refused."""

    error_class: ErrorClass
    reason: Reason
    scope: Scope
    transform: Transform | None = None
    dispatched: Literal["no", "unknown"] = "no"
    of_files: bool = False


def final(reason: Reason, scope: Scope = Scope.MESSAGE) -> Meaning:
    """The refusal is final: no further attempt can succeed."""
    return Meaning(ErrorClass.NON_RETRYABLE, reason, scope)


def bad_file(reason: Reason) -> Meaning:
    """The file is refused; the message's text may be accepted."""
    return attrs.evolve(final(reason), of_files=True)


def changed(reason: Reason, transform: Transform) -> Meaning:
    """Another attempt may succeed after this transform."""
    return Meaning(ErrorClass.RETRYABLE, reason, Scope.MESSAGE, transform)


UNCHANGED = Meaning(ErrorClass.DONE, Reason.NOT_MODIFIED, Scope.MESSAGE)
UNFORMATTED = changed(Reason.BAD_FORMAT, "plain")
TOO_LONG = changed(Reason.TOO_LONG, "stricter")
REPLY_GONE = changed(Reason.REPLY_GONE, "without_reply")
THREAD_GONE = final(Reason.THREAD_GONE, Scope.THREAD)
ROOM_GONE = final(Reason.ROOM_GONE, Scope.ROOM)
SHUT_OUT = final(Reason.FORBIDDEN, Scope.ROOM)
NO_RIGHTS = final(Reason.FORBIDDEN, Scope.ROOM)
"""As `SHUT_OUT`, but perhaps for one kind of message or action only: it concerns the room only if a
`send` or an `edit` was refused."""
MESSAGE_GONE = final(Reason.MESSAGE_GONE)
LEFT_BEHIND = final(Reason.MESSAGE_GONE)
"""As `MESSAGE_GONE`, but the message is still in the group that moved: no bot can delete it."""
ALREADY_GONE = Meaning(ErrorClass.DONE, Reason.MESSAGE_GONE, Scope.MESSAGE)
DELETED_AT_ONCE = attrs.evolve(MESSAGE_GONE, dispatched="unknown")
UNAUTHORIZED = Meaning(ErrorClass.FATAL, Reason.UNAUTHORIZED, Scope.INSTANCE)
FROZEN = attrs.evolve(UNAUTHORIZED, reason=Reason.FORBIDDEN)
UNSUPPORTED = final(Reason.UNSUPPORTED)
NO_TEXT = final(Reason.UNSUPPORTED)
"""The message to edit has no text; it may have a caption."""
TOO_LARGE = bad_file(Reason.TOO_LONG)
BAD_FILE = bad_file(Reason.BAD_REQUEST)
NO_SUCH_FILES = bad_file(Reason.FORBIDDEN)
"""The room accepts no files of this kind, or none from this bot."""
FILE_UNKNOWN = bad_file(Reason.BAD_REQUEST)
"""A file's id is not valid, or not for this bot or kind; its bytes can still be uploaded."""
FILE_STALE = Meaning(ErrorClass.RETRYABLE, Reason.BAD_REQUEST, Scope.MESSAGE)
"""As `FILE_UNKNOWN`, for an id that was sent in place of bytes; the bytes are still there."""
BUSY = Meaning(ErrorClass.RETRYABLE, Reason.PLATFORM_ERROR, Scope.MESSAGE)
ASTRAY = Meaning(ErrorClass.RETRYABLE, Reason.PLATFORM_ERROR, Scope.INSTANCE)
FAILED = attrs.evolve(ASTRAY, dispatched="unknown")

STAYED = "stayed in the group that became"
"""The adapter's own words for a message that a move left in the old group."""
FIXED = "an edit cannot change"
"""The adapter's own words for files and buttons that an edit cannot change."""

_KINDS = ("animation", "audio", "document", "media", "music", "photo", "video", "voice")
_SHORT_KINDS = ("audios", "docs", "gifs", "media", "photos", "roundvideos", "videos", "voices")

PHRASES: Mapping[str, Meaning] = {
    phrase: meaning
    for meaning, phrases in (
        (UNAUTHORIZED, ("logged out", "access_token_", "api_id_invalid")),
        (FROZEN, ("frozen_",)),
        (BUSY, ("msg_wait_failed",)),
        (
            UNFORMATTED,
            (
                "can't parse entities",
                "can't parse message text",
                "can't parse messageentity",
                "entity url",
                "wrong message entity",
                "entity_bounds_invalid",
                "entity_mention_user_invalid",
                "entity_texturl_invalid",
            ),
        ),
        (
            UNCHANGED,
            ("message is not modified", "message_not_modified", "topic_not_modified"),
        ),
        (
            TOO_LONG,
            (
                "message is too long",
                "text is too long",
                "caption is too long",
                "media_caption_too_long",
                "message_too_long",
                "entities_too_long",
                "entities too long",
            ),
        ),
        (
            REPLY_GONE,
            (
                "message to be replied not found",
                "message to reply not found",
                "replied message not found",
                "reply message not found",
                "reply_message_id_invalid",
                "reply_to_invalid",
                "reply_to_user_invalid",
                "quote_text_invalid",
            ),
        ),
        (
            THREAD_GONE,
            ("message thread not found", "topic_closed", "topic_deleted", "topic_id_invalid"),
        ),
        (
            ROOM_GONE,
            (
                "chat not found",
                "peer_id_invalid",
                "peer_id_not_supported",
                "chat_id_invalid",
                "channel_invalid",
                "chat_invalid",
                "user is deactivated",
                "input_user_deactivated",
                "group is deactivated",
                "group chat was deactivated",
                "group chat was deleted",
            ),
        ),
        (
            SHUT_OUT,
            (
                "blocked by the user",
                "user_is_blocked",
                "you_blocked_user",
                "bot was kicked",
                "not a member",
                "can't initiate conversation",
                "can't send messages to bots",
                "can't send messages to the bot",
                "channel_private",
                "channel_banned",
            ),
        ),
        (
            NO_SUCH_FILES,
            (
                *(f"not enough rights to send {kind}" for kind in _KINDS),
                *(f"chat_send_{kind}_forbidden" for kind in _SHORT_KINDS),
                "voice_messages_forbidden",
            ),
        ),
        (
            NO_RIGHTS,
            (
                "not enough rights",
                "have no rights",
                "have no write access",
                "need administrator rights",
                "chat_admin_required",
                "chat_write_forbidden",
                "chat_forbidden",
                "chat_restricted",
                "chat_guest_send_forbidden",
                "chat_send_plain_forbidden",
                "user_banned_in_channel",
                "user_is_bot",
                "user_privacy_restricted",
                "user_restricted",
                "privacy_premium_required",
                "allow_payment_required",
                "business_peer_usage_missing",
            ),
        ),
        (LEFT_BEHIND, (STAYED,)),
        (NO_TEXT, ("there is no text in the message to edit",)),
        (
            UNSUPPORTED,
            (
                FIXED,
                "there is no caption in the message to edit",
                "message media can't be edited",
                "can't change media type in the album",
            ),
        ),
        (TOO_LARGE, ("file is too big", "is too big for a photo", "request entity too large")),
        (
            FILE_UNKNOWN,
            (
                "wrong file identifier",
                "wrong remote file identifier",
                "wrong file_id",
                "can't use file of type",
                "file_reference_",
            ),
        ),
        (
            BAD_FILE,
            (
                "failed to get http url content",
                "wrong type of the web page content",
                "invalid file http url specified",
                "webpage_curl_failed",
                "webpage_media_empty",
                "photo_invalid_dimensions",
                "image_process_failed",
                "photo_ext_invalid",
                "photo_save_file_invalid",
                "media_empty",
                "media_invalid",
                "video_content_type_invalid",
                "type of file mismatch",
                "unsupported url protocol",
                "file must be non-empty",
            ),
        ),
        (
            MESSAGE_GONE,
            (
                "message to edit not found",
                "message to delete not found",
                "message to copy not found",
                "message to forward not found",
                "message to pin not found",
                "message to reach not found",
                "message to react not found",
                "message to unpin not found",
                "message can't be edited",
                "message_id_invalid",
            ),
        ),
    )
    for phrase in phrases
}
"""Phrases in descriptions, in small letters. Each begins where a word begins; the first match
counts."""

STATUSES: Mapping[int, Meaning] = {
    HTTPStatus.UNAUTHORIZED: UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: final(Reason.FORBIDDEN),
    HTTPStatus.NOT_FOUND: UNAUTHORIZED,
    HTTPStatus.CONFLICT: BUSY,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
}
