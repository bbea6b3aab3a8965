"""An account that is nothing but an incoming webhook's URL."""

import pytest

from gateway_core import (
    DeliveryError,
    GatewayConfig,
    Instance,
    InstanceSuspended,
    Invalid,
    Secret,
    UnknownEvent,
    open_gateway,
)
from gateway_core.testing import virtual_wall
from gateway_plugin_discord.settings import DiscordSettings

URL = "https://discord.com/api/webhooks/77/s3cr-et_token"
WEBHOOK = "/webhooks/77/s3cr-et_token"
MESSAGE = "1200000000000000001"


@pytest.fixture
def instance():
    return Instance("alerts", "discord", DiscordSettings(webhook_url=Secret(URL)))


@pytest.fixture
def opened(instance):
    return lambda: open_gateway(GatewayConfig(instances=[instance]), wall_clock=virtual_wall)


async def test_it_writes_edits_and_deletes(discord, opened, autojump_clock):
    async with opened() as gateway:
        receipt = await gateway.send("alerts", "webhook", "one", thread="5")
        await gateway.edit(receipt.ref, "two")
        await gateway.delete(receipt.ref)
    asked = [(each.verb, each.path, each.query) for each in discord.requests]
    message = f"{WEBHOOK}/messages/{MESSAGE}"
    assert [
        ("POST", WEBHOOK, "thread_id=5&wait=true"),
        ("PATCH", message, "thread_id=5"),
        ("DELETE", message, "thread_id=5"),
    ] == asked
    assert {"content": "one", "allowed_mentions": {"parse": []}, "flags": 4} == discord.requests[
        0
    ].body
    assert not any("authorization" in each.headers for each in discord.requests)


SENDER = {"username": "Deploys", "avatar_url": "https://example.org/a.png"}


async def test_every_part_of_a_message_names_its_sender(discord, opened, autojump_clock):
    """An edit does not, since no edit can change it, and leaves equal parts alone."""
    text = "word " * 500
    async with opened() as gateway:
        receipt = await gateway.send("alerts", "webhook", text, extra=SENDER)
        await gateway.edit(receipt.ref, f"{text}more")
    *sent, edited = [(each.verb, each.body) for each in discord.requests]
    assert [("POST", SENDER)] * 2 == [
        (verb, {name: body.get(name) for name in SENDER}) for verb, body in sent
    ]
    assert ("PATCH", set()) == (edited[0], SENDER.keys() & edited[1].keys())


@pytest.mark.parametrize(
    ("name", "value"), [("username", "x" * 81), ("username", 7), ("avatar_url", 7)]
)
async def test_a_sender_that_discord_refuses_is_not_accepted(opened, name, value, autojump_clock):
    async with opened() as gateway:
        with pytest.raises(Invalid, match=f"extra.{name}: must"):
            await gateway.send("alerts", "webhook", "one", extra={name: value})


async def test_a_bot_names_no_sender(discord, autojump_clock):
    bot = Instance("bot", "discord", DiscordSettings(token=Secret("a.b.c")))
    async with open_gateway(GatewayConfig(instances=[bot]), wall_clock=virtual_wall) as gateway:
        with pytest.raises(Invalid, match=r"extra.username: is not a field of a message"):
            await gateway.send("bot", "1100000000000000001", "one", extra={"username": "Deploys"})


async def test_what_may_have_arrived_is_never_taken_for_deduplicated(
    discord, opened, autojump_clock
):
    """A webhook takes no nonce."""
    discord.will_say(b"", status=500)
    async with opened() as gateway:
        receipt = await gateway.send("alerts", "webhook", "one")
    assert receipt.possible_duplicate


async def test_an_event_beside_it_is_the_bots(discord, instance, autojump_clock):
    """The webhook answers nothing, so the event came to the one account that can."""
    event = {"t": "MESSAGE_CREATE", "d": {"id": "5", "channel_id": "7", "content": "hi"}}
    bot = Instance("bot", "discord", DiscordSettings(token=Secret("a.b.c")))
    config = GatewayConfig(instances=[instance, bot])
    async with open_gateway(config, wall_clock=virtual_wall) as gateway:
        assert "bot" == (await gateway.reply(event, "hello")).instance_id
        assert gateway.address("alerts", event) is None
        with pytest.raises(UnknownEvent):
            await gateway.reply(event, "hello", instance="alerts")


async def test_it_is_probed_by_its_own_route(discord, opened, autojump_clock):
    discord.will_say({"id": "77", "name": "alerts"})
    async with opened() as gateway:
        identity = await gateway.probe("alerts")
    assert ("77", "alerts") == (identity.id, identity.name)
    assert [WEBHOOK] == [each.path for each in discord.requests]


async def test_a_webhook_that_is_gone_suspends_the_account(discord, opened, autojump_clock):
    for _ in range(9):
        discord.will_say({"code": 10015, "message": "Unknown Webhook"}, status=404)
    async with opened() as gateway:
        with pytest.raises((InstanceSuspended, DeliveryError)):
            await gateway.send("alerts", "webhook", "one", ttl=5)
        assert gateway.statistics().instances[0].suspended


@pytest.mark.parametrize(
    ("room", "fields", "place"),
    [("1100000000000000001", {}, "external_room_id"), ("webhook", {"reply_to": "5"}, "reply_to")],
)
async def test_what_it_cannot_do_is_refused(opened, room, fields, place, autojump_clock):
    async with opened() as gateway:
        with pytest.raises(Invalid, match=place):
            await gateway.send("alerts", room, "one", **fields)
        with pytest.raises(Invalid, match="method"):
            await gateway.call("alerts", "webhook", "GET /users/@me")


async def test_no_log_shows_its_token(discord, opened, autojump_clock, capsys):
    discord.will_say({"code": 50035, "message": f"bad {URL}"}, status=400)
    async with opened() as gateway:
        with pytest.raises(DeliveryError) as raised:
            await gateway.send("alerts", "webhook", "one")
    assert "s3cr-et" not in f"{capsys.readouterr()}{raised.value!r}"


def test_an_account_is_a_bot_or_a_webhook():
    with pytest.raises(ValueError, match="must be given if `webhook_url` is not"):
        DiscordSettings()
    with pytest.raises(ValueError, match="must not be given together"):
        DiscordSettings(token=Secret("a.b.c"), webhook_url=Secret(URL))
    with pytest.raises(ValueError, match="must be a webhook's URL"):
        DiscordSettings(webhook_url=Secret("https://example.org/x"))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/api/webhooks/77/s3cr-et",
        "https://discord.com.example.org/api/webhooks/77/s3cr-et",
        "https://[::1/api/webhooks/77/s3cr-et",
        "https://discord.com@example.org/api/webhooks/77/s3cr-et",
    ],
)
def test_its_url_leads_to_discord(url):
    """The token goes to `base_url`, so that another host's token would be given away."""
    with pytest.raises(ValueError, match=r"at discord.com or at the host of `base_url`") as raised:
        DiscordSettings(webhook_url=Secret(url))
    assert "s3cr-et" not in str(raised.value)


@pytest.mark.parametrize("host", ["discordapp.com", "ptb.discord.com", "canary.discordapp.com"])
def test_its_url_may_name_any_host_of_discord(host):
    url = f"https://{host}/api/webhooks/77/s3cr-et"
    assert "77" == DiscordSettings(webhook_url=Secret(url)).webhook["webhook"]


def test_its_url_may_be_at_the_base_url():
    url, base = "http://127.0.0.1:8080/api/webhooks/77/s3cr-et", "http://127.0.0.1:8080/api/v10"
    assert "77" == DiscordSettings(webhook_url=Secret(url), base_url=base).webhook["webhook"]
