"""Bad input on the three real channels: a typed error that names the field, and nothing else."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random

import pytest
import trio

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import (
    ConfigError,
    DeliveryError,
    Disposition,
    InstanceSuspended,
    Invalid,
    Reason,
    Send,
    UnknownInstance,
    open_gateway,
    parse_config,
)
from gateway_core.testing import open_network, virtual_wall

TOKENS = {
    "telegram": "1234567:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "slack": "xoxb-1234567890-test",
    "discord": "MTIzNDU2Nzg5MDEyMzQ1Njc4.test.token",
}
ROOMS = {"telegram": "4711", "slack": "C024BE91L", "discord": "100000000000000001"}
EMULATORS = {"telegram": TelegramEmulator, "slack": SlackEmulator, "discord": DiscordEmulator}
PATHS = {"telegram": "", "slack": "/api", "discord": "/api/v10"}
CHANNELS = sorted(ROOMS)


@asynccontextmanager
async def world(channel: str, **settings):
    """A gateway with a healthy instance and one whose server is dead."""
    emulator = EMULATORS[channel](tokens=[TOKENS[channel]])
    url = f"http://127.0.0.1:8081{PATHS[channel]}"
    table = {"channel": channel, "token": TOKENS[channel]}
    content = {
        "instances": {
            "good": {**table, "base_url": url},
            "wrong-token": {**table, "token": TOKENS[channel][:-4] + "BBBB", "base_url": url},
            "dead": {**table, "base_url": f"http://127.0.0.1:8082{PATHS[channel]}"},
        },
        **settings,
    }
    async with open_network() as network:
        network.mount("http://127.0.0.1:8081", emulator.app)
        config = parse_config(content)
        rng = Random("jitter")
        async with open_gateway(config, rng=rng, wall_clock=virtual_wall) as gateway:
            yield gateway, emulator


def message(channel: str, **changes) -> Send:
    fields = {"instance_id": "good", "external_room_id": ROOMS[channel], "text": "hello"}
    return Send(**(fields | changes))


async def undisturbed(gateway, emulator, channel: str) -> None:
    """The next good message arrives, and only that."""
    stored = emulator.counters["stored"]
    receipt = await gateway.send("good", ROOMS[channel], "still here", format="plain")
    assert receipt.delivered
    assert stored + 1 == emulator.counters["stored"]
    assert gateway.statistics().conserved


REFUSED = {
    "an empty text": ({"text": ""}, "text"),
    "white space alone": ({"text": " \n\t "}, "text"),
    "a lone surrogate": ({"text": "smile \ud83d"}, "text"),
    "NUL": ({"text": "a\x00b"}, "text"),
    "a room id of the wrong form": ({"external_room_id": "no room!"}, "external_room_id"),
    "an empty room": ({"external_room_id": ""}, "external_room_id"),
    "a surrogate in the platform's fields": ({"extra": {"x": "\udc00"}}, "extra.x"),
    "a text too long to split": ({"text": "word " * 60_000}, "text"),
}


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("mistake", REFUSED)
async def test_a_mistake_is_refused_by_its_field(channel, mistake, autojump_clock):
    changes, place = REFUSED[mistake]
    async with world(channel) as (gateway, emulator):
        with pytest.raises(Invalid) as refused:
            await gateway.submit(message(channel, **changes))
        assert place in {problem.place for problem in refused.value.problems}
        assert gateway.statistics().accepted == 0
        await undisturbed(gateway, emulator, channel)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_an_unknown_instance_is_named_beside_those_that_are_there(channel, autojump_clock):
    async with world(channel) as (gateway, emulator):
        with pytest.raises(UnknownInstance, match=r"instance_id: .*'bad'.*good"):
            await gateway.send("bad", ROOMS[channel], "hello")
        await undisturbed(gateway, emulator, channel)


def test_an_unknown_channel_is_named_with_its_place():
    with pytest.raises(ConfigError, match=r"instances\.fax\.channel: .*'fax'.*slack"):
        parse_config({"instances": {"fax": {"channel": "fax"}}})


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_wrong_token_suspends_its_instance_alone(channel, autojump_clock):
    """Whoever sends is told at once, what is queued waits; the token stands nowhere."""
    async with world(channel) as (gateway, emulator):
        queued = await gateway.enqueue("wrong-token", ROOMS[channel], "hello", ttl=5)
        for _ in range(2):  # as the first attempt is refused, and from then on
            with pytest.raises(InstanceSuspended, match=r"(?i)unauthorized|invalid_auth") as ended:
                await gateway.send("wrong-token", ROOMS[channel], "hello")
            assert trio.current_time() < 1
        receipt = await queued.receipt()
        assert Disposition.EXPIRED is receipt.disposition
        assert Reason.UNAUTHORIZED is receipt.verdict.reason
        assert "BBBB" not in repr(receipt) + str(ended.value)
        suspended = {i.id for i in gateway.statistics().instances if i.suspended}
        assert {"wrong-token"} == suspended
        await undisturbed(gateway, emulator, channel)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_dead_server_costs_its_own_envelopes_alone(channel, autojump_clock):
    async with world(channel) as (gateway, emulator):
        with pytest.raises(DeliveryError) as ended:
            await gateway.send("dead", ROOMS[channel], "hello", ttl=60)
        receipt = ended.value.receipt
        assert receipt.disposition in (Disposition.EXPIRED, Disposition.EXHAUSTED)
        assert Reason.UNREACHABLE is receipt.verdict.reason
        assert "no" == receipt.verdict.dispatched
        assert not receipt.possible_duplicate
        await undisturbed(gateway, emulator, channel)
