"""What files of a group a process that delivers nothing can hand over. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable

from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.errors import Invalid, Problem

NO_BYTES = (
    "a process that only hands over names the files of a group by `url` or `id`: bytes and paths"
    " are read where the outbox is owned"
)


def check_files(envelopes: Iterable[Envelope]) -> None:
    """Raises `Invalid` for a file that another process cannot read."""
    for envelope in envelopes:
        for place, file in enumerate(getattr(envelope, "files", None) or ()):
            if file.url is None and file.id is None:
                raise Invalid([Problem(f"files.{place}", NO_BYTES)])
