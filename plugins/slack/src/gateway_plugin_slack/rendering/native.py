"""Slack's own markup, as the application wrote it: sent as it is, but for those whom it calls."""

from __future__ import annotations

import re

from gateway_plugin_slack.rendering.plain import escape

_NATIVE_PING = re.compile(r"<(?P<call>[@!](?!date\^)[^<>\n]*+)(?P<end>>?)")


def native(text: str, *, mentions: bool) -> str:
    """Slack's own markup as it is sent; without `mentions`, those in it are shown, not called."""
    return text if mentions else _NATIVE_PING.sub(_silenced, text)


def _silenced(found: re.Match[str]) -> str:
    return f"&lt;{found['call']}{escape(found['end'])}"
