"""An instance's settings."""

import pytest

from gateway_core import Secret
from gateway_core.authors import Traits
from gateway_plugin_slack import hooks
from gateway_plugin_slack.methods import REPEAT_SAFE_CALLS
from gateway_plugin_slack.settings import Settings

TOKEN = Secret("xoxb-1")


def test_a_token_is_enough():
    settings = Settings(token=TOKEN)
    assert ("https://slack.com/api", 4000) == (settings.base_url, settings.part_bytes)
    assert hooks.settings_type() is Settings
    assert 1 == hooks.GATEWAY_CONTRACT
    expected = Traits(
        repeat_safe_calls=REPEAT_SAFE_CALLS,
        mentions_by_id=True,
        sends_known_files=True,
        longest_part=4000,
    )
    assert expected == hooks.traits()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"base_url": "http://slack.com/api"}, "https"),
        ({"base_url": "https://user@slack.com/api"}, "user"),
        ({"token": Secret("xoxb-1\n")}, "token"),
        ({"token": Secret("xoxb 1")}, "token"),
        ({"client_secret": Secret("ключ")}, "client_secret"),
        ({"part_bytes": 4001}, "part_bytes"),
        ({"part_bytes": 1}, "part_bytes"),
        ({"post_count": 0}, "post_count"),
        ({"post_seconds": 0}, "post_seconds"),
        ({"posts_per_minute": -1}, "posts_per_minute"),
        ({"tier_3": 0}, "tier_3"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_a_wrong_setting_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Settings(**{"token": TOKEN, **wrong})


def test_no_secret_prints():
    secrets = {"refresh_token": Secret("xoxe-shown"), "client_secret": Secret("shown")}
    settings = Settings(token=Secret("xoxb-shown"), client_id="1.2", **secrets)
    assert "shown" not in repr(settings)
    assert "shown" not in repr(settings.tokens)


def test_a_token_is_renewable_with_all_that_it_takes():
    means = {
        "refresh_token": Secret("xoxe-1"),
        "client_id": "1.2",
        "client_secret": Secret("s"),
    }
    assert means["refresh_token"] == Settings(token=TOKEN, **means).tokens.refresh
    for missing in means:
        rest = {name: value for name, value in means.items() if name != missing}
        with pytest.raises(ValueError, match=f"must be given together with .*`{missing}` is miss"):
            Settings(token=TOKEN, **rest)


def test_settings_of_the_same_values_are_equal_whatever_slack_gave_since():
    one, other = Settings(token=TOKEN), Settings(token=TOKEN)
    other.tokens.access = Secret("xoxe.xoxb-1-new")
    assert one == other
    assert hash(one) == hash(other)
