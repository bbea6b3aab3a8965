"""Describes what differs between the platforms: emulator, limits, addresses, words for a 429."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits
from gateway_contrib.emulators.discord.limits import VIA, limited
from gateway_contrib.emulators.faults import Said
from gateway_contrib.emulators.slack import SlackEmulator, SlackLimits
from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_contrib.emulators.telegram.refusals import body_of, flood

_MANY = 1_000_000
_TRUE, _FALSE = "true", "false"


def _nowhere(_emulator: Any, _url: str) -> str | None:
    return None


def _slack(emulator: SlackEmulator, url: str) -> str:
    emulator.hooks_url = emulator.files_url = url
    return emulator.webhook("C0GENERAL")


def _discord(emulator: DiscordEmulator, url: str) -> str:
    emulator.cdn_url = url
    emulator.gateway_url = f"{url.replace('http', 'ws', 1)}/gateway"
    webhook = emulator.webhook("1100000000000000001")
    return f"{url}/api/v10/webhooks/{webhook.id}/{webhook.token}"


def _refused_by_telegram(seconds: float) -> Said:
    refusal = flood(math.ceil(seconds))
    wait = str((refusal.parameters or {})["retry_after"])
    return Said(status=429, body=body_of(refusal), headers={"Retry-After": wait, **_JSON})


def _refused_by_slack(seconds: float) -> Said:
    body = {"ok": False, "error": "ratelimited"}
    return Said(status=429, body=body, headers={"Retry-After": str(math.ceil(seconds)), **_JSON})


def _refused_by_discord(seconds: float) -> Said:
    refusal = limited(seconds, scope="user", headers={})
    return Said(status=429, body=refusal.body, headers={**refusal.headers, **VIA, **_JSON})


_JSON = {"Content-Type": "application/json"}


@attrs.frozen
class Platform:
    """An emulator, the path of its API below the address, and a token that it takes.

    limits     the class of its limits; `unlimited` are limits that nobody reaches
    refused    makes a 429 in the platform's words that asks for so many seconds
    locate     tells an emulator where it is served; returns the URL of an incoming webhook, if any
    """

    emulator: Callable[..., Any]
    limits: type[Any]
    unlimited: Any
    path: str
    token: str
    refused: Callable[[float], Said]
    locate: Callable[[Any, str], str | None] = _nowhere


PLATFORMS: Mapping[str, Platform] = {
    "telegram": Platform(
        TelegramEmulator,
        TelegramLimits,
        TelegramLimits(chat_seconds=0.0, group_count=_MANY, bot_count=_MANY, draft_seconds=0.0),
        "",
        "123456789:any-well-formed-token",
        _refused_by_telegram,
    ),
    "slack": Platform(
        SlackEmulator,
        SlackLimits,
        SlackLimits(posts=(_MANY, 1.0), webhooks=(_MANY, 1.0), tiers={}),
        "/api",
        "xoxb-any-well-formed-token",
        _refused_by_slack,
        _slack,
    ),
    "discord": Platform(
        DiscordEmulator,
        DiscordLimits,
        DiscordLimits(count=_MANY, webhook_count=_MANY, global_count=_MANY),
        "/api/v10",
        "any.well-formed.token",
        _refused_by_discord,
        _discord,
    ),
}


def limits_of(platform: Platform, given: Mapping[str, Any]) -> Any:
    """The platform's limits, changed in the fields that are given.

    A value may be a text, as on a command line: `3`, `0.5`, `true`, `5/1` for five in a second.
    Raises ValueError for an unknown name or an unusable value.
    """
    default = platform.limits()
    read = {}
    for name, value in given.items():
        if name not in attrs.fields_dict(platform.limits):
            raise ValueError(f"{name} is not a limit; there are {', '.join(_names(platform))}")
        read[name] = _read(name, value, getattr(default, name))
    return attrs.evolve(default, **read)


def _names(platform: Platform) -> list[str]:
    return list(attrs.fields_dict(platform.limits))


def _read(name: str, value: Any, default: Any) -> Any:
    """The value, converted to the default's type."""
    text = str(value).lower() if isinstance(value, bool) else value
    try:
        match default:
            case bool():
                return {_TRUE: True, _FALSE: False}[text]
            case int():
                return int(text)
            case float():
                return float(text)
            case tuple():
                count, seconds = text.split("/") if isinstance(text, str) else text
                return int(count), float(seconds)
    except (KeyError, TypeError, ValueError):
        told = "5/1" if isinstance(default, tuple) else repr(default)
        kind = "a count in seconds" if isinstance(default, tuple) else "a value"
        raise ValueError(f"{name}: {value!r} is not {kind} such as {told}") from None
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"{name}: is a mapping, which cannot be given as a text")
