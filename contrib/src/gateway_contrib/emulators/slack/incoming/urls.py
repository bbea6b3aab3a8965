"""Gives out the URLs that take messages without a token: response_urls and incoming webhooks.

Source: docs.slack.dev, handling user interaction and sending messages using incoming webhooks.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs
import trio

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.slack.world import TEAM, Bot, Channel

APP = Bot("U0APP0001", "B0APP0001", "app")
"""The app that posts through these URLs; chat.update cannot change its messages."""


class UrlRefusal(Exception):
    """A URL refuses with a status and a word. `json`: the body is `{"ok": false, …}`."""

    def __init__(self, status: int, word: str, *, json: bool = False) -> None:
        self.status = status
        self.word = word
        self.json = json
        super().__init__(status, word)


@attrs.define(eq=False, kw_only=True)
class ResponseUrl:
    """A response_url for a command, or for a press on the message `pressed`."""

    path: str
    channel: Channel
    user: str
    made_at: float = attrs.field(factory=trio.current_time)
    pressed: Message | None = None
    uses: int = 0


@attrs.define(eq=False, kw_only=True)
class IncomingWebhook:
    """A webhook into one channel; once it is turned off, it answers with `refused`."""

    path: str
    channel: Channel
    refused: UrlRefusal | None = None


Url: TypeAlias = ResponseUrl | IncomingWebhook


class Urls:
    """Every URL that was given out, by its path."""

    def __init__(self) -> None:
        self._given: dict[str, Url] = {}

    def response(self, kind: str, channel: Channel, user: str, pressed: Message | None) -> str:
        """The path of a new response_url; `kind` is `commands` or `actions`."""
        number = len(self._given) + 1
        path = f"/{kind}/{TEAM}/{number}/secret{number:04d}"
        self._given[path] = ResponseUrl(path=path, channel=channel, user=user, pressed=pressed)
        return path

    def webhook(self, channel: Channel) -> str:
        """The path of a new incoming webhook."""
        number = len(self._given) + 1
        path = f"/services/{TEAM}/B0HOOK{number:04d}/secret{number:04d}"
        self._given[path] = IncomingWebhook(path=path, channel=channel)
        return path

    def find(self, path: str) -> Url:
        """The URL that was given out with this path. Raises UrlRefusal `no_service`."""
        if path not in self._given:
            raise UrlRefusal(404, "no_service")
        return self._given[path]
