"""Defines the settings of a Slack instance: one workspace's token, and its limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import optional

from gateway_core.authors import Secret
from gateway_core.http import NetworkSettings, base_url
from gateway_core.settings import (
    ACCOUNT,
    CheckedSettings,
    all_of,
    alongside,
    as_path,
    below_gateway,
    flag,
    in_place_of,
    mapping_of,
    must_be,
    number,
    one_of,
    secret,
    text,
    together,
    whole,
)
from gateway_plugin_slack.by_url.origins import hooks_of, path_in
from gateway_plugin_slack.ids import is_room
from gateway_plugin_slack.tokens import Tokens

BASE_URL = "https://slack.com/api"
MOST_BYTES = 4000
_TOKEN = secret(
    "(?!xoxe-)xox[a-z][-.][!-~]+", "a Slack token, which begins with xoxb-, xoxp- or xoxe."
)
_WEBHOOK = secret("https?://[!-~]+", "an incoming webhook's URL, https://hooks.slack.com/…")
_REFRESH = secret("xoxe[!-~]+", "a Slack refresh token, which begins with xoxe-")


def _is_store(_settings: object, _field: object, value: Path | None) -> None:
    if value is None:
        return
    if os.path.isdir(value):  # noqa: PTH112 - Path's own raises for a name that is too long
        raise ValueError(f"'token_file' must be a file, not the folder {value}")
    if not os.path.isdir(value.parent):  # noqa: PTH112 - likewise
        raise ValueError(f"'token_file' must be in a folder that exists, not {value}")


def _leads_to_slack(settings: Any, field: attrs.Attribute[Any], value: object) -> None:
    _WEBHOOK(settings, field, value)
    hooks = hooks_of(str(settings.base_url))
    if path_in(value.reveal() if isinstance(value, Secret) else "", hooks) is None:
        raise ValueError(f"'webhook_url' must begin with {hooks}/, as the workspace's do")


_PATH = must_be("a path", lambda value: isinstance(value, Path) and str(value).isprintable())
_COUNT = whole(least=1, most=100_000)
_SECONDS = number(least=0.001)


@attrs.frozen(kw_only=True)
class RoomLimits(CheckedSettings):
    """The limit of chat.postMessage in one channel; None: the instance's own value applies."""

    post_count: int | None = attrs.field(default=None, validator=optional(_COUNT))
    post_seconds: float | None = attrs.field(default=None, validator=optional(_SECONDS))


@attrs.frozen(kw_only=True)
class Settings(NetworkSettings):
    """One workspace, as one app sees it; `NetworkSettings` has the settings of its connection.

    token             a bot's or user's token (`xoxb-…`, `xoxp-…`)
    webhook_url       instead of a token, an incoming webhook's URL. The account can then only send
                      to the room `webhook`; Slack returns no ids for such messages
    base_url          the Web API's URL: https, or http to loopback
    refresh_token, client_id, client_secret
                      given together, these three exchange an expired token for a new one
    token_file        the file where exchanged tokens are stored, readable by its owner only, so
                      that they survive a restart; its folder must exist. None: the tokens are only
                      in memory, and a restart begins with the configured tokens, which Slack
                      accepts only if no token was exchanged
    part_bytes        the longest escaped text of a message, in UTF-8 bytes (chat.update fails near
                      4,000 bytes, and messages must stay editable)
    post_count, post_seconds
                      chat.postMessage in one channel (docs.slack.dev: about 1 a second)
    rooms             the same for single channels, by id: a table with `post_count` or
                      `post_seconds`
    posts_per_minute  chat.postMessage in the whole workspace; Slack documents no number. 0: no
                      limit
    tier_2, tier_3, tier_4
                      calls a minute of each method of that tier (docs.slack.dev, rate limits)
    reuse_pictures    once a picture was sent twice, later messages show it in a block without
                      another upload; False: every message uploads its own files
    max_files         most files of one message
    max_file_size     most bytes of one file; Slack documents no limit, but refuses files that a
                      workspace's plan or administrators do not allow
    streaming         how `gateway.stream` shows a growing answer: `auto`, by Slack's own streams if
                      possible, else by edits; `edits`, always by edits
    stream_threads    in direct messages, show a streamed answer in a thread below the question,
                      since Slack streams only in threads; False: use edits there
    stream_seconds    seconds after which a stream is stopped and continues by edits; Slack ends it
                      after about five minutes
    stream_characters
                      most characters sent to a stream; a longer answer continues by edits. 12,000
                      are documented for one call
    timeout           seconds for a whole request: below the gateway's `attempt_timeout`, so that
                      the request's own error is reported
    """

    token: Secret | None = attrs.field(default=None, validator=optional(_TOKEN), metadata=ACCOUNT)
    base_url: str = attrs.field(default=BASE_URL, validator=base_url, metadata=ACCOUNT)
    webhook_url: Secret | None = attrs.field(
        default=None,
        validator=all_of(optional(_leads_to_slack), in_place_of("token")),
        metadata=ACCOUNT,
    )
    refresh_token: Secret | None = attrs.field(default=None, validator=optional(_REFRESH))
    client_id: str | None = attrs.field(default=None, validator=optional(text))
    client_secret: Secret | None = attrs.field(
        default=None,
        validator=all_of(optional(secret()), together("refresh_token", "client_id")),
    )
    token_file: Path | None = attrs.field(
        default=None,
        converter=as_path,
        validator=all_of(optional(_PATH), _is_store, alongside("refresh_token")),
    )
    part_bytes: int = attrs.field(default=MOST_BYTES, validator=whole(least=100, most=MOST_BYTES))
    post_count: int = attrs.field(default=1, validator=_COUNT)
    post_seconds: float = attrs.field(default=1.0, validator=_SECONDS)
    rooms: Mapping[str, RoomLimits] = attrs.field(
        factory=dict,
        hash=False,
        validator=mapping_of(RoomLimits, is_room, "ids of conversations or #names"),
    )
    posts_per_minute: int = attrs.field(default=0, validator=whole(least=0, most=100_000))
    tier_2: int = attrs.field(default=20, validator=_COUNT)
    tier_3: int = attrs.field(default=50, validator=_COUNT)
    tier_4: int = attrs.field(default=100, validator=_COUNT)
    reuse_pictures: bool = attrs.field(default=True, validator=flag)
    max_files: int = attrs.field(default=10, validator=whole(least=1, most=100))
    max_file_size: int = attrs.field(default=1_000_000_000, validator=whole(least=1))
    streaming: Literal["auto", "edits"] = attrs.field(
        default="auto", validator=one_of("auto", "edits")
    )
    stream_threads: bool = attrs.field(default=True, validator=flag)
    stream_seconds: float = attrs.field(default=240.0, validator=number(least=1, most=280))
    stream_characters: int = attrs.field(default=12_000, validator=whole(least=1, most=12_000))
    timeout: float = attrs.field(
        default=60.0, validator=_SECONDS, metadata=below_gateway("attempt_timeout")
    )
    tokens: Tokens = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        access = self.token or self.webhook_url  # a webhook's URL is its only secret
        assert access is not None  # noqa: S101 - a validator has seen to it
        tokens = Tokens(access, self.refresh_token, self.token_file)
        object.__setattr__(self, "tokens", tokens)  # once, when all that it is made of was checked
