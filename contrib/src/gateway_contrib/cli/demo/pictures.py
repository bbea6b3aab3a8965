"""Makes small pictures; the same words always give the same picture. Sans-I/O."""

from __future__ import annotations

import struct
import zlib
from random import Random

SIDE = 40
"""Pixels in a row. Pixels have three random bytes each, so that a picture has some kilobytes."""


def picture_for(words: str) -> bytes:
    """A PNG that only these words give."""
    random = Random(f"picture:{words}")  # noqa: S311 - a picture to repeat
    rows = b"".join(b"\0" + random.randbytes(3 * SIDE) for _ in range(SIDE))
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    whole = name + content
    return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))
