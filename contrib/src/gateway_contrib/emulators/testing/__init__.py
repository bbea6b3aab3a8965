"""Offers emulators to the tests of any bot: fixtures of pytest, and control over HTTP.

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

    For tests without pytest, such as unittest's; fixtures outside pytest-trio use it, too. Raises
    ImportError if the extra `emulators` is not installed.
    """
    try:
        # Its libraries are an extra: programs that do not test with an emulator need not have them.
        from gateway_contrib.emulators.testing.thread import open_thread  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ImportError(MISSING.format(name=error.name)) from None
    with open_thread(channel) as opened:
        yield opened
