"""A gateway to an emulated Slack that takes files."""

import pytest

from gateway_contrib.emulators.slack import SlackEmulator
from gateway_core import GatewayConfig, Instance, Secret, open_gateway
from gateway_core.testing import open_network
from gateway_plugin_slack.settings import Settings


@pytest.fixture
def slack():
    return SlackEmulator()


@pytest.fixture
async def gateway(slack, autojump_clock):
    instance = Instance("support", "slack", Settings(token=Secret("xoxb-1")))
    async with open_network() as network:
        network.mount("https://slack.com", slack.app)
        network.mount("https://files.slack.com", slack.app)
        async with open_gateway(GatewayConfig(instances=[instance])) as opened:
            yield opened
