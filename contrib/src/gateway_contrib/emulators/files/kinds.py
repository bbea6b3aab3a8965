"""Recognises a file by its first bytes: the media type, and a picture's size in pixels.

It knows only the types that platforms tell apart. It ignores names and headers: both may lie.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs


@attrs.frozen
class Kind:
    """A media type, and a picture's sides if the file states them; 0: the file does not."""

    media_type: str
    width: int = 0
    height: int = 0


UNKNOWN = Kind("application/octet-stream")

PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""The types that every browser shows, and in which nothing can run."""


def recognised(data: bytes) -> Kind:
    """What the bytes are; `UNKNOWN` if their type is not known."""
    for start, read in _BEGINNINGS.items():
        if data.startswith(start):
            return read(data)
    if data[4:8] == b"ftyp":
        return Kind("audio/mp4" if data[8:11] == b"M4A" else "video/mp4")
    if len(data) > 1 and data[0] == _SYNC and data[1] & 0xE6 == _LAYER_3:
        return Kind("audio/mpeg")
    return UNKNOWN


_SYNC, _LAYER_3 = 0xFF, 0xE2
_RIFF_KINDS: Mapping[bytes, str] = MappingProxyType({b"WAVE": "audio/wav", b"AVI ": "video/avi"})
_SIZED = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""JPEG's markers of frames; the sides follow such a marker."""


def _sides(data: bytes, form: str, at: int) -> tuple[int, int]:
    try:
        first, second = struct.unpack_from(form, data, at)
    except struct.error:
        return 0, 0
    return first, second


def _png(data: bytes) -> Kind:
    return Kind("image/png", *_sides(data, ">II", 16))


def _gif(data: bytes) -> Kind:
    return Kind("image/gif", *_sides(data, "<HH", 6))


def _jpeg(data: bytes) -> Kind:
    """Pass over segments, each of which states its length, to the segment with the sides."""
    at = 2
    while at + 4 <= len(data) and data[at] == _SYNC:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker in _SIZED:
            height, width = _sides(data, ">HH", at + 5)
            return Kind("image/jpeg", width, height)
        at += 2 + max(length, 2)
    return Kind("image/jpeg")


def _riff(data: bytes) -> Kind:
    if data[8:12] != b"WEBP":
        return Kind(_RIFF_KINDS.get(data[8:12], UNKNOWN.media_type))
    return Kind("image/webp", *_WEBP.get(data[12:16], _nothing)(data))


def _webp_extended(data: bytes) -> tuple[int, int]:
    if len(data) < 30:  # noqa: PLR2004 - where the two sides of three bytes end
        return 0, 0
    width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    return width + 1, height + 1


def _webp_lossy(data: bytes) -> tuple[int, int]:
    width, height = _sides(data, "<HH", 26)
    return width & 0x3FFF, height & 0x3FFF


def _webp_lossless(data: bytes) -> tuple[int, int]:
    packed = int.from_bytes(data[21:25], "little")
    return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1


def _nothing(_: bytes) -> tuple[int, int]:
    return 0, 0


_WEBP: Mapping[bytes, Callable[[bytes], tuple[int, int]]] = {
    b"VP8X": _webp_extended,
    b"VP8 ": _webp_lossy,
    b"VP8L": _webp_lossless,
}


def _always(media_type: str) -> Callable[[bytes], Kind]:
    return lambda _: Kind(media_type)


_BEGINNINGS: Mapping[bytes, Callable[[bytes], Kind]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8\xff": _jpeg,
    b"GIF87a": _gif,
    b"GIF89a": _gif,
    b"RIFF": _riff,
    b"%PDF-": _always("application/pdf"),
    b"PK\x03\x04": _always("application/zip"),
    b"OggS": _always("audio/ogg"),
    b"ID3": _always("audio/mpeg"),
    b"fLaC": _always("audio/flac"),
    b"\x1aE\xdf\xa3": _always("video/webm"),
}
