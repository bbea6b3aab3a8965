"""Refuses files that an envelope which another process hands over must not have. Sans-I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.errors import Invalid, Problem

BY_NAME = "give the file's `url`, `id`, or the digest of its bytes, not a path"
NOT_HANDED = "its bytes were not handed over with it"


def check_files(envelopes: Iterable[Envelope], handed: Collection[str]) -> None:
    """Raises `Invalid` for a file by path, or by the digest of bytes that were not handed over.

    By that, a caller could have any local file sent, or another one's.

    handed  the digests of the bytes that were
    """
    for envelope in envelopes:
        for place, file in enumerate(getattr(envelope, "files", None) or ()):
            if file.source is not None and file.url is None:
                raise Invalid([Problem(f"files.{place}", BY_NAME)])
            if file.digest and file.digest not in handed:
                raise Invalid([Problem(f"files.{place}", NOT_HANDED)])
