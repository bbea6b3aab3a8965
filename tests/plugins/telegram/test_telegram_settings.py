"""A bot's settings and traits."""

from __future__ import annotations

import pytest

from gateway_core import Secret
from gateway_core.authors import Traits
from gateway_plugin_telegram import TelegramSettings, hooks
from gateway_plugin_telegram.methods import REPEAT_SAFE_CALLS

TOKEN = "123456789:AAbbCCddEEffGGhh-iiJJkkLLmm_nnOOpp"


def settings(**fields) -> TelegramSettings:
    return TelegramSettings(token=Secret(TOKEN), **fields)


@pytest.mark.parametrize(
    "wrong", ["letmein", "98765", "abc:def", "1:a/b", "1:a?b", "1:a b", "1:", ":a", "1:a\n", "1:é"]
)
def test_a_token_of_another_form_is_refused_unseen(wrong):
    """Anything else would end up in the request's path."""
    with pytest.raises(ValueError, match="'token' must be a bot's token") as caught:
        TelegramSettings(token=Secret(wrong))
    assert wrong not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "http://api.telegram.org"},
        {"base_url": "https://api.telegram.org/?x=1"},
        {"text_limit": 4097},
        {"text_limit": 1},
        {"caption_limit": 1025},
        {"caption_limit": 0},
        {"upload_bytes": (2_000 << 20) + 1},
        {"photo_bytes": 0},
        {"chat_count": 0},
        {"bot_seconds": 0.0},
        {"read_timeout": 29.9},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r".") as caught:
        settings(**wrong)
    assert TOKEN not in str(caught.value)


def test_settings_never_print_the_token():
    assert TOKEN not in repr(settings(base_url="http://127.0.0.1:8081"))
    assert hooks.settings_type() is TelegramSettings


def test_traits_promise_no_deduplication():
    expected = Traits(
        independent_threads=True,
        repeat_safe_calls=REPEAT_SAFE_CALLS,
        mentions_by_id=True,
        polls=True,
        longest_part=4096,
    )
    assert expected == hooks.traits()
