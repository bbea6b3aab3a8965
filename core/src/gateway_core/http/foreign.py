"""Judges answers that are not the platform's own, and what they prove about a request. Sans-I/O.

Proxies, the platform's own front end and captive portals may answer in the platform's place. Their
refusal says nothing about the message, so the message is tried again. The answer decides whether
the outcome is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus

from gateway_core.contract.verdicts import Dispatched, ErrorClass, Reason, Scope, Verdict
from gateway_core.http.answers import Response, retry_after_seconds

_EXCERPT = 200
"""Characters of a page that a verdict shows."""
_TOO_LARGE = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_URI_TOO_LONG)

NEVER_PASSED_ON = frozenset({511, 521, 523, 525, 526, 530})
"""Statuses from 500 on that are given before the platform has the request.

511  a portal wants a login first (RFC 6585, section 6)
521  the platform's server refused the connection (developers.cloudflare.com, 5xx errors)
523  there is no route to the server
525  the TLS handshake with the server failed
526  the server's certificate was refused
530  the server's name was not resolved, or its tunnel has no end (with an error 1xxx in the page)
"""

NOBODY_BEHIND: tuple[str, ...] = (
    "no healthy upstream",
    "reset reason: connection failure",
    "reset reason: remote connection failure",
    "reset reason: local connection failure",
    "reset reason: connection timeout",
    "reset reason: overflow",
    "no server is available to handle this request",
)
"""Texts of 503 pages, in lower case, that prove that no server was connected to.

The first six are Envoy's (its response flags UH, UF and UO), the last is from HAProxy's default
page.
"""

_BEGINNING = 64
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body", b"<title", b"<script")
_READ = 5000
"""Bytes of a page that are searched for these texts."""
_LONGEST_SECRET = 1000
"""Characters: the last ones that are read may be the beginning of a secret, so nobody sees them."""
_TAG = re.compile(r"<[^<>]{0,400}>")


def is_page(response: Response) -> bool:
    """Whether the body is an HTML document; no JSON answer begins like one, even if truncated."""
    return response.body[:_BEGINNING].lstrip().lower().startswith(_HTML)


def foreign_verdict(response: Response, redact: Callable[[str], str] | None = None) -> Verdict:
    """The verdict on an answer that is not the platform's own, of any status.

    413 and 414 reject the message; 429 closes the instance; anything else is an outage of the
    instance. `redact` removes secrets from the page's text, which may quote the request.
    """
    raw = f"HTTP {response.status}, not from the platform: {_excerpt(response, redact or str)}"
    if response.status in _TOO_LARGE:
        return Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.TOO_LONG, raw=raw)
    reason, dispatched = _outcome(response)
    return Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=reason,
        scope=Scope.INSTANCE,
        dispatched=dispatched,
        retry_after=retry_after_seconds(response.headers.get("retry-after")),
        raw=raw,
    )


def _outcome(response: Response) -> tuple[Reason, Dispatched]:
    """Why the request failed, and whether the platform may have acted."""
    status = response.status
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Reason.RATE_LIMITED, "no"
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return Reason.OUTCOME_UNKNOWN, "unknown"
    if status < HTTPStatus.INTERNAL_SERVER_ERROR or _never_passed_on(response):
        return Reason.UNREACHABLE, "no"
    return Reason.PLATFORM_ERROR, "unknown"


def _never_passed_on(response: Response) -> bool:
    if response.status in NEVER_PASSED_ON:
        return True
    if response.status != HTTPStatus.SERVICE_UNAVAILABLE:
        return False
    words = _words(response, str).lower()
    return any(said in words for said in NOBODY_BEHIND)


def _excerpt(response: Response, redact: Callable[[str], str]) -> str:
    return _words(response, redact)[:_EXCERPT] or "an empty body"


def _words(response: Response, redact: Callable[[str], str]) -> str:
    """The page's text without its tags and secrets.

    Secrets are removed before anything is cut, since the beginning of one cannot be recognised.
    """
    text = redact(response.body[:_READ].decode(errors="replace"))
    if len(response.body) > _READ:
        text = text[:-_LONGEST_SECRET]
    return " ".join(_TAG.sub(" ", text).split())
