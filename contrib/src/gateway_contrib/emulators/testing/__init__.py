"""Emulators by themselves, for the tests of any bot: fixtures of pytest, and control over HTTP.

May import the other packages of `emulators`, and nothing of the gateway. Importing this package
imports neither trio nor pytest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_contrib.emulators.testing.emulated import Emulated

MISSING = "{name} is missing: install 'gateway-contrib[emulators]'"


@contextmanager
def emulated(channel: str) -> Iterator[Emulated]:
    """Serve "telegram", "slack" or "discord" on loopback, from a thread, until the block ends.

    For tests without pytest, such as unittest's; the fixtures are made of the same. Raises
    ImportError where the extra `emulators` is not installed.
    """
    try:
        # Its libraries are an extra, and who does not test with it must not pay for them.
        from gateway_contrib.emulators.testing.thread import open_thread  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ImportError(MISSING.format(name=error.name)) from None
    with open_thread(channel) as opened:
        yield opened
