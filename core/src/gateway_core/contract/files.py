"""Defines a message's files, as applications hand them over and as adapters send them: values."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sized
from contextlib import AbstractAsyncContextManager
from typing import Literal

import attrs

URLS = ("https://", "http://")
MOST_FILES = 100
"""Most files of an envelope; every channel accepts fewer."""


def too_many(files: Sized) -> str:
    """What is wrong with more than `MOST_FILES` files."""
    return f"has {len(files)} files, at most {MOST_FILES}"


def _shown(source: object) -> str:
    return f"<{len(source)} bytes>" if isinstance(source, bytes) else repr(source)


def _as_source(value: object) -> object:
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


@attrs.frozen
class File:
    """A picture, a video or any other file of a message.

    source       a path, the bytes, or a URL for the platform to fetch; a path is read when the
                 envelope is accepted. None: `id` names the file, or the gateway has its bytes
    id           the platform's own id of a file that the platform has already
    name         the name that people see; empty: the path's name. Bytes need a name
    media_type   such as `image/png`; empty: derived from the name
    alt          alternative text: what the file shows, for people who cannot see it
    spoiler      hidden until the reader asks for it, if the platform can
    as_document  sent as a file to download instead of a picture, a video or a player

    The gateway sets the other fields when it accepts the envelope:

    digest       the BLAKE3 digest (32 bytes) in hexadecimal, under which the bytes are stored;
                 empty: the platform has or fetches the bytes
    size         in bytes; 0: not known
    width        of a picture, in pixels, like `height`; 0: none or not known
    """

    source: str | os.PathLike[str] | bytes | None = attrs.field(
        default=None, repr=_shown, converter=_as_source
    )
    id: str | None = attrs.field(default=None, kw_only=True)
    name: str = attrs.field(default="", kw_only=True)
    media_type: str = attrs.field(default="", kw_only=True)
    alt: str = attrs.field(default="", kw_only=True)
    spoiler: bool = attrs.field(default=False, kw_only=True)
    as_document: bool = attrs.field(default=False, kw_only=True)
    digest: str = attrs.field(default="", kw_only=True)
    size: int = attrs.field(default=0, kw_only=True)
    width: int = attrs.field(default=0, kw_only=True)
    height: int = attrs.field(default=0, kw_only=True)

    @property
    def url(self) -> str | None:
        """The URL from which the platform fetches the file; None: the source is no URL."""
        source = self.source
        return source if isinstance(source, str) and source.startswith(URLS) else None

    @property
    def kind(self) -> Literal["image", "video", "audio", "other"]:
        """What kind of file it is by its media type, however the message shows it."""
        head = self.media_type.partition("/")[0]
        return head if head in ("image", "video", "audio") else "other"  # type: ignore[return-value]  # one of them

    @property
    def is_stored(self) -> bool:
        """Whether the gateway has the file's bytes, or reads them when it accepts the envelope."""
        return self.id is None and self.url is None


@attrs.frozen(kw_only=True, eq=False)
class Upload:
    """A file of an attempt, as an adapter sends it: a source of bytes for `gateway_core.http`.

    file   the file as the envelope describes it; if a message has the file already, with the
           platform's `id`
    open   returns the file's bytes in pieces, from the first on; only one piece is in memory at a
           time. Raises `OutboxError` if the bytes cannot be read; if they are lost, core
           refuses the files, whatever the adapter makes of the error
    known  the platform's id of the same bytes, from an earlier upload of the same account; None:
           there is none, or it was refused. A retryable verdict with reason `bad_request` means
           that the id is useless; the next attempt has none
    held   the message has the file already: an edit keeps it, a deletion deletes it
    """

    file: File
    open: Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes | memoryview]]]
    known: str | None = None
    held: bool = False

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return self.file.size
