"""Fetches files for a gateway by the HTTP of `gateway_core.http`, if that is installed.

HTTP is imported only if the settings allow a host: a gateway without HTTP channels needs none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gateway_core.config import FilesSettings
from gateway_core.contract.beside.origins import Origin
from gateway_core.files.fetching import Fetching


async def _fetch(
    url: str,
    origin: Origin,
    begun: Callable[[int | None, str], None],
    take: Callable[[bytes], Awaitable[Any]],
) -> None:
    from gateway_core.http.fetching.fetch import fetch  # noqa: PLC0415 - an extra brings it

    await fetch(url, origin, begun, take)


def fetching_of(settings: FilesSettings) -> Fetching | None:
    """Fetches from the hosts that the settings allow; None: none. Raises if HTTP is missing."""
    if not settings.fetch_from:
        return None
    import gateway_core.http  # noqa: F401, PLC0415 - says what is missing, and how it comes

    return Fetching(settings.fetch_from, _fetch)
