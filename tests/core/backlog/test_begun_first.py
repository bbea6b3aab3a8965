"""What a former run began goes on before what it had not begun, wherever it stands."""

from __future__ import annotations

import trio

from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway


async def never(_):
    await trio.sleep_forever()


async def test_a_message_in_doubt_comes_first_though_its_position_is_the_last(autojump_clock):
    """So it stands in the outbox if it is a stream that had let others pass until then."""
    channel, outbox = FakeChannel(script=never), MemoryOutbox()
    with trio.move_on_after(5):
        async with open_test_gateway(channel, outbox=outbox) as gateway:
            first = await gateway.enqueue("bot", "room", "first")
            second = await gateway.enqueue("bot", "room", "second")
            await trio.sleep_forever()
    channel.script = None
    (after,) = [one.position for one in await outbox.page("bot") if one.entry.id == second.id]
    outbox.entered(first.id, after + 1)
    assert [second.id, first.id] == [one.entry.id for one in await outbox.page("bot")]
    async with open_test_gateway(channel, outbox=outbox):
        await trio.sleep(60)
    assert ["first", "second"] == channel.texts("room")
