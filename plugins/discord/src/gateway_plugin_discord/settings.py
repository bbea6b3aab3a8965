"""Defines the settings of a Discord instance. Every number is a default, not a law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs.validators import optional

from gateway_core.authors import Secret
from gateway_core.http import NetworkSettings, base_url
from gateway_core.settings import (
    ACCOUNT,
    CheckedSettings,
    all_of,
    below_gateway,
    in_place_of,
    mapping_of,
    matching,
    number,
    secret,
    whole,
)
from gateway_plugin_discord.ids import is_snowflake

BASE_URL = "https://discord.com/api/v10"
MAX_LENGTH = 2000
"""Most characters of a bot's message (discord.com/developers/docs/resources/message)."""

_TOKEN = secret("(?!Bot )[!-~]+", "the bot's token alone, without the word `Bot` before it")
_WEBHOOK = secret(
    r"https?://\S+/webhooks/[1-9][0-9]{0,19}/[\w-]+",
    "a webhook's URL, https://discord.com/api/webhooks/…/…",
)
_OF_DISCORD = frozenset(
    f"{client}{host}"
    for client in ("", "canary.", "ptb.")
    for host in ("discord.com", "discordapp.com")
)
_PAGE = matching("[!-'*-~]+", "a URL without white space and parentheses")
_COUNT = whole(least=1, most=100_000)
_SECONDS = number(least=0.001)


def _leads_to_discord(settings: Any, field: attrs.Attribute[Any], value: Secret) -> None:
    """Requests go to `base_url`, with the URL's token: another host must not have issued it."""
    _WEBHOOK(settings, field, value)
    named, base = (url.split("/")[2].lower() for url in (value.reveal(), settings.base_url))
    if named not in _OF_DISCORD and named != base:
        raise ValueError(
            f"'webhook_url' must be at discord.com or at the host of `base_url`, {base}"
        )


@attrs.frozen(kw_only=True)
class RoomLimits(CheckedSettings):
    """What the routes of one channel allow; None: the instance's own value applies."""

    message_count: int | None = attrs.field(default=None, validator=optional(_COUNT))
    message_per: float | None = attrs.field(default=None, validator=optional(_SECONDS))


@attrs.frozen(kw_only=True)
class DiscordSettings(NetworkSettings):
    """Settings of one bot; `NetworkSettings` has the settings of its connection.

    token            the bot's token, without the word `Bot`
    webhook_url      instead of a token, an incoming webhook's URL, at discord.com or at the host of
                     `base_url`. The account can then only send, edit and delete its own messages
                     in the room `webhook`
    base_url         the HTTP API, v10; https, or http to loopback
    user_agent_url   the page of your bot: Discord asks for one in every request
                     (discord.com/developers/docs/reference#user-agent)
    max_length       most characters of one message, counted in code points or in UTF-16 units,
                     whichever gives more, since Discord does not say which it counts
    message_count, message_per
                     requests and seconds that a route of one room allows until Discord names its
                     bucket
    rooms            limits of single channels, by id: a table with `message_count` or
                     `message_per`; routes of that room keep to them even if Discord allows more
    global_count     requests per second of the whole bot, evenly spaced; below the documented 50,
                     since a burst of 47 was refused in tests, and an even 49 never was
    global_window    most requests in any second; 50 are documented
    invalid_answers  answers of 401, 403 or 429 in 10 minutes after which Discord blocks the IP
                     address; the gateway warns at half, and sends nothing from 80 % on
    max_files        most attachments of one message
    max_file_size    most bytes of one attachment, 20 MiB by the documentation
                     (discord.com/developers/docs/reference#uploading-files): boosted servers accept
                     50 or 100 MiB, and some servers still refuse more than 10
    total_timeout    seconds for a whole request; below the gateway's `attempt_timeout`, so that the
                     request's own error is reported
    """

    token: Secret | None = attrs.field(default=None, validator=optional(_TOKEN), metadata=ACCOUNT)
    base_url: str = attrs.field(default=BASE_URL, validator=base_url, metadata=ACCOUNT)
    webhook_url: Secret | None = attrs.field(
        default=None,
        validator=all_of(optional(_leads_to_discord), in_place_of("token")),
        metadata=ACCOUNT,
    )
    user_agent_url: str = attrs.field(default="https://example.com/gateway", validator=_PAGE)
    max_length: int = attrs.field(default=MAX_LENGTH, validator=whole(least=100, most=MAX_LENGTH))
    message_count: int = attrs.field(default=5, validator=_COUNT)
    message_per: float = attrs.field(default=5.0, validator=_SECONDS)
    rooms: Mapping[str, RoomLimits] = attrs.field(
        factory=dict,
        hash=False,
        validator=mapping_of(RoomLimits, is_snowflake, "channels' ids, whole numbers"),
    )
    global_count: int = attrs.field(default=48, validator=_COUNT)
    global_window: int = attrs.field(default=50, validator=_COUNT)
    invalid_answers: int = attrs.field(default=10_000, validator=whole(least=10))
    max_files: int = attrs.field(default=10, validator=whole(least=1, most=100))
    max_file_size: int = attrs.field(default=20 << 20, validator=whole(least=1))
    total_timeout: float = attrs.field(
        default=60.0, validator=_SECONDS, metadata=below_gateway("attempt_timeout")
    )

    @property
    def webhook(self) -> Mapping[str, str]:
        """The webhook's id and token, as its routes name them; empty: the account is a bot."""
        if self.webhook_url is None:
            return {}
        webhook, token = self.webhook_url.reveal().split("/")[-2:]
        return {"webhook": webhook, "token": token}

    @property
    def deduplicates(self) -> bool:
        """Whether messages have an enforced nonce; a webhook's messages cannot have one."""
        return self.webhook_url is None
