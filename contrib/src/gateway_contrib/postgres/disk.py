"""Which files a message may have that is handed over as JSON: none that is read from a disk.

Whoever may hand over would have any file of the owner's disk sent to a room of its own. Pure.
"""

from __future__ import annotations

from gateway_core import Envelope

BY_NAME = "give the file's `url` or `id`, not a path or bytes"


def reads_disk(envelope: Envelope) -> int | None:
    """The place of its first file that is a path, or bytes; None: it has none."""
    files = getattr(envelope, "files", None) or ()
    return next((n for n, it in enumerate(files) if it.source is not None and it.url is None), None)
