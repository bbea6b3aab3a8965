"""Limits of an instance and of single rooms, as a configuration file gives them."""

import tomllib

import pytest

from gateway_core import ConfigError, load_config, parse_config
from gateway_plugin_discord import hooks as discord
from gateway_plugin_slack import hooks as slack
from gateway_plugin_telegram import hooks as telegram

FILE = """
[instances.tg]
channel = "telegram"
token = "1234567:bench-token-bench-token-bench-token"
bot_count = 10
bulk_count = 5
[instances.tg.rooms."-7"]
chat_seconds = 3
group_count = 10

[instances.sl]
channel = "slack"
token = "xoxb-1"
post_seconds = 2
[instances.sl.rooms.C024BE91L]
post_count = 3

[instances.dc]
channel = "discord"
token = "a.b.c"
message_count = 4
[instances.dc.rooms.1100000000000000001]
message_per = 10
"""


def limits(hooks, instance, room, **more):
    asked = {"instance": instance, "room": room, "operation": "send", **more}
    found = hooks.rate_limit(**asked)
    return {limit.bucket: (limit.count, limit.per) for limit in found}


@pytest.fixture(name="configured")
def _configured(tmp_path):
    (tmp_path / "gateway.toml").write_text(FILE)
    config = load_config(tmp_path / "gateway.toml")
    return {instance.id: instance for instance in config.instances}


def test_telegram(configured):
    own = {"chat:-7": (1, 3.0), "group:-7": (10, 60.0), "bot": (10, 1.0)}
    assert own == limits(telegram, configured["tg"], "-7", priority="normal")
    bulk = limits(telegram, configured["tg"], "-7", priority="bulk")
    assert {**own, "bulk": (5, 1.0)} == bulk
    other = {"chat:-8": (1, 1.0), "group:-8": (20, 60.0), "bot": (10, 1.0)}
    assert other == limits(telegram, configured["tg"], "-8", priority="normal")


def test_slack(configured):
    assert {"chat.postMessage:C024BE91L": (3, 2.0)} == limits(slack, configured["sl"], "C024BE91L")
    assert {"chat.postMessage:C024BE91M": (1, 2.0)} == limits(slack, configured["sl"], "C024BE91M")


def test_discord(configured):
    room = "1100000000000000001"
    own = limits(discord, configured["dc"], room, thread=None)
    assert (4, 10.0) == own[f"POST /channels/{room}/messages"]
    assert (4, 10.0) == own[f"POST /channels/{room}/messages as configured"]
    other = limits(discord, configured["dc"], "5", thread=None)
    assert (4, 5.0) == other["POST /channels/5/messages"]


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ({"-7": {"chat_count": 0}}, "chat_count"),
        ({"-7": {"post_count": 1}}, "post_count"),
        ({"-7": 5}, "rooms"),
    ],
)
def test_a_mistake_is_named_by_its_place(table, place):
    content = tomllib.loads(FILE)
    content["instances"]["tg"]["rooms"] = table
    with pytest.raises(ConfigError) as caught:
        parse_config(content)
    [problem] = caught.value.problems
    assert "instances.tg.rooms" in problem.place
    assert place in problem.place
