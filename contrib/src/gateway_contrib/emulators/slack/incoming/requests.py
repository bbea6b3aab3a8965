"""Turns a payload into the HTTP request that Slack sends an app: body and signed headers.

Source: docs.slack.dev, verifying requests from Slack. The time is passed in, since apps compare it
with their own clock.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

FORM = "application/x-www-form-urlencoded"


def request_of(
    payload: Mapping[str, Any], *, secret: str, timestamp: int
) -> tuple[bytes, dict[str, str]]:
    """Body and headers: events as JSON, commands as a form, other payloads in a form's `payload`.

    secret     the app's signing secret
    timestamp  the POSIX time of sending, in seconds
    """
    kind, body = _body(payload)
    headers = {
        "Content-Type": kind,
        "X-Slack-Request-Timestamp": str(timestamp),
        "X-Slack-Signature": signature(body, secret=secret, timestamp=timestamp),
    }
    return body, headers


def signature(body: bytes, *, secret: str, timestamp: int) -> str:
    """The value of `X-Slack-Signature`."""
    signed = b"v0:%d:%s" % (timestamp, body)
    return "v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _body(payload: Mapping[str, Any]) -> tuple[str, bytes]:
    if payload.get("type") == "event_callback":
        return "application/json", json.dumps(payload).encode()
    fields = payload if "command" in payload else {"payload": json.dumps(payload)}
    return FORM, urlencode(fields).encode()
