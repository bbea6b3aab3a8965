"""What an instance on Slack is configured with: one workspace's token, and its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from gateway_core.authors import Secret
from gateway_core.http import NetworkSettings, check_base_url
from gateway_plugin_slack.tokens import Tokens

BASE_URL = "https://slack.com/api"
_SENDABLE = re.compile(r"[!-~]+")


def _sendable(_: Any, attribute: attrs.Attribute[Any], secret: Secret | None) -> None:
    if secret is not None and not _SENDABLE.fullmatch(secret.reveal()):
        raise ValueError(f"{attribute.name} has characters that no Slack token has")


@attrs.frozen(kw_only=True)
class RoomLimits:
    """chat.postMessage in one channel, where it is not what the instance says; None: as there."""

    post_count: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.ge(1))
    )
    post_seconds: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.gt(0))
    )


@attrs.frozen(kw_only=True)
class Settings(NetworkSettings):
    """One workspace, as one app sees it; its way there as in `NetworkSettings`.

    token             a bot's or user's token (`xoxb-…`, `xoxp-…`)
    base_url          https, or http to loopback
    refresh_token, client_id, client_secret
                      all three: a token that expired is exchanged for a new one
    token_file        where exchanged tokens are stored, readable by their owner only, so that they
                      outlive the process; None: in memory, and a restart begins with the
                      configured ones, which Slack takes only if none was exchanged
    part_bytes        the most a message's escaped text measures, in UTF-8 bytes (chat.update fails
                      near 4,000 bytes, and what was sent must stay editable)
    post_count, post_seconds
                      chat.postMessage in one channel (docs.slack.dev: about 1 a second)
    rooms             the same for single channels, by id: a table with `post_count` or
                      `post_seconds`
    posts_per_minute  chat.postMessage in the whole workspace; Slack does not say. 0: no limit
    tier_2, tier_3, tier_4
                      calls a minute of a method of that tier (docs.slack.dev, rate limits)
    timeout           seconds for a whole request: below the gateway's `attempt_timeout`, so that
                      the request's own error is reported
    """

    token: Secret = attrs.field(validator=_sendable)
    base_url: str = attrs.field(default=BASE_URL, converter=check_base_url)
    refresh_token: Secret | None = attrs.field(default=None, validator=_sendable)
    client_id: str | None = None
    client_secret: Secret | None = attrs.field(default=None, validator=_sendable)
    token_file: str | None = None
    part_bytes: int = attrs.field(default=4000, validator=attrs.validators.in_(range(100, 4001)))
    post_count: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    post_seconds: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    rooms: Mapping[str, RoomLimits] = attrs.field(factory=dict, hash=False)
    posts_per_minute: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    tier_2: int = attrs.field(default=20, validator=attrs.validators.ge(1))
    tier_3: int = attrs.field(default=50, validator=attrs.validators.ge(1))
    tier_4: int = attrs.field(default=100, validator=attrs.validators.ge(1))
    timeout: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))
    tokens: Tokens = attrs.field(
        default=attrs.Factory(lambda self: self._tokens(), takes_self=True),
        init=False,
        eq=False,
        repr=False,
    )

    @property
    def renewable(self) -> bool:
        """True where an expired token can be exchanged."""
        return None not in (self.refresh_token, self.client_id, self.client_secret)

    def _tokens(self) -> Tokens:
        file = Path(self.token_file) if self.token_file else None
        return Tokens(self.token, self.refresh_token, file)
