"""What the tests of the Slack channel share."""

import pytest

from gateway_core import Instance, Secret
from gateway_plugin_slack.settings import Settings

TOKEN = "xoxb-1111-2222-abcDEF"


@pytest.fixture
def settings():
    return Settings(token=Secret(TOKEN))


@pytest.fixture
def instance(settings):
    return Instance("support", "slack", settings)
