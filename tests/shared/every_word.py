"""Makes every word of the schema's closed lists appear: causes, classes, operations, endings."""

import trio
from breaking import DeadMetrics

from gateway_contrib.otel.dropping import CountedMetrics
from gateway_core import Disposition, ErrorClass, Part, Reason, Scope, Send, Verdict
from gateway_core.authors import hookimpl
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, open_test_gateway, virtual_wall


def refusal(error_class, reason=Reason.BAD_REQUEST, **fields):
    return Failure(Verdict(error_class=error_class, reason=reason, **fields))


class Platform(FakeChannel):
    """A channel that refuses the first attempt in some rooms, and degrades texts in `lossy`."""

    def __init__(self):
        super().__init__(script=self.run, limits=self.limits_of)
        self.left = {
            "stricter": refusal(ErrorClass.NON_RETRYABLE, transform="stricter"),
            "reply": refusal(ErrorClass.NON_RETRYABLE, transform="without_reply"),
            "forbidden": refusal(ErrorClass.FATAL),
            "limited": refusal(
                ErrorClass.RETRYABLE, Reason.RATE_LIMITED, scope=Scope.ROOM, retry_after=2.0
            ),
        }

    async def run(self, attempt):
        await trio.sleep(0.5)
        if attempt.operation == "edit" and attempt.room == "same":
            raise refusal(ErrorClass.DONE, Reason.NOT_MODIFIED)
        if attempt.room in self.left:
            raise self.left.pop(attempt.room)

    @staticmethod
    def limits_of(room, _operation):
        return 5 if room == "wrong" else []

    @hookimpl
    def chunk(self, envelope):
        lost = ("a table",) if envelope.external_room_id == "lossy" else ()
        text = getattr(envelope, "text", "")
        return [Part(payload={"text": text}, span=(0, len(text)), degraded=lost)]


def message(room, **fields):
    return Send(instance_id="bot", external_room_id=room, text="hello", **fields)


async def changes(night, gateway):
    """Edits of sent and unsent messages, an overtaken edit, a deletion, and a call."""
    first = await night.told(gateway.send("bot", "same", "hello"))
    await night.told(gateway.edit(first.ref, "hello, all"))
    await night.told(gateway.delete(first.ref))
    await night.told(gateway.call("bot", "same", "react", {"with": "a thumb"}))
    later = await gateway.submit(message("later", order="none", not_before=virtual_wall() + 3))
    async with trio.open_nursery() as nursery:
        for text in ("one", "two"):
            nursery.start_soon(night.told, gateway.edit(later, text))
            await trio.sleep(0.1)


async def sends(night, gateway):
    """Messages with each kind of refusal and transform, and of each class."""
    async with trio.open_nursery() as nursery:
        for room in ("stricter", "forbidden", "limited", "lossy", "wrong"):
            nursery.start_soon(night.told, gateway.send("bot", room, "hello"))
        nursery.start_soon(night.told, gateway.send("bot", "reply", "hello", reply_to="1"))
        for priority in ("urgent", "bulk"):
            send = gateway.send("bot", "class", "hello", priority=priority)
            nursery.start_soon(night.told, send)
        nursery.start_soon(night.told, gateway.send("bot", "class", "late", ttl=0.6))


async def beyond_memory(night, settings):
    """Messages that wait in the outbox, since memory is full; a caller holds their tickets."""
    outbox = MemoryOutbox()
    small = {"partition_bound": 2, "instance_bound": 2, "outbox": outbox, "drain_timeout": 60}
    async with open_test_gateway(FakeChannel(latency=1.0), **settings, **small) as gateway:
        tickets = [await gateway.submit(message("r")) for _ in range(6)]
        for ticket in tickets:
            await ticket.receipt()
        night.read()


async def under_pressure(night, settings):
    """Fill ten slots one after the other, through each level of pressure."""
    small = {"partition_bound": 10, "instance_bound": 10, "drain_timeout": 60}
    async with open_test_gateway(FakeChannel(latency=1.0), **settings, **small) as gateway:
        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(night.told, gateway.send("bot", f"room {number}", "hello"))
                await trio.sleep(0.01)
        night.read()


async def every_word(night):
    """Run all scenarios, and read the telemetry when they are over."""
    settings = {"providers": night.providers, "partition_count": 1}
    async with (
        open_test_gateway(Platform(), attempts_per_instance=1, **settings) as gateway,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(changes, night, gateway)
        nursery.start_soon(sends, night, gateway)
        await trio.sleep(0.2)
        night.read()
        while gateway.statistics().unfinished:
            await trio.sleep(1)
            night.read()
        assert Disposition.SUPERSEDED in gateway.statistics().dispositions
    await under_pressure(night, settings)
    await beyond_memory(night, settings)
    CountedMetrics(DeadMetrics(), night.drops).export(None)
    night.read()
