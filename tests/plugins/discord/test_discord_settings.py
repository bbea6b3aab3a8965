"""A bot's settings and traits."""

from __future__ import annotations

import warnings

import pytest

from gateway_core import Secret
from gateway_core.authors import Traits
from gateway_plugin_discord import hooks
from gateway_plugin_discord.methods import REPEAT_SAFE_CALLS, route_of
from gateway_plugin_discord.settings import DiscordSettings

with warnings.catch_warnings():
    # discord.py's voice part imports a deprecated module of the standard library.
    warnings.simplefilter("ignore", DeprecationWarning)
    discord = pytest.importorskip("discord", reason="discord.py is not installed")
    commands = pytest.importorskip("discord.ext.commands", reason="discord.py is not installed")


def test_the_defaults():
    settings = hooks.settings_type()(token=Secret("abc"))
    assert "https://discord.com/api/v10" == settings.base_url
    assert (2000, 5, 5.0, 48, 50, 10_000) == (
        settings.max_length,
        settings.message_count,
        settings.message_per,
        settings.global_count,
        settings.global_window,
        settings.invalid_answers,
    )
    assert "abc" not in repr(settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": Secret("two words")},
        {"token": Secret("café")},
        {"base_url": "http://discord.com/api/v10"},
        {"base_url": "https://discord.com/api/v10?x=1"},
        {"user_agent_url": "no url"},
        {"max_length": 0},
        {"message_count": 0},
        {"message_per": 0.0},
        {"global_count": 0},
        {"invalid_answers": 1},
        {"total_timeout": -1.0},
    ],
)
def test_settings_refuse(wrong):
    with pytest.raises(ValueError, match=r".+"):
        DiscordSettings(**{"token": Secret("abc"), **wrong})


def test_a_token_must_be_a_secret():
    with pytest.raises(ValueError, match="'token' must be a Secret, not str"):
        DiscordSettings(token="abc")


def test_http_to_loopback_is_taken():
    settings = DiscordSettings(token=Secret("abc"), base_url="http://127.0.0.1:8080/api/v10/")
    assert "http://127.0.0.1:8080/api/v10/" == settings.base_url


def test_traits():
    expected = Traits(
        independent_threads=True,
        deduplicates_for=120.0,
        repeat_safe_calls=REPEAT_SAFE_CALLS,
        names_limits=True,
        mentions_by_id=True,
        polls=True,
        longest_part=2000,
    )
    assert expected == hooks.traits()
    assert all(route_of(f"call:{method}") for method in REPEAT_SAFE_CALLS)
