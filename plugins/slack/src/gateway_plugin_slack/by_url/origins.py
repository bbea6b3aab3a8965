"""Where the secret URLs of a workspace lead: response_urls and incoming webhooks. Sans-I/O."""

from __future__ import annotations

from urllib.parse import urlsplit

_OF_SLACK = ("slack.com", "slack-gov.com")


def hooks_of(base_url: str) -> str:
    """Where the URLs of a workspace with this `base_url` lead: `https://hooks.slack.com`."""
    base = urlsplit(base_url)
    host = f"hooks.{base.netloc}" if base.hostname in _OF_SLACK else base.netloc
    return f"{base.scheme}://{host}"


def files_of(base_url: str) -> str:
    """Where the files of a workspace with this `base_url` go: `https://files.slack.com`."""
    return hooks_of(base_url).replace("://hooks.", "://files.", 1)


def path_in(url: str, hooks: str) -> str | None:
    """The path of a URL that leads there; None for any other, which an event may have forged."""
    path = url.removeprefix(hooks)
    return path if url != path and path.startswith("/") else None
