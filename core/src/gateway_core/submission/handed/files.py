"""Which files what another process asks for as JSON may have: none that is read here. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable

from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.errors import Invalid, Problem

BY_NAME = "give the file's `url`, `id`, or the digest of its bytes, not a path"


def check_files(envelopes: Iterable[Envelope]) -> None:
    """Raises `Invalid` for a file that is a path: whoever asks would have any file here sent."""
    for envelope in envelopes:
        for place, file in enumerate(getattr(envelope, "files", None) or ()):
            if file.source is not None and file.url is None:
                raise Invalid([Problem(f"files.{place}", BY_NAME)])
