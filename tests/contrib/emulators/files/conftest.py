"""A client that sends forms and raw bodies to an emulator in memory."""

from contextlib import AsyncExitStack

import httpx2
import pytest

from gateway_core.http import transport_factory
from gateway_core.testing import open_network


@pytest.fixture
async def reached():
    """Opens a client of an application: `await reached(emulator.app, "https://…")`."""
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(open_network())

        async def reach(app, url, *others, headers=None):
            for origin in (url, *others):
                network.mount(origin, app)
            client = httpx2.AsyncClient(
                transport=transport_factory.get()(), base_url=url, headers=headers, timeout=30
            )
            return await stack.enter_async_context(client)

        yield reach
