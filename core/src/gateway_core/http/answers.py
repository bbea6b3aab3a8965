"""Reads answers: bounded bodies, strict JSON, and the waits that platforms ask for. Sans-I/O."""

from __future__ import annotations

import json as jsonlib
import math
import re
import zlib
from collections.abc import Mapping

import attrs

from gateway_core.contract.envelopes import Json
from gateway_core.contract.errors import TransportError

LONGEST_WAIT = 86_400.0
"""Most seconds that `retry_after_seconds` returns: a day."""

_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")
_COMPRESSED = ("gzip", "x-gzip", "deflate")


def _no_constant(token: str) -> float:
    raise ValueError(f"{token} is not JSON")


def _finite(token: str) -> float:
    value = float(token)
    if math.isinf(value):
        raise ValueError("a number beyond a float's range")
    return value


_DECODER = jsonlib.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)


class UnreadableBody(TransportError, ValueError):
    """An answer with a known `status` whose body could not be read, was too big, or is not JSON.

    After a platform's own 2xx the message exists, so an adapter may answer without an id instead of
    raising. `dispatched` is `no` for 3xx and 4xx, which are refusals; otherwise it is `unknown`.
    """

    def __init__(self, text: str, *, status: int) -> None:
        self.status = status
        refused = 300 <= status < 500  # noqa: PLR2004 - the classes of HTTP status
        super().__init__(f"HTTP {status}: {text}", dispatched="no" if refused else "unknown")


@attrs.frozen
class Response:
    """An answer of any status. `headers` have lower-case names; `body` is decompressed.

    Its `repr` shows neither headers nor body, since platforms send tokens and proxies may quote
    them.
    """

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)

    def json(self) -> Json:
        """The body as plain JSON. Raises `UnreadableBody` if it is no JSON, or has NaN or Infinity.

        An adapter may let the error pass: it does not say that an unreadable 200 is a refusal.
        """
        try:
            return _DECODER.decode(self.body.decode())
        except RecursionError:
            words = "the JSON is nested too deeply"
        except UnicodeDecodeError:
            words = "the body is not UTF-8"
        except ValueError as error:
            words = f"the body is not JSON: {error}"
        # Raised outside `except`, since the library's exceptions hold the whole body.
        raise UnreadableBody(words, status=self.status)


class Body:
    """Collects a body as it comes in, decompressed and never larger than its bound."""

    def __init__(self, encoding: str, bound: int) -> None:
        encoding = encoding.strip().lower()
        self._parts = bytearray()
        self._bound = bound
        # 32 + 15: a header of gzip or zlib, whichever it is.
        self._inflate = zlib.decompressobj(47) if encoding in _COMPRESSED else None
        self._begun = False
        known = encoding in (*_COMPRESSED, "identity", "")
        self.refusal = None if known else "the body's encoding was not asked for"

    def add(self, chunk: bytes) -> None:
        """Take a chunk, unless the body was refused; `refusal` says why no more is wanted."""
        if self.refusal is not None:
            return
        self._begun = True
        if self._inflate is not None:
            chunk = self._inflated(self._inflate, chunk)
        self._parts += chunk
        if len(self._parts) > self._bound:
            self.refusal = f"the body has more than {self._bound} bytes"

    def _inflated(self, inflate: zlib._Decompress, chunk: bytes) -> bytes:
        try:
            plain = inflate.decompress(chunk, self._bound + 1 - len(self._parts))
        except zlib.error:
            self.refusal = "the body's compression is broken"
            return b""
        if inflate.unused_data:
            self.refusal = "the body goes on after its compressed part"
        return plain

    def whole(self) -> bytes:
        """The body. Raises ValueError if it was refused or is not whole."""
        if self.refusal is not None:
            raise ValueError(self.refusal)
        if self._inflate is not None and self._begun and not self._inflate.eof:
            raise ValueError("the compressed body is cut short")
        return bytes(self._parts)


def retry_after_seconds(value: object) -> float | None:
    """Seconds to wait, from a header or a JSON field; at most a day.

    None for anything else: nan, inf, a negative number, a date, a boolean.
    """
    if isinstance(value, str) and _SECONDS.fullmatch(value.strip(" \t")):
        return min(float(value), LONGEST_WAIT)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # A nan compares false with everything.
    return float(min(value, LONGEST_WAIT)) if 0 <= value < math.inf else None
