"""Says in a sentence why an account does not work, and what to do about it. Sans-I/O.

The reason of a probe's verdict is the same on every channel. The platform's own words say more:
rows match them in lower case. The words have the same sources as the adapters' tables.
"""

from __future__ import annotations

import re

import attrs

from gateway_core import Instance, Reason, Verdict

NOT_THE_API = (
    "What answers at {base_url} is not the platform's API: correct base_url, or look at what is in"
    " between (a proxy, a captive portal)."
)


@attrs.frozen
class _Row:
    """The sentence for a reason, if the pattern `words` is found in the platform's own words."""

    reason: Reason
    words: str
    sentence: str


_ROWS: tuple[_Row, ...] = (
    # The token.
    _Row(
        Reason.UNAUTHORIZED,
        "token_expired",
        "The token has expired: with refresh_token, client_id and client_secret the gateway"
        " exchanges it at its first message; without them, install the app again.",
    ),
    _Row(
        Reason.UNAUTHORIZED,
        "token_revoked",
        "The token was revoked: install the app again and configure the new token.",
    ),
    _Row(
        Reason.UNAUTHORIZED,
        "account_inactive",
        "The bot's account was deactivated, or its workspace deleted: have an admin let it in"
        " again, and configure its new token.",
    ),
    _Row(
        Reason.UNAUTHORIZED,
        "not_authed",
        "The platform got no token: configure one, or have the proxy let the Authorization header"
        " through.",
    ),
    _Row(
        Reason.UNAUTHORIZED,
        "code 40002",
        "The platform bans the bot until its owner verifies the account: log in to the developer"
        " portal and follow what it asks for.",
    ),
    _Row(
        Reason.UNAUTHORIZED,
        "",
        "The platform does not know the token, because it is wrong or was replaced: copy it from"
        " the platform again, whole, and configure that.",
    ),
    # The account.
    _Row(
        Reason.FORBIDDEN,
        "missing_scope",
        "The token lacks a scope: add the one that is named here to the app, install it again and"
        " configure the new token.",
    ),
    _Row(
        Reason.FORBIDDEN,
        "not_allowed_token_type",
        "It is a token of another kind: configure the bot's (xoxb-…), not the app's or a user's.",
    ),
    _Row(
        Reason.FORBIDDEN,
        "two_factor",
        "The workspace wants two-factor authentication set up for this account: do so and try"
        " again.",
    ),
    _Row(
        Reason.FORBIDDEN,
        "",
        "The platform has barred this account: ask the workspace's or server's admins to let it"
        " in.",
    ),
    # Limits.
    _Row(
        Reason.RATE_LIMITED,
        "40333|<|answers of 401",
        "The platform blocks this machine's address for a while: wait {wait}, and find out which"
        " requests fail so often.",
    ),
    _Row(
        Reason.RATE_LIMITED,
        "",
        "The account has sent too many requests: try again in {wait}; nothing needs to be changed.",
    ),
    # The way there.
    _Row(Reason.UNREACHABLE, "cannot be read|not from the platform", NOT_THE_API),
    _Row(Reason.OUTCOME_UNKNOWN, "not from the platform", NOT_THE_API),
    _Row(
        Reason.UNREACHABLE,
        "proxyerror.* 407 .*takes credentials of (?!.*basic)",
        "The proxy takes only credentials that the gateway does not speak: run a helper on this"
        " machine that does (cntlm, px), and set proxy to its address.",
    ),
    _Row(
        Reason.UNREACHABLE,
        "proxyerror.* 407 ",
        "The proxy lets nobody through without its credentials: correct proxy_credentials.",
    ),
    _Row(
        Reason.UNREACHABLE,
        "proxyerror.* 403 ",
        "The proxy does not allow connections to {base_url}: have whoever runs it allow this host.",
    ),
    _Row(
        Reason.UNREACHABLE,
        "proxyerror.* 50[234] ",
        "The proxy does not reach {base_url}: correct base_url, or ask whoever runs the proxy.",
    ),
    _Row(
        Reason.UNREACHABLE,
        "proxyerror|through the proxy",
        "There is no way through the proxy: correct the address and port of proxy, or ask whoever"
        " runs it.",
    ),
    _Row(
        Reason.UNREACHABLE,
        "certificate_required",
        "The server asks for a client certificate: configure client_certificate and client_key.",
    ),
    _Row(
        Reason.UNREACHABLE,
        "ssl|tls|certificate",
        "The TLS connection to {base_url} fails: if base_url is right, this machine does not trust"
        " its certificate. Set ca_file if a company's proxy reads TLS; else look at this machine's"
        " clock and certificates.",
    ),
    _Row(
        Reason.UNREACHABLE,
        "gaierror|name or service|name resolution|getaddrinfo|nodename",
        "The name in {base_url} is not found: correct base_url, or this machine's DNS.",
    ),
    _Row(
        Reason.UNREACHABLE,
        "",
        "Nobody answers at {base_url}: correct base_url, or let this machine reach it (network,"
        " firewall).",
    ),
    _Row(
        Reason.OUTCOME_UNKNOWN,
        "",
        "{base_url} can be reached, but does not answer: try again; if that does not help, look at"
        " what is in between (a proxy, a firewall).",
    ),
    # The platform.
    _Row(Reason.PLATFORM_ERROR, "^(http )?[23][0-9][0-9]\\b", NOT_THE_API),
    _Row(
        Reason.PLATFORM_ERROR,
        "",
        "The platform has a fault of its own: wait, look at its status page, and try again;"
        " nothing needs to be changed.",
    ),
    _Row(
        Reason.UNCLASSIFIED,
        "no file of slack tokens",
        "The token file is damaged, or is another file: correct token_file, or move the file away"
        " and configure the tokens of a new installation.",
    ),
    _Row(Reason.TOO_LONG, "not from the platform", NOT_THE_API),
    _Row(
        Reason.HOOK_CONTRACT,
        "",
        "The channel's plugin has a bug: look for a newer release of it, and report this line.",
    ),
)
_OTHERWISE = "The platform refuses, and the gateway does not know why: its own words may say it."


def advice(instance: Instance, verdict: Verdict) -> str:
    """A sentence that says what is wrong and what to do; then the platform's own words."""
    base_url = getattr(instance.settings, "base_url", "the platform")
    sentence = _sentence(verdict).format(base_url=base_url, wait=_wait(verdict.retry_after))
    return f"{sentence} [{verdict.raw}]" if verdict.raw else sentence


def unlike_itself(instance: Instance) -> str:
    """The sentence for a probe whose answer has no identity."""
    return NOT_THE_API.format(base_url=getattr(instance.settings, "base_url", "the platform"))


def _sentence(verdict: Verdict) -> str:
    words = verdict.raw.lower()
    for row in _ROWS:
        if row.reason is verdict.reason and re.search(row.words, words):
            return row.sentence
    return _OTHERWISE


def _wait(seconds: float | None) -> str:
    if not seconds:
        return "a minute"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"  # noqa: PLR2004 - what people read easily
