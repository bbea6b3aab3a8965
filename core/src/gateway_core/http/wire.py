"""Writes a request as HTTP/1.1, and reads an answer's bytes as they come in. Sans-I/O.

llhttp (Node.js's parser, through httptools) parses the answer: it is strict and written in C. Its
bounds are set here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import httptools

from gateway_core.http.answers import Body, Response
from gateway_core.http.bodies.multipart import Segment

HEAD_BOUND = 1 << 16
"""Most bytes of an answer's head."""

_FRAMING = 16  # Most bytes on the wire for each byte of a body; chunks of one byte take six.
_FRAMED = ("content-length", "transfer-encoding")


@attrs.frozen
class Request:
    """A request as it goes out: everything in it was checked before.

    It holds secrets in plain form, so neither its `repr` nor the `repr` of its bytes shows them.

    content   the body, if it is small
    segments  the segments of a streamed body
    """

    method: str
    target: str = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    content: bytes = attrs.field(repr=False)
    segments: Sequence[Segment] = attrs.field(default=(), repr=False)

    def encoded(self) -> memoryview:
        """Head and content, for one write: each write is a system call and often a packet."""
        fields = "".join([f"{name}: {value}\r\n" for name, value in self.headers.items()])
        head = f"{self.method} {self.target} HTTP/1.1\r\n{fields}\r\n"
        return memoryview(head.encode("ascii") + self.content)


class WireError(Exception):
    """The bytes that came are no answer, or no whole answer."""


class Reading:
    """An answer that is being read.

    status    the answer's status, once the head has come
    complete  whether the answer is complete
    keep      whether the connection may carry another request
    """

    def __init__(self, bound: int) -> None:
        self.status: int | None = None
        self.complete = False
        self.keep = False
        self._bound = bound
        self._received = 0
        self._fields: list[bytes] = []
        self._headers: dict[str, str] = {}
        self._body: Body | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def feed(self, data: bytes | bytearray) -> None:
        """Take bytes; no bytes: the connection ended. Raises WireError if it is no whole answer."""
        if not data or self._parser is None:
            self._ended()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                raise WireError(f"the answer is not HTTP: {error}") from None
            self.keep = False
        if self._received > HEAD_BOUND and not self.complete:
            self._check_bounds()

    def _check_bounds(self) -> None:
        if self.status is None:
            raise WireError(f"the answer's head has more than {HEAD_BOUND} bytes")
        if self._received > HEAD_BOUND + _FRAMING * self._bound:
            raise WireError("the answer has too many bytes for its body")

    def _ended(self) -> None:
        """The connection ended, which ends the body if no header says how long the body is."""
        if self.status is None or any(name in self._headers for name in _FRAMED):
            raise WireError("the connection ended before the answer did")
        self.complete = True
        self.keep = False

    @property
    def refused(self) -> bool:
        """Whether no more of the body is wanted."""
        return self._body is not None and self._body.refusal is not None

    def response(self) -> Response:
        """The answer; feed nothing after this. ValueError: its body was refused or is not whole."""
        self._parser = None  # The parser refers back to this object: no cycle for each answer.
        if self.status is None or self._body is None:
            raise WireError("there is no answer yet")
        return Response(self.status, self._headers, self._body.whole())

    # -- what the parser calls

    def on_message_begin(self) -> None:
        """An answer begins; after a whole answer, nobody asked for another."""
        if self.complete:
            self.keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the head; trailers, which come after the body, are dropped."""
        if self._body is None:
            self._fields += (name, value)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if self._parser is None or self._body is not None:
            return
        status = self._parser.get_status_code()
        if status < 200:  # noqa: PLR2004 - 1xx: the answer itself is still to come
            self._fields.clear()
            return
        self.status = status
        self._headers = headers_of(self._fields)
        self.keep = self._parser.should_keep_alive()
        self._body = Body(self._headers.get("content-encoding", ""), self._bound)

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body, without its framing."""
        if self._body is not None and not self.complete:
            self._body.add(chunk)

    def on_message_complete(self) -> None:
        """The answer is complete."""
        self.complete = self._body is not None


def headers_of(fields: Sequence[bytes]) -> dict[str, str]:
    """The headers from alternating names and values, decoded at once if no name is repeated."""
    decoded = b"\n".join(fields).decode("latin-1").split("\n")
    headers = dict(zip(map(str.lower, decoded[::2]), decoded[1::2], strict=False))
    if 2 * len(headers) == len(decoded) == len(fields):
        return headers
    headers = {}
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        add_header(headers, name, value)
    return headers


def add_header(headers: dict[str, str], name: bytes, value: bytes) -> None:
    """Add a header by its lower-case name; values of a repeated name are joined (RFC 9110, 5.3)."""
    key, text = name.decode("latin-1").lower(), value.decode("latin-1")
    headers[key] = f"{headers[key]}, {text}" if key in headers else text
