"""Which limits Discord's operations draw on."""

from __future__ import annotations

import pytest

from gateway_core import Limit
from gateway_plugin_discord import hooks

ROOM = "1100000000000000001"
TYPING = "POST /channels/{channel}/typing"
CALLBACK = "POST /interactions/{interaction}/{token}/callback"
GLOBAL = [Limit("global", 48, 1.0, "even", most=50)]
MESSAGE = f"/channels/{ROOM}/messages"


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("send", [Limit(f"POST {MESSAGE}", 5, 5.0, "learned", of="room"), *GLOBAL]),
        ("edit", [Limit(f"PATCH {MESSAGE}/{{message}}", 5, 5.0, "learned", of="room"), *GLOBAL]),
        ("delete", [Limit(f"DELETE {MESSAGE}/{{message}}", 5, 5.0, "learned", of="room"), *GLOBAL]),
        (
            "call:PUT /channels/{channel}/messages/pins/{message}",
            [Limit(f"PUT {MESSAGE}/pins/{{message}}", 5, 5.0, "learned", of="room"), *GLOBAL],
        ),
        ("call:GET /users/@me", GLOBAL),
        (f"call:{TYPING}", []),
        (f"call:{CALLBACK}", []),
        ("call:nonsense", []),
    ],
)
def test_rate_limit(operation, expected, instance):
    asked = {"instance": instance, "room": ROOM, "thread": None, "operation": operation}
    assert expected == hooks.rate_limit(**asked)


def test_a_thread_has_the_bucket_of_a_channel(instance):
    asked = {"instance": instance, "room": ROOM, "thread": "77", "operation": "send"}
    assert hooks.rate_limit(**asked)[0].bucket == "POST /channels/77/messages"
