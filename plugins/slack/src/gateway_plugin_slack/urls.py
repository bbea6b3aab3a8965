"""Messages by a URL that is a secret, and not by a token: response_urls. Sans-I/O.

Sources: docs.slack.dev, handling user interaction. The answers are plain texts: `ok`, or
a word; that a response_url has served five times, or is too old, comes with HTTP 404.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from gateway_core.authors import Attempt
from gateway_plugin_slack.ids import locate
from gateway_plugin_slack.methods import POST_EXTRA, POST_FIELDS
from gateway_plugin_slack.requests import content_of

_OF_SLACK = ("slack.com", "slack-gov.com")


def hooks_of(base_url: str) -> str:
    """Where the URLs of a workspace with this `base_url` lead: `https://hooks.slack.com`."""
    base = urlsplit(base_url)
    host = f"hooks.{base.netloc}" if base.hostname in _OF_SLACK else base.netloc
    return f"{base.scheme}://{host}"


def path_in(url: str, hooks: str) -> str | None:
    """The path of a URL that leads there; None for any other, which an event may have forged."""
    path = url.removeprefix(hooks)
    return path if url != path and path.startswith("/") else None


def answer_fields(attempt: Attempt) -> dict[str, Any]:
    """The payload of an answer to an interaction: a message of its own, for all or for one."""
    fields = content_of(attempt, POST_FIELDS, POST_EXTRA)
    if attempt.thread is not None:
        fields["thread_ts"] = locate(attempt.room, attempt.thread)[1]
    seen = "ephemeral" if attempt.ephemeral else "in_channel"
    return {**fields, "response_type": seen, "replace_original": False}
