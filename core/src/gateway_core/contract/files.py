"""Files of a message: what an application hands over, and what an adapter sends. Values."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal

import attrs

URLS = ("https://", "http://")


def _shown(source: object) -> str:
    return f"<{len(source)} bytes>" if isinstance(source, bytes) else repr(source)


def _as_source(value: object) -> object:
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


@attrs.frozen
class File:
    """A picture, a video or any other file of a message.

    source       a path, the bytes, or a URL, which the platform fetches; a path is read as the
                 envelope is accepted. None: `id` names it, or the gateway has its bytes
    id           the platform's own id of a file that it has
    name         as people see it; empty: the path's. Bytes need one
    media_type   such as `image/png`; empty: by the name
    alt          what it shows, for those who do not see it
    spoiler      hidden until the reader asks for it, where the platform can
    as_document  as a file to download, and not shown as a picture, a video or a player

    The gateway writes the rest as it accepts the envelope:

    digest       BLAKE3's 32 bytes, in hexadecimal, by which the bytes are stored; empty: the
                 platform has or fetches them
    size         in bytes; 0: not known here
    width        of a picture in pixels, and `height`; 0: none, or not known
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
        """Where the platform fetches it; None: it does not."""
        source = self.source
        return source if isinstance(source, str) and source.startswith(URLS) else None

    @property
    def kind(self) -> Literal["image", "video", "audio", "other"]:
        """What its media type says that it is, whatever it is shown as."""
        head = self.media_type.partition("/")[0]
        return head if head in ("image", "video", "audio") else "other"  # type: ignore[return-value]  # one of them

    @property
    def is_stored(self) -> bool:
        """Whether the gateway has its bytes, or reads them as it accepts the envelope."""
        return self.id is None and self.url is None


@attrs.frozen(kw_only=True, eq=False)
class Upload:
    """A file of an attempt, as an adapter sends it: a source of bytes for `gateway_core.http`.

    file   what the envelope says of it; of a message that has it, with the platform's `id`
    open   gives its bytes in pieces, from the first on: never more than one piece is in memory.
           They raise `OutboxError` where they are not there any more
    known  the platform's id of the same bytes, from an earlier upload of the same account; None:
           there is none, or it was refused. A verdict that is retryable, with the reason
           `bad_request`, says that it is worth nothing: the next attempt has none
    held   the message has it already: an edit keeps it, a deletion takes it along
    """

    file: File
    open: Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes | memoryview]]]
    known: str | None = None
    held: bool = False

    @property
    def size(self) -> int:
        """In bytes."""
        return self.file.size
