"""Says at which origin a workspace has its response_urls, webhooks and files. Sans-I/O."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_PATH = re.compile(r"/[!$-~]{0,8191}")  # printable ASCII, but no space, quote or fragment
_DOTS = re.compile(r"[/\\](\.|%2e){1,2}([/\\?]|$)", re.IGNORECASE)
_OF_SLACK = ("slack.com", "slack-gov.com")


def hooks_of(base_url: str) -> str:
    """The origin of a workspace's secret URLs, by its `base_url`: `https://hooks.slack.com`."""
    base = urlsplit(base_url)
    host = f"hooks.{base.netloc}" if base.hostname in _OF_SLACK else base.netloc
    return f"{base.scheme}://{host}"


def files_of(base_url: str) -> str:
    """The origin of a workspace's uploads, by its `base_url`: `https://files.slack.com`."""
    return hooks_of(base_url).replace("://hooks.", "://files.", 1)


def path_in(url: str, hooks: str) -> str | None:
    """The path of a URL at the origin `hooks`; None for another URL, which may be forged.

    A path that no request can have, since it is not percent-encoded or leads elsewhere by `..`, is
    no path of Slack's either.
    """
    path = url.removeprefix(hooks)
    fits = url != path and _PATH.fullmatch(path) and not _DOTS.search(path)
    return path if fits else None
