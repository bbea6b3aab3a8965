"""Decides which streams are shown by drafts while they grow. Sans-I/O.

Source: core.telegram.org/bots/api#sendmessagedraft. Telegram shows a draft only in private chats,
for 30 seconds, and a draft leaves no message.
"""

from __future__ import annotations

from gateway_core.authors import Envelope, Send, Streaming
from gateway_plugin_telegram.ids import is_private
from gateway_plugin_telegram.settings import TelegramSettings

_ELSEWHERE = frozenset({"business_connection_id", "direct_messages_topic_id"})
"""Fields that name another conversation; sendMessageDraft does not take them."""


def streaming_of(settings: TelegramSettings, envelope: Envelope) -> Streaming | None:
    """Stream by drafts in a private chat; None: stream by edits."""
    if settings.streaming != "auto" or not isinstance(envelope, Send):
        return None
    if not is_private(envelope.external_room_id) or _ELSEWHERE & envelope.extra.keys():
        return None
    return Streaming(how="draft", repeat=settings.draft_repeat)
