"""Makes small files of every kind that platforms distinguish, byte by byte."""

import struct
import zlib


def png(width=8, height=6, size=0):
    """A grey PNG; with `size` it has that many bytes."""

    def chunk(kind, data):
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress((b"\0" + b"\x88" * width) * min(height, 50)))
    whole = b"\x89PNG\r\n\x1a\n" + head + rows
    end = chunk(b"IEND", b"")
    filling = chunk(b"prIv", b"\0" * (size - len(whole) - len(end) - 12)) if size else b""
    return whole + filling + end


def gif(width=8, height=6):
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b";"


def jpeg(width=8, height=6):
    """Only a JPEG's header: two segments before the segment with the picture's size."""
    comment = b"\xff\xfe\x00\x06made"
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff\xe0\x00\x04JF" + comment + frame + b"\xff\xd9"


def webp(width=8, height=6):
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + sides
    return b"RIFF" + struct.pack("<I", len(body)) + body


MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\0" * 40
M4A = b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42" + b"\0" * 40
OGG = b"OggS\0\x02" + b"\0" * 40
MP3 = b"ID3\x04\0\0\0\0\0\0" + b"\xff\xfb\x90\0" * 10
PDF = b"%PDF-1.7\n%%EOF\n"
ZIP = b"PK\x03\x04" + b"\0" * 26
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"
