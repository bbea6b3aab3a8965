"""The Bot API's methods: the fields each is sent, which are given the room, which may be repeated.

Every name in the tables is of core.telegram.org/bots/api (#sendmessage and the methods named
below).
"""

from __future__ import annotations

from collections.abc import Mapping

_CAPTION = frozenset({"caption", "caption_entities"})
_NEW = frozenset({"chat_id", "disable_notification", "message_thread_id", "reply_parameters"})

FIELDS: Mapping[str, frozenset[str]] = {
    "getMe": frozenset(),
    "sendMessage": frozenset(
        {
            "chat_id",
            "disable_notification",
            "entities",
            "link_preview_options",
            "message_thread_id",
            "reply_parameters",
            "text",
        }
    ),
    "editMessageText": frozenset(
        {"chat_id", "entities", "link_preview_options", "message_id", "text"}
    ),
    "sendPhoto": _NEW | _CAPTION | {"has_spoiler", "photo"},
    "sendVideo": _NEW | _CAPTION | {"has_spoiler", "video"},
    "sendAnimation": _NEW | _CAPTION | {"animation", "has_spoiler"},
    "sendAudio": _NEW | _CAPTION | {"audio"},
    "sendVoice": _NEW | _CAPTION | {"voice"},
    "sendDocument": _NEW | _CAPTION | {"document"},
    "sendMediaGroup": _NEW | {"media"},
    "editMessageCaption": _CAPTION | {"chat_id", "message_id"},
    "editMessageMedia": frozenset({"chat_id", "media", "message_id"}),
    "deleteMessage": frozenset({"chat_id", "message_id"}),
    "sendMessageDraft": frozenset({"chat_id", "draft_id", "entities", "message_thread_id", "text"}),
}
"""The methods that this adapter calls itself, and every field that it sends to each.

`extra` and a call's arguments come on top: those are the application's.
"""

EDIT_EXTRA = frozenset({"business_connection_id", "link_preview_options", "reply_markup"})

SEND_EXTRA = EDIT_EXTRA | {
    "allow_paid_broadcast",
    "direct_messages_topic_id",
    "disable_notification",
    "message_effect_id",
    "protect_content",
    "reply_parameters",
    "suggested_post_parameters",
}
"""Telegram's own fields of a message that `extra` may set. An unknown one would be passed over in
silence by the server; of what came with a message, its edits repeat what editMessageText knows."""

FILE_EXTRA = SEND_EXTRA - {"link_preview_options"}
"""The same of a message with one file, which has no previews of links."""

ALBUM_EXTRA = FILE_EXTRA - {"reply_markup", "suggested_post_parameters"}
"""The same of an album."""

ROOM_CALLS: Mapping[str, frozenset[str]] = {
    method.lower(): frozenset(fields)
    for method, fields in {
        "closeForumTopic": {"chat_id", "message_thread_id"},
        "deleteForumTopic": {"chat_id", "message_thread_id"},
        "deleteMessage": {"chat_id"},
        "deleteMessages": {"chat_id"},
        "editForumTopic": {"chat_id", "message_thread_id"},
        "editMessageCaption": {"chat_id"},
        "editMessageMedia": {"chat_id"},
        "reopenForumTopic": {"chat_id", "message_thread_id"},
        "sendAnimation": {"chat_id", "message_thread_id"},
        "sendAudio": {"chat_id", "message_thread_id"},
        "sendChatAction": {"chat_id", "message_thread_id"},
        "sendMediaGroup": {"chat_id", "message_thread_id"},
        "sendSticker": {"chat_id", "message_thread_id"},
        "sendVideo": {"chat_id", "message_thread_id"},
        "sendVoice": {"chat_id", "message_thread_id"},
        "unpinAllChatMessages": {"chat_id"},
        "sendPhoto": {"chat_id", "message_thread_id"},
        "sendDocument": {"chat_id", "message_thread_id"},
        "sendPoll": {"chat_id", "message_thread_id"},
        "sendLocation": {"chat_id", "message_thread_id"},
        "copyMessage": {"chat_id", "message_thread_id"},
        "forwardMessage": {"chat_id", "message_thread_id"},
        "editMessageReplyMarkup": {"chat_id"},
        "setMessageReaction": {"chat_id"},
        "pinChatMessage": {"chat_id"},
        "unpinChatMessage": {"chat_id"},
        "getChat": {"chat_id"},
    }.items()
}
"""Methods of a `Call`, in small letters, that are given the envelope's room (and topic) unless it
names its own. The README lists them."""

REPEAT_SAFE_CALLS = frozenset(
    {
        "answerCallbackQuery",
        "answerInlineQuery",
        "closeForumTopic",
        "deleteMessage",
        "deleteMessages",
        "editForumTopic",
        "editMessageCaption",
        "editMessageMedia",
        "editMessageReplyMarkup",
        "editMessageText",
        "getChat",
        "getChatMember",
        "getMe",
        "pinChatMessage",
        "reopenForumTopic",
        "sendChatAction",
        "setMessageReaction",
        "unpinAllChatMessages",
    }
)
"""Calls that change nothing when they are made twice. unpinChatMessage is none of them: without a
message it takes away the newest pin, and then the one before."""
