"""Defines the settings of a Telegram instance; the documented limits are the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs
from attrs.validators import optional

from gateway_core.authors import Secret
from gateway_core.http import NetworkSettings, base_url
from gateway_core.settings import (
    ACCOUNT,
    CheckedSettings,
    above,
    all_of,
    below_gateway,
    mapping_of,
    number,
    one_of,
    secret,
    whole,
)
from gateway_plugin_telegram.ids import is_room

TEXT_LIMIT = 4096
"""The most code points in a message's text (core.telegram.org/bots/api#sendmessage)."""

CAPTION_LIMIT = 1024
"""The most code points in a caption (core.telegram.org/bots/api#sendphoto)."""

MB = 1 << 20

_TOKEN = secret(
    "[0-9]{1,20}:[A-Za-z0-9_-]{1,128}",
    "a bot's token as BotFather gives it: 123456789:AbC-dEf, digits first",
)
_COUNT = whole(least=1, most=100_000)
_BYTES = whole(least=1, most=2_000 * MB)
_SECONDS = number(least=0.001)
_TIMEOUT = number(least=30)


@attrs.frozen(kw_only=True)
class RoomLimits(CheckedSettings):
    """The limits of one chat or group; None: the instance's own value applies."""

    chat_count: int | None = attrs.field(default=None, validator=optional(_COUNT))
    chat_seconds: float | None = attrs.field(default=None, validator=optional(_SECONDS))
    group_count: int | None = attrs.field(default=None, validator=optional(_COUNT))
    group_seconds: float | None = attrs.field(default=None, validator=optional(_SECONDS))


@attrs.frozen(kw_only=True)
class TelegramSettings(NetworkSettings):
    """A bot on Telegram; `NetworkSettings` has the settings of its connection.

    token           the bot's token, as BotFather gives it
    base_url        where the Bot API is served: https, or http to a loopback address
    chat_count      messages and edits that one chat accepts per `chat_seconds`; one a second is
                    documented (core.telegram.org/bots/faq)
    chat_seconds    seconds, see `chat_count`
    group_count     messages and edits that one group accepts in any `group_seconds`; 20 a minute
                    are documented
    group_seconds   seconds, see `group_count`
    bulk_count      requests of class `bulk` per `bulk_seconds`, evenly spaced; about 30 a second
                    are documented, for bulk notifications
    bulk_seconds    seconds, see `bulk_count`
    bot_count       requests of all classes per `bot_seconds`, evenly spaced. No rate above the one
                    for bulk is documented, so that rate is the default; Telegram accepts more from
                    some bots. With a higher value, the rate starts at the rate for bulk and rises
                    with each answer that is no refusal; an unforeseen refusal lowers it for a while
    bot_seconds     seconds, see `bot_count`
    bot_window      most requests in any `bot_seconds`, where a request counts until `bot_seconds`
                    after its answer, less the time of the quickest answers; None: as many as
                    `bot_count`. Telegram does not say whether its second is a sliding window. If it
                    is, 600 messages at an even 30 a second met 20 refusals; at 28 a second there
                    were none with round trips of 20 to 80 ms, and 3 with 100 to 300 ms. After a
                    stall of 2 s there were 24 to 44 refusals at both rates, since all requests
                    arrive at once. With a window of 30 there are none in any of these cases, at
                    29.0 a second with short round trips and 26 with long ones
                    (`python -m bench.recovery_stalls --paces`). A larger window is faster
    album_cost      how an album counts towards these limits: `items`, each file as a message;
                    `one`, the whole album as one message. Telegram does not say
    rooms           limits of single chats, by the chat's id: a table with any of `chat_count`,
                    `chat_seconds`, `group_count` and `group_seconds`
    text_limit      the longest text of one message, in code points; at most Telegram's 4,096
    caption_limit   the longest caption of a file, in code points; at most Telegram's 1,024. A
                    longer text follows in messages of its own
    upload_bytes    most bytes of an uploaded file; with your own Bot API server 2,000 MB
    photo_bytes     most bytes of a file that is sent as a photo
    photo_sides     most pixels of a photo's width and height together
    photo_ratio     highest ratio of a photo's longer side to its shorter side
    url_bytes       most bytes of a file that Telegram fetches, if the envelope says its size
    url_photo_bytes  most bytes of a file that Telegram fetches and shows as a photo
    poll_options    most options of a poll
    poll_seconds    most seconds that a poll is open
    streaming       how `gateway.stream` shows a growing answer: `auto`, by drafts
                    (sendMessageDraft) in private chats and by edits elsewhere; `edits`, always by
                    edits
    draft_seconds   seconds between two drafts in one chat; Telegram does not say how many it
                    accepts
    draft_repeat    seconds after which an unchanged draft is shown again; Telegram shows it for 30
                    seconds
    read_timeout    seconds without a byte of the answer; at least 30, since the Bot API server
                    itself sleeps through short flood waits
    total_timeout   seconds for a whole request: above `read_timeout`, and below the gateway's
                    `attempt_timeout`, so that the request's own error is reported
    """

    token: Secret = attrs.field(validator=_TOKEN, metadata=ACCOUNT)
    base_url: str = attrs.field(
        default="https://api.telegram.org", validator=base_url, metadata=ACCOUNT
    )
    chat_count: int = attrs.field(default=1, validator=_COUNT)
    chat_seconds: float = attrs.field(default=1.0, validator=_SECONDS)
    group_count: int = attrs.field(default=20, validator=_COUNT)
    group_seconds: float = attrs.field(default=60.0, validator=_SECONDS)
    bulk_count: int = attrs.field(default=30, validator=_COUNT)
    bulk_seconds: float = attrs.field(default=1.0, validator=_SECONDS)
    bot_count: int = attrs.field(default=30, validator=_COUNT)
    bot_seconds: float = attrs.field(default=1.0, validator=_SECONDS)
    bot_window: int | None = attrs.field(default=None, validator=optional(_COUNT))
    album_cost: Literal["items", "one"] = attrs.field(
        default="items", validator=one_of("items", "one")
    )
    rooms: Mapping[str, RoomLimits] = attrs.field(
        factory=dict,
        hash=False,
        validator=mapping_of(RoomLimits, is_room, "chats' numbers or @names"),
    )
    text_limit: int = attrs.field(default=TEXT_LIMIT, validator=whole(least=2, most=TEXT_LIMIT))
    caption_limit: int = attrs.field(
        default=CAPTION_LIMIT, validator=whole(least=1, most=CAPTION_LIMIT)
    )
    upload_bytes: int = attrs.field(default=50 * MB, validator=_BYTES)
    photo_bytes: int = attrs.field(default=10 * MB, validator=_BYTES)
    photo_sides: int = attrs.field(default=10_000, validator=_COUNT)
    photo_ratio: int = attrs.field(default=20, validator=_COUNT)
    url_bytes: int = attrs.field(default=20 * MB, validator=_BYTES)
    url_photo_bytes: int = attrs.field(default=5 * MB, validator=_BYTES)
    poll_options: int = attrs.field(default=12, validator=whole(least=2, most=100))
    poll_seconds: int = attrs.field(default=2_628_000, validator=whole(least=5))
    streaming: Literal["auto", "edits"] = attrs.field(
        default="auto", validator=one_of("auto", "edits")
    )
    draft_seconds: float = attrs.field(default=1.0, validator=_SECONDS)
    draft_repeat: float = attrs.field(default=20.0, validator=number(least=1, most=29))
    read_timeout: float = attrs.field(default=35.0, validator=_TIMEOUT)
    total_timeout: float = attrs.field(
        default=60.0,
        validator=all_of(_TIMEOUT, above("read_timeout")),
        metadata=below_gateway("attempt_timeout"),
    )
