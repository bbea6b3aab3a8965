"""The bytes of files as a process that delivers nothing hands them over: whole, and few at once."""

import trio
from handing_in_memory import Desk, SharedMemory

from gateway_core import File
from gateway_core.files.keeper import LARGE_AT_ONCE
from gateway_core.testing import open_test_gateway


class Crowded(SharedMemory):
    """Notes how many envelopes with files, and without, are on their way together at the most."""

    def __init__(self):
        super().__init__()
        self.most = {True: 0, False: 0}

    def handover(self):
        outbox, on_the_way = self, {True: 0, False: 0}

        class Noting(Desk):
            async def hand_over(self, envelope, *, awaited, files):
                kind = bool(files)
                assert [b"x" * int(envelope.text)] * kind == list(files.values())
                on_the_way[kind] += 1
                outbox.most[kind] = max(outbox.most[kind], on_the_way[kind])
                await trio.sleep(10)
                on_the_way[kind] -= 1
                return await super().hand_over(envelope, awaited=awaited, files=files)

        return Noting(self)


async def test_few_have_their_bytes_in_memory_at_once_and_texts_wait_for_none(autojump_clock):
    outbox = Crowded()
    async with (
        open_test_gateway(outbox=outbox, serve=False) as gateway,
        trio.open_nursery() as nursery,
    ):
        for size in range(1, 10):
            file = File(b"x" * size, name="x")
            nursery.start_soon(
                lambda s, f: gateway.enqueue("bot", s, s, files=[f]), f"{size}", file
            )
            nursery.start_soon(gateway.enqueue, "bot", f"{size}", f"{size}")
    assert {True: LARGE_AT_ONCE, False: 9} == outbox.most
