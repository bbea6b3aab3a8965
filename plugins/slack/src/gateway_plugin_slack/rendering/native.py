"""Slack's own markup, as the application wrote it: sent as it is, but for those whom it calls."""

from __future__ import annotations

import re

from gateway_core.authors import Mentions
from gateway_plugin_slack.rendering.plain import calls, escape

_NATIVE_PING = re.compile(r"<(?P<call>[@!](?!date\^)[^<>\n]*+)(?P<end>>?)")


def native(text: str, *, mentions: Mentions) -> str:
    """Slack's own markup as it is sent; without `mentions`, those in it are shown, not called."""
    if mentions is True:
        return text

    def silenced(found: re.Match[str]) -> str:
        if calls(mentions, found["call"].partition("|")[0]):
            return found[0]
        return f"&lt;{found['call']}{escape(found['end'])}"

    return _NATIVE_PING.sub(silenced, text)
