"""Refuses files by path in an envelope that another process hands over as JSON. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable

from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.errors import Invalid, Problem

BY_NAME = "give the file's `url`, `id`, or the digest of its bytes, not a path"


def check_files(envelopes: Iterable[Envelope]) -> None:
    """Raises `Invalid` for a file by path: by that, a caller could have any local file sent."""
    for envelope in envelopes:
        for place, file in enumerate(getattr(envelope, "files", None) or ()):
            if file.source is not None and file.url is None:
                raise Invalid([Problem(f"files.{place}", BY_NAME)])
