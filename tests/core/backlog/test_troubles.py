"""What the log hears of an outbox that cannot be read, however often it is asked."""

import structlog
import trio

from gateway_core import OutboxError, Send
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway


class Unreadable(MemoryOutbox):
    """Cannot be read, once it is to be."""

    broken = False

    async def page(self, *args, **kwargs):
        if self.broken:
            raise OutboxError("the disk is full")
        return await super().page(*args, **kwargs)


async def test_a_night_of_failures_is_a_few_lines(autojump_clock):
    outbox, channel = Unreadable(), FakeChannel()
    async with open_test_gateway(channel, outbox=outbox, instances=["bot"]) as gateway:
        gateway.suspend("bot")
        await gateway.submit(Send(instance_id="bot", external_room_id="room", text="left", ttl=1e6))
    outbox.broken = True
    with structlog.testing.capture_logs() as logs:
        async with open_test_gateway(channel, outbox=outbox, instances=["bot"]):
            await trio.sleep(8 * 3600)
            outbox.broken = False
            await trio.sleep(10)
            assert ["left"] == channel.texts("room")
    failed = [log for log in logs if log["event"] == "gateway.outbox_failed"]
    assert [1, 10, 100, 1000, 10000] == [log["times"] for log in failed]
    assert {"the disk is full"} == {log["error"] for log in failed}
