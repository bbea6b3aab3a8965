"""An account that is nothing but an incoming webhook's URL."""

import pytest

from gateway_core import (
    DeliveryError,
    GatewayConfig,
    Instance,
    InstanceSuspended,
    Invalid,
    Reason,
    Secret,
    UnknownEvent,
    open_gateway,
)
from gateway_core.testing import virtual_wall
from gateway_plugin_slack.settings import Settings

URL = "https://hooks.slack.com/services/T1/B1/s3cret"


@pytest.fixture
def settings():
    return Settings(webhook_url=Secret(URL))


@pytest.fixture
def opened(slack, settings):
    slack.network.mount("https://hooks.slack.com", slack)
    config = GatewayConfig(instances=[Instance("alerts", "slack", settings)])
    return lambda: open_gateway(config, wall_clock=virtual_wall)


async def test_it_sends(slack, opened, autojump_clock):
    slack.will_say(b"ok")
    async with opened() as gateway:
        receipt = await gateway.send("alerts", "webhook", "a < b", thread="1700000000.000100")
    [sent] = slack.requests
    assert ("/services/T1/B1/s3cret", "a &lt; b") == (sent.method, sent.fields["text"])
    assert "1700000000.000100" == sent.fields["thread_ts"]
    assert (True, ()) == (receipt.delivered, receipt.ref.parts)


async def test_it_keeps_to_one_a_second(slack, opened, autojump_clock):
    async with opened() as gateway:
        tickets = [await gateway.enqueue("alerts", "webhook", str(n)) for n in range(3)]
        ended = [(await ticket.receipt()).ended_at for ticket in tickets]
    assert pytest.approx([0, 1, 2], abs=0.01) == [at - ended[0] for at in ended]


async def test_a_limit_that_was_met_is_waited_for(slack, opened, autojump_clock):
    slack.will_say(b"rate_limited", status=429, headers={"Retry-After": "7"})
    async with opened() as gateway:
        receipt = await gateway.send("alerts", "webhook", "one")
    assert pytest.approx(7, abs=0.01) == receipt.ended_at - receipt.accepted_at


async def test_a_webhook_that_is_gone_suspends_the_account(slack, opened, autojump_clock):
    slack.will_say(b"no_service", status=404)
    async with opened() as gateway:
        with pytest.raises((InstanceSuspended, DeliveryError)):
            await gateway.send("alerts", "webhook", "one", ttl=5)


async def test_a_closed_channel_ends_the_message(slack, opened, autojump_clock):
    slack.will_say(b"channel_is_archived", status=410)
    async with opened() as gateway:
        receipt = await gateway.send("alerts", "webhook", "one", raises=False)
    assert ("channel_is_archived", Reason.ROOM_GONE) == (
        receipt.verdict.raw,
        receipt.verdict.reason,
    )


async def test_what_it_cannot_do_is_refused(slack, opened, autojump_clock):
    async with opened() as gateway:
        receipt = await gateway.send("alerts", "webhook", "one")
        with pytest.raises(Invalid, match="can only send"):
            await gateway.edit(receipt.ref, "two")
        with pytest.raises(Invalid, match="can only send"):
            await gateway.call("alerts", "webhook", "reactions.add")
        with pytest.raises(Invalid, match="external_room_id"):
            await gateway.send("alerts", "C024BE91L", "one")


async def test_an_event_beside_it_is_the_bots(slack, settings, autojump_clock):
    """The webhook answers nothing, so the event came to the one account that can."""
    event = {"type": "message", "channel": "C024BE91L", "ts": "1700000000.000100", "user": "U1"}
    bot = Instance("bot", "slack", Settings(token=Secret("xoxb-1-2-a")))
    config = GatewayConfig(instances=[Instance("alerts", "slack", settings), bot])
    async with open_gateway(config, wall_clock=virtual_wall) as gateway:
        assert "bot" == (await gateway.reply(event, "hello")).instance_id
        assert gateway.address("alerts", event) is None
        with pytest.raises(UnknownEvent):
            await gateway.reply(event, "hello", instance="alerts")


async def test_nobody_can_be_asked_who_it_is(slack, opened, autojump_clock):
    async with opened() as gateway:
        assert await gateway.probe("alerts") is None
    assert [] == slack.requests


def test_its_url_leads_to_slack():
    with pytest.raises(ValueError, match=r"begin with https://hooks.slack.com/"):
        Settings(webhook_url=Secret("https://example.org/services/1"))
    with pytest.raises(ValueError, match="must be given if `webhook_url` is not"):
        Settings()
    with pytest.raises(ValueError, match="must not be given together"):
        Settings(token=Secret("xoxb-1-2-a"), webhook_url=Secret(URL))
    assert "s3cret" not in repr(Settings(webhook_url=Secret(URL)))
