"""Lists Bot API methods: their fields, which ones get the room, and which may be repeated.

Every name in the tables comes from core.telegram.org/bots/api (#sendmessage and the methods named
below).
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway_plugin_telegram.kinds.table import KINDS, UNTHREADED, fields_of_own

_CAPTION = frozenset({"caption", "caption_entities"})
_TOPIC = frozenset({"message_thread_id"})
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
    "editMessageReplyMarkup": frozenset({"chat_id", "message_id"}),
    "deleteMessage": frozenset({"chat_id", "message_id"}),
    **{
        kind.method: (_NEW - _TOPIC if kind.name in UNTHREADED else _NEW) | fields_of_own(kind)
        for kind in KINDS.values()
    },
    "sendMessageDraft": frozenset({"chat_id", "draft_id", "entities", "message_thread_id", "text"}),
}
"""The methods that this adapter calls itself, and every field that it sends to each.

The application's own fields, in `extra` and in a call's arguments, are sent as well.
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
"""Telegram's own fields of a message that `extra` may set. The server would silently ignore an
unknown field. An edit repeats those of the message's fields that editMessageText knows."""

FILE_EXTRA = SEND_EXTRA - {"link_preview_options"}
"""What `extra` may set for a message with one file, which has no link previews."""

KIND_EXTRA = FILE_EXTRA
"""What `extra` may set for a sticker, a location and the like (`kinds`), except the fields that
the kind's method lacks."""

ALBUM_EXTRA = FILE_EXTRA - {"reply_markup", "suggested_post_parameters"}
"""What `extra` may set for an album."""

_IN_TOPICS = """
    closeForumTopic copyMessage copyMessages deleteForumTopic editForumTopic forwardMessage
    forwardMessages reopenForumTopic sendAnimation sendAudio sendChatAction sendContact
    sendDice sendDocument sendGame sendInvoice sendLivePhoto sendLocation sendMediaGroup
    sendMessage sendMessageDraft sendPaidMedia sendPhoto sendPoll sendRichMessage
    sendRichMessageDraft sendSticker sendVenue sendVideo sendVideoNote sendVoice
    unpinAllForumTopicMessages
"""
_IN_ROOMS = """
    approveChatJoinRequest approveSuggestedPost banChatMember banChatSenderChat
    closeGeneralForumTopic createChatInviteLink createChatSubscriptionInviteLink
    createForumTopic declineChatJoinRequest declineSuggestedPost deleteAllMessageReactions
    deleteChatPhoto deleteChatStickerSet deleteEphemeralMessage deleteMessage
    deleteMessageReaction deleteMessages editChatInviteLink editChatSubscriptionInviteLink
    editEphemeralMessageCaption editEphemeralMessageMedia editEphemeralMessageReplyMarkup
    editEphemeralMessageText editGeneralForumTopic editMessageCaption editMessageChecklist
    editMessageLiveLocation editMessageMedia editMessageReplyMarkup editMessageText
    exportChatInviteLink getChat getChatAdministrators getChatGifts getChatMember
    getChatMemberCount getChatMenuButton getGameHighScores getUserChatBoosts
    hideGeneralForumTopic leaveChat pinChatMessage promoteChatMember readBusinessMessage
    removeChatVerification reopenGeneralForumTopic restrictChatMember revokeChatInviteLink
    sendChecklist sendGift setChatAdministratorCustomTitle setChatDescription setChatMemberTag
    setChatMenuButton setChatPermissions setChatPhoto setChatStickerSet setChatTitle
    setGameScore setMessageReaction stopMessageLiveLocation stopPoll unbanChatMember
    unbanChatSenderChat unhideGeneralForumTopic unpinAllChatMessages
    unpinAllGeneralForumTopicMessages unpinChatMessage verifyChat
"""
ROOM_CALLS: Mapping[str, frozenset[str]] = {
    **{name.lower(): frozenset({"chat_id"}) for name in _IN_ROOMS.split()},
    **{name.lower(): frozenset({"chat_id", "message_thread_id"}) for name in _IN_TOPICS.split()},
}
"""Methods of a `Call`, in small letters, that get the envelope's room (and topic) unless the call
names its own: all methods that take a `chat_id`. The README lists them."""

_OF_MESSAGES = """
    approveSuggestedPost declineSuggestedPost deleteMessage deleteMessageReaction
    editMessageCaption editMessageChecklist editMessageLiveLocation editMessageMedia
    editMessageReplyMarkup editMessageText getGameHighScores pinChatMessage
    readBusinessMessage setGameScore setMessageReaction stopMessageLiveLocation stopPoll
    unpinChatMessage
"""
MESSAGE_CALLS = frozenset(name.lower() for name in _OF_MESSAGES.split())
"""Methods of a `Call`, in small letters, that may have a target: they take a `message_id`."""

INSTEAD_OF_ROOM: Mapping[str, str] = {"sendgift": "user_id"}
"""The argument that a method takes instead of a room. Every method may also have an
`inline_message_id` instead."""

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
"""Calls that may be made twice: the second call changes nothing. unpinChatMessage is not among
them: without a message, it removes the newest pin, and the second call the pin before that."""
