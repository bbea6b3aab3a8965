"""Reads bodies of requests piece by piece and within bounds: whole ones, and forms with files.

Bytes beyond a bound are counted and dropped, but the body is still read to its end: a client that
is still writing would not read the answer that refuses its request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from multipart import (  # type: ignore[import-untyped]  # it has annotations, and no marker
    MultipartError,
    PushMultipartParser,
    parse_options_header,
)
from starlette.requests import Request

FIELD_BYTES = 1024 * 1024
"""Most bytes of a form's text field, and of a body without files."""

MOST_PARTS = 100
MOST_HEADERS = 16


class TooLarge(Exception):
    """The body is larger than the platform reads."""


class Unreadable(Exception):
    """The body is not a form, or the form breaks off."""


@attrs.frozen(kw_only=True)
class Upload:
    """A file in a form. `data` is cut off at the bound of a file; `size` counts all its bytes.

    media_type  the type that the client gives; empty: it gives none
    """

    field: str
    name: str
    media_type: str
    data: bytes = attrs.field(repr=False)
    size: int


@attrs.frozen
class Form:
    """A form's text fields and its files, in their order."""

    fields: Mapping[str, str]
    uploads: tuple[Upload, ...]


@attrs.define
class _Part:
    """A part of a form while it is read."""

    name: str
    filename: str | None
    media_type: str
    data: bytearray = attrs.field(factory=bytearray)
    size: int = 0

    def add(self, piece: bytes | bytearray, most: int) -> None:
        self.size += len(piece)
        self.data += piece[: max(0, most - len(self.data))]


async def read_raw(request: Request, most: int) -> tuple[bytes, int]:
    """The first `most` bytes of the body, and the body's whole size."""
    body, size = bytearray(), 0
    async for piece in request.stream():
        size += len(piece)
        body += piece[: max(0, most - len(body))]
    return bytes(body), size


async def read_body(request: Request, most: int = FIELD_BYTES) -> bytes:
    """The whole body. Raises TooLarge if it has more than `most` bytes."""
    body, size = await read_raw(request, most)
    if size > most:
        raise TooLarge
    return body


def is_form(request: Request) -> bool:
    """True if the body is a form of several parts."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def read_form(request: Request, *, file_bytes: int, body_bytes: int) -> Form:
    """The fields and files of a form (`multipart/form-data`).

    file_bytes  most bytes that are held of a file; its `size` counts all its bytes
    body_bytes  most bytes of the whole form; raises TooLarge above that

    Raises Unreadable if the body is not a form, or the form breaks off.
    """
    parts = _Parts(request.headers.get("content-type", ""), file_bytes)
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if piece and size <= body_bytes:
            parts.feed(piece)
    if size > body_bytes:
        raise TooLarge
    found = parts.complete()
    return Form(
        {part.name: part.data.decode("utf-8", "replace") for part in found if not _is_file(part)},
        tuple(_upload(part) for part in found if _is_file(part)),
    )


class _Parts:
    """The parts of a form so far; after an error in the form, no more are added."""

    def __init__(self, content_type: str, file_bytes: int) -> None:
        self._file_bytes = file_bytes
        self._found: list[_Part] = []
        self._fault = ""
        _, options = parse_options_header(content_type)
        self._parser = PushMultipartParser(
            options.get("boundary") or " ",
            max_segment_count=MOST_PARTS,
            max_header_count=MOST_HEADERS,
        )

    def feed(self, piece: bytes) -> None:
        if self._fault or self._parser.closed:
            return
        try:
            for event in self._parser.parse(piece):
                self._take(event)
        except MultipartError as error:
            self._fault = str(error)

    def complete(self) -> list[_Part]:
        """All parts. Raises Unreadable if the body is not a form, or has not ended."""
        if self._fault:
            raise Unreadable(self._fault)
        try:
            self._parser.close()
        except MultipartError as error:
            raise Unreadable(str(error)) from None
        return self._found

    def _take(self, event: Any) -> None:
        if isinstance(event, (bytes, bytearray)):
            part = self._found[-1]
            part.add(event, self._file_bytes if _is_file(part) else FIELD_BYTES)
        elif event is not None:
            self._found.append(_Part(event.name or "", event.filename, event.content_type or ""))


def _is_file(part: _Part) -> bool:
    return part.filename is not None


def _upload(part: _Part) -> Upload:
    return Upload(
        field=part.name,
        name=part.filename or "",
        media_type=part.media_type,
        data=bytes(part.data),
        size=part.size,
    )
