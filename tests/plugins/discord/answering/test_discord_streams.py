"""Streams that answer commands on Discord: the edits of one token have a limit of their own."""

from itertools import pairwise

import pytest
import trio

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_core import open_gateway, parse_config
from gateway_core.testing import open_network, virtual_wall

CONFIG = parse_config({"instances": {"bot": {"channel": "discord", "token": "a.b.c"}}})
ROOM, USER = "1100000000000000001", "1200000000000000007"


async def model(seconds):
    for n in range(round(seconds / 0.1)):
        await trio.sleep(0.1)
        yield f"{n} "


@pytest.mark.parametrize("ephemeral", [False, True])
async def test_the_whole_answer_to_a_command_waits_for_no_passing_state(ephemeral, autojump_clock):
    """Whenever the model ends, and however many commands are answered meanwhile."""
    late, seen = [], []
    discord = DiscordEmulator(tokens={"a.b.c"})
    async with open_network() as network, trio.open_nursery() as nursery:
        network.mount("https://discord.com", discord.app)
        async with open_gateway(CONFIG, wall_clock=virtual_wall) as gateway:

            async def answers(seconds):
                asked = discord.people.command(ROOM, "ask", {}, user=USER)
                await gateway.stream(asked.event, model(seconds), ephemeral=ephemeral)
                late.append(trio.current_time() - began - seconds)
                times = [sight.at for sight in asked.seen()[1:-1]]
                seen.append(max(b - a for a, b in pairwise(times)))

            began = trio.current_time()
            async with trio.open_nursery() as answering:
                for n in range(12):
                    answering.start_soon(answers, 15 + 0.4 * n)
        nursery.cancel_scope.cancel()
    assert max(late) < 1
    assert max(seen) < 2  # not five at once and then none
    assert {} == discord.limited
