"""The Bot API's methods: the fields each is sent, which are given the room, which may be repeated.

Every name in the tables is of core.telegram.org/bots/api (#sendmessage and the methods named
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

KIND_EXTRA = FILE_EXTRA
"""The same of a sticker, a location and their like (`kinds`), less what each method lacks."""

ALBUM_EXTRA = FILE_EXTRA - {"reply_markup", "suggested_post_parameters"}
"""The same of an album."""

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
"""Methods of a `Call`, in small letters, that are given the envelope's room (and topic) unless it
names its own: all that take a `chat_id`. The README lists them."""

_OF_MESSAGES = """
    approveSuggestedPost declineSuggestedPost deleteMessage deleteMessageReaction
    editMessageCaption editMessageChecklist editMessageLiveLocation editMessageMedia
    editMessageReplyMarkup editMessageText getGameHighScores pinChatMessage
    readBusinessMessage setGameScore setMessageReaction stopMessageLiveLocation stopPoll
    unpinChatMessage
"""
MESSAGE_CALLS = frozenset(name.lower() for name in _OF_MESSAGES.split())
"""Methods of a `Call`, in small letters, that may concern a message: they take a `message_id`."""

INSTEAD_OF_ROOM: Mapping[str, str] = {"sendgift": "user_id"}
"""What of a method's own arguments stands in a room's place; of every method also an
`inline_message_id`."""

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
