"""Gives pytest the fixtures `emulated_telegram`, `emulated_slack` and `emulated_discord`.

Every run of pytest loads this plugin if the distribution is installed, so it imports pytest alone.
Trio and the emulators are imported when the first test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from gateway_contrib.emulators.testing import MISSING, emulated

if TYPE_CHECKING:
    from gateway_contrib.emulators.testing.emulated import Emulated


@pytest.fixture
def emulated_telegram(request: pytest.FixtureRequest) -> Emulated:
    """Telegram's Bot API on loopback and in memory, for this test."""
    return _emulated(request, "telegram")


@pytest.fixture
def emulated_slack(request: pytest.FixtureRequest) -> Emulated:
    """Slack's Web API on loopback and in memory, for this test."""
    return _emulated(request, "slack")


@pytest.fixture
def emulated_discord(request: pytest.FixtureRequest) -> Emulated:
    """Discord's HTTP API and gateway on loopback and in memory, for this test."""
    return _emulated(request, "discord")


def _emulated(request: pytest.FixtureRequest, channel: str) -> Emulated:
    """The fixture that fits the test: in the test's loop under pytest-trio, else in a thread."""
    kind = "in_trio" if _is_pytest_trio_s(request) else "in_thread"
    found: Emulated = request.getfixturevalue(f"_emulated_{channel}_{kind}")
    return found


def _is_pytest_trio_s(request: pytest.FixtureRequest) -> bool:
    marker = request.node.get_closest_marker
    return marker("trio") is not None and marker("asyncio") is None and marker("anyio") is None


def _in_thread(channel: str) -> Callable[[], Iterator[Emulated]]:
    def fixture() -> Iterator[Emulated]:
        with ExitStack() as stack:
            try:
                opened = stack.enter_context(emulated(channel))
            except ImportError as error:
                pytest.fail(str(error), pytrace=False)
            yield opened

    return fixture


def _in_trio(channel: str) -> Callable[[], AsyncIterator[Emulated]]:
    async def fixture() -> AsyncIterator[Emulated]:
        try:
            from gateway_contrib.emulators.testing.in_trio import (  # noqa: PLC0415 - see above
                open_in_trio,
            )
        except ModuleNotFoundError as error:
            pytest.fail(MISSING.format(name=error.name), pytrace=False)
        async with open_in_trio(channel) as opened:
            yield opened

    marked: Any = fixture
    marked._force_trio_fixture = True  # noqa: SLF001 - as `pytest_trio.trio_fixture` does
    return fixture


_emulated_telegram_in_thread = pytest.fixture(_in_thread("telegram"))
_emulated_slack_in_thread = pytest.fixture(_in_thread("slack"))
_emulated_discord_in_thread = pytest.fixture(_in_thread("discord"))
_emulated_telegram_in_trio = pytest.fixture(_in_trio("telegram"))
_emulated_slack_in_trio = pytest.fixture(_in_trio("slack"))
_emulated_discord_in_trio = pytest.fixture(_in_trio("discord"))
