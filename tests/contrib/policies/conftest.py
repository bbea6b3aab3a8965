"""Envelopes to ask policies about, and gateways that have them."""

from __future__ import annotations

from functools import partial

import pytest

from gateway_core import Call, Edit, MessageRef, Send
from gateway_core.testing import open_test_gateway

PLACE = {"instance_id": "bot", "external_room_id": "r"}


@pytest.fixture
def sent():
    return partial(Send, **PLACE)


@pytest.fixture
def edited():
    return partial(Edit, **PLACE, target=MessageRef(**PLACE, envelope_id="e"))


@pytest.fixture
def called():
    return partial(Call, **PLACE, method="pin")


@pytest.fixture
def opened():
    """A gateway with these policies."""

    def open_one(channel, *policies, **settings):
        return open_test_gateway(channel, plugins=policies, **settings)

    return open_one
