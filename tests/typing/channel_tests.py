"""The tests of a channel as docs/how-to/write-a-channel.md shows them: mypy checks this file."""

from gateway_core.testing import ChannelContract
from gateway_plugin_slack import hooks


class TestSlack(ChannelContract):
    channel = "slack"
    adapter = hooks
    room = "C024BE91L"
