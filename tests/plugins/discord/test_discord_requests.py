"""The nonce of a request."""

from __future__ import annotations

from gateway_plugin_discord.requests import nonce_of


def test_a_nonce_is_stable_fits_and_tells_keys_apart():
    assert "494205c11f8894b4243bd946" == nonce_of("key")
    assert 24 == len(nonce_of("key" * 100))
    assert nonce_of("key") != nonce_of("yek")
