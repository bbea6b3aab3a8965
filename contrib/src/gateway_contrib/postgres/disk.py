"""Finds files that a message handed over as JSON must not have: those read from a disk.

Otherwise an application that may hand over messages could send any file on the owner's disk to a
room of its own. Pure.
"""

from __future__ import annotations

from gateway_core import Envelope

BY_NAME = "give the file's URL as `source`, or its `id`, not a path or bytes"
NOT_HANDED = "its bytes were not handed over with it"


def reads_disk(envelope: Envelope) -> int | None:
    """The index of the envelope's first file that is a path or bytes; None: it has no such file."""
    files = getattr(envelope, "files", None) or ()
    return next((n for n, it in enumerate(files) if it.source is not None and it.url is None), None)
