"""A workspace for the tests of what surrounds the emulated Slack's messages."""

import attrs
import pytest
import trio

from gateway_contrib.emulators.slack import SlackEmulator, SlackLimits
from gateway_core.http import open_client
from gateway_core.testing import open_network

SLACK = "http://127.0.0.1:8082"
TOKEN = "xoxb-1111-2222-abc"


@attrs.define
class Workspace:
    """An emulator with a client that asks it."""

    emulator: SlackEmulator
    http: object

    async def ask(self, method, *, token=TOKEN, **fields):
        """The body of the answer to a JSON request."""
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self.http.request("POST", f"/api/{method}", headers=headers, json=fields)
        return answer.json()

    async def hook(self, url, **body):
        """Status and text of what a URL answers to JSON, or to what `body` says else."""
        fields = body if {"json", "form"} & body.keys() else {"json": body}
        answer = await self.http.request("POST", url.removeprefix(SLACK), **fields)
        return answer.status, answer.body.decode()

    def seen(self, room=None):
        """What is seen besides messages, as (what, text, user)."""
        return [(s.what, s.text, s.user) for s in self.emulator.screen.now(room)]

    def texts(self, room):
        return [message.text for message in self.emulator.rooms.conversation(room)]


@pytest.fixture
async def workspace():
    """Opens a workspace: `await workspace(limits=…)`."""
    async with open_network() as network, trio.open_nursery() as nursery:

        async def make(**fields):
            emulator = SlackEmulator(**fields)
            emulator.hooks_url = SLACK
            network.mount(SLACK, emulator.app)
            return Workspace(emulator, await nursery.start(held, open_client(base_url=SLACK)))

        yield make
        nursery.cancel_scope.cancel()


@pytest.fixture
def unlimited():
    return SlackLimits(posts=(10_000, 1.0), webhooks=(10_000, 1.0), tiers={})


async def held(client, *, task_status):
    async with client as http:
        task_status.started(http)
        await trio.sleep_forever()
