"""`mentions` with ids: these are notified, and nobody else whom the text mentions."""

import attrs
import pytest

from gateway_core import (
    Edit,
    GatewayConfig,
    Instance,
    Invalid,
    KeyRef,
    Secret,
    Send,
    from_json,
    open_gateway,
    to_json,
)
from gateway_core.testing import FakeChannel, FakeSettings
from gateway_plugin_discord import hooks as discord
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack import hooks as slack
from gateway_plugin_slack.settings import Settings
from gateway_plugin_telegram import TelegramSettings
from gateway_plugin_telegram import hooks as telegram

SLACK = Instance("bot", "slack", Settings(token=Secret("xoxb-1-2-a")))
DISCORD = Instance("bot", "discord", DiscordSettings(token=Secret("a.b.c")))
TELEGRAM = Instance(
    "bot",
    "telegram",
    TelegramSettings(token=Secret(f"123456789:{'A' * 35}")),
)


def sent(text, mentions, **fields):
    return Send(
        instance_id="bot", external_room_id="C024BE91L", text=text, mentions=mentions, **fields
    )


def payload(hooks, instance, envelope, mode="as_asked"):
    [part] = hooks.chunk(instance=instance, envelope=envelope, mode=mode)
    return part.payload


@pytest.mark.parametrize("written", ["markdown", "plain"])
def test_slack_calls_just_these(written):
    text = "hi <@U1AA>, <@U2BB> and <!here>, <!subteam^S1AA>"
    shown = payload(slack, SLACK, sent(text, ["U1AA", "S1AA"], format=written))
    assert "hi <@U1AA>, &lt;@U2BB&gt; and &lt;!here&gt;, <!subteam^S1AA>" == shown["text"]
    [section] = shown["blocks"][0]["elements"]
    called = [each for each in section["elements"] if each["type"] != "text"]
    assert [
        {"type": "user", "user_id": "U1AA"},
        {"type": "usergroup", "usergroup_id": "S1AA"},
    ] == called


def test_slacks_own_markup_calls_just_these():
    shown = payload(slack, SLACK, sent("<@U1AA|ada> <@U2BB> <!here>", ("U1AA",), format="native"))
    assert "<@U1AA|ada> &lt;@U2BB&gt; &lt;!here&gt;" == shown["text"]


@pytest.mark.parametrize("written", ["markdown", "plain", "native"])
def test_discord_is_told_whom_to_call(written):
    shown = payload(
        discord, DISCORD, sent("hi <@11> <@22> @everyone", ["11", "&33"], format=written)
    )
    assert {"parse": [], "users": ["11"], "roles": ["33"]} == shown["allowed_mentions"]
    assert "<@11>" in shown["content"]


def test_telegram_calls_just_these():
    text = '<a href="tg://user?id=11">ada</a> <a href="tg://user?id=22">bob</a>'
    shown = payload(telegram, TELEGRAM, sent(text, ["11"], format="native"))
    called = [entity["user"]["id"] for entity in shown["entities"]]
    assert [11] == called


@pytest.mark.parametrize(
    ("hooks", "instance"), [(slack, SLACK), (discord, DISCORD), (telegram, TELEGRAM)]
)
@pytest.mark.parametrize("written", ["markdown", "plain"])
def test_an_empty_list_calls_nobody(hooks, instance, written):
    text = "hi <@U1AA> <@11> @everyone <!here>"
    nobody = payload(hooks, instance, sent(text, False, format=written))
    assert nobody == payload(hooks, instance, sent(text, [], format=written))


def test_what_is_no_id_of_discords_is_refused():
    envelope = attrs.evolve(sent("hi", ["ada"]), external_room_id="11")
    problems = discord.validate(instance=DISCORD, envelope=envelope)
    assert ["mentions.0"] == [problem.place for problem in problems]


def test_they_are_stored_and_read_back():
    for envelope in (
        sent("hi", ("U1",)),
        sent("hi", True),
        Edit(
            instance_id="bot",
            external_room_id="r",
            target=KeyRef(instance_id="bot", external_room_id="r", key="k"),
            text="x",
            mentions=("U1", "U2"),
        ),
    ):
        assert envelope == from_json(type(envelope), to_json(envelope))
    with pytest.raises(Invalid, match="mentions"):
        from_json(Send, {**to_json(sent("hi", True)), "mentions": "all"})


@pytest.mark.parametrize("odd", ["U1", 1, None, [1], [""], ["x"] * 101])
async def test_what_names_nobody_is_refused(odd, autojump_clock):
    config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())])
    async with open_gateway(config, plugins=[("fake", FakeChannel())]) as gateway:
        with pytest.raises(Invalid, match="mentions"):
            await gateway.send("bot", "room", "hi", mentions=odd)


async def test_a_channel_that_cannot_is_never_asked_to(autojump_clock):
    """An adapter that knows true and false alone would notify everybody."""
    config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())])
    async with open_gateway(config, plugins=[("fake", FakeChannel())]) as gateway:
        with pytest.raises(Invalid, match="must be true or false"):
            await gateway.send("bot", "room", "hi", mentions=["U1"])
        assert (await gateway.send("bot", "room", "hi", mentions=True)).delivered
