"""Discord's refusals as they come over the wire: status, headers and a body of many shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway_core import GatewayError
from gateway_core.http import Response, retry_after_seconds

RATE_LIMITED = 429


class DiscordApiError(GatewayError):
    """Discord answered with a refusal. Nothing in it is trusted to have its documented shape.

    `redact` takes secrets out of its words: what stands between may quote the request.
    """

    def __init__(self, response: Response, *, redact: Callable[[str], str] = str) -> None:
        self._redact = redact
        self.status = response.status
        self.headers = response.headers
        self.body = _object(response)
        self.text = response.body[:200].decode(errors="replace")
        super().__init__(self.status, self.code, self.message)

    @property
    def code(self) -> int:
        """Discord's own code; 0: it gave none."""
        code = self.body.get("code") if self.body else None
        return code if isinstance(code, int) else 0

    @property
    def message(self) -> str:
        """Discord's own words, with the places of an invalid form's mistakes."""
        words = self.body.get("message") if self.body else None
        mistakes = "; ".join(f"{place}: {', '.join(said)}" for place, said in self.mistakes.items())
        said = words if isinstance(words, str) else self.text
        return self._redact(f"{said}{mistakes and f' ({mistakes})'}")

    @property
    def mistakes(self) -> Mapping[str, tuple[str, ...]]:
        """What is wrong with each top-level field of an invalid form: codes and sentences."""
        errors = self.body.get("errors") if self.body else None
        if not isinstance(errors, Mapping):
            return {}
        return {place: tuple(_words(said)) for place, said in errors.items()}

    @property
    def at_front_door(self) -> bool:
        """A 429 of the proxies before Discord: no JSON, or no `Via` header that names them."""
        return self.status == RATE_LIMITED and (self.body is None or not self.headers.get("via"))

    @property
    def scope(self) -> str:
        """Whose limit was met: `user`, `global` or `shared`; empty where it is not told."""
        return self.headers.get("x-ratelimit-scope", "").lower()

    @property
    def is_global(self) -> bool:
        """A limit of the whole bot, by the body or by either header."""
        return (
            (self.body or {}).get("global") is True
            or self.scope == "global"
            or self.headers.get("x-ratelimit-global", "").lower() == "true"
        )

    @property
    def wait(self) -> float | None:
        """The longest wait, in seconds, that body or headers ask for: they are rounded unlike."""
        told = ((self.body or {}).get("retry_after"), self.headers.get("retry-after"))
        waits = [wait for wait in map(retry_after_seconds, told) if wait is not None]
        if not waits and self.status == RATE_LIMITED:
            return retry_after_seconds(self.headers.get("x-ratelimit-reset-after"))
        return max(waits, default=None)

    def __str__(self) -> str:
        return f"HTTP {self.status}, code {self.code}: {self.message}"


def _object(response: Response) -> dict[str, Any] | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _words(said: Any) -> Iterable[str]:
    """Every code and sentence of a nested errors object."""
    if isinstance(said, str):
        yield said
    elif isinstance(said, Mapping | list):
        for inner in said.values() if isinstance(said, Mapping) else said:
            yield from _words(inner)
