"""What `make crash-test` says of an application that follows what ended, with mistakes or none."""

import re

import attrs
import pytest
import trio

from bench.following import Application, Lives, followed
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway

LIVES = 6


async def lived(folder, make):
    """So many lives, each but the last ended in the middle; what came of it."""
    outbox, lives = MemoryOutbox(), Lives(folder)
    for life in range(LIVES):
        application = make(folder)
        async with (
            trio.open_nursery() as nursery,
            open_test_gateway(FakeChannel(), outbox=outbox) as gateway,
        ):
            nursery.start_soon(application.follow, gateway)
            for n in range(7):
                assert (await gateway.send("bot", f"room{n}", f"{life}")).delivered
            await trio.sleep(5)
            if life < LIVES - 1:
                nursery.cancel_scope.cancel()
        application.close()
        lives.ended()
    ended = (await outbox.endings(after=0)).ended
    return followed(lives.all, lives.rows(), [(n, receipt.envelope_id) for n, receipt in ended])


async def test_whoever_stores_a_cursor_beside_its_rows_misses_nothing(tmp_path, autojump_clock):
    """Seven end in a life, four at a time are written: 3, 2, 1, 0 and 3 of the lives come again."""
    outcome = await lived(tmp_path, Application)
    assert outcome.holds
    assert "42 endings told, 9 repeated, 0 missing" == str(outcome)


class Skips(Application):
    def told(self, ended):
        if not ended.cursor.endswith(".12"):
            super().told(ended)


class BeginsAnew(Application):
    def cursor(self):
        return None


class StoresNoCursor(Application):
    def store(self):
        self._batch.clear()


class WritesRowsTwice(Application):
    def store(self):
        self._batch += self._batch[-1:]
        super().store()


class HearsOneTwice(Application):
    def told(self, ended):
        super().told(ended)
        if ended.cursor.endswith(".9"):
            self._say(f"told {ended.cursor} {ended.receipt.envelope_id}")


class HearsInAnotherOrder(Application):
    held = None

    def told(self, ended):
        if ended.cursor.endswith(".9") and self.held is None:
            self.held = ended
            return
        super().told(ended)
        if self.held is not None:
            super().told(self.held)
            self.held = None


class HearsOfAnother(Application):
    def told(self, ended):
        if ended.cursor.endswith(".9"):
            ended = attrs.evolve(ended, receipt=attrs.evolve(ended.receipt, envelope_id="another"))
        super().told(ended)


@pytest.mark.parametrize(
    ("make", "finds"),
    [
        (Skips, r"41 endings told, .*, 1 missing, 2 MISTAKEN"),
        (BeginsAnew, r"42 endings told, .* 0 missing, \d+ MISTAKEN"),
        (StoresNoCursor, r"42 endings told, .* 0 missing, 1 MISTAKEN"),
        (WritesRowsTwice, r"42 endings told, .* 0 missing, \d+ MISTAKEN"),
        (HearsOneTwice, r"42 endings told, .* 0 missing, 1 MISTAKEN"),
        (HearsInAnotherOrder, r"42 endings told, .* 0 missing, 2 MISTAKEN"),
        (HearsOfAnother, r"42 endings told, .* 1 missing, 2 MISTAKEN"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_a_mistake_is_found(tmp_path, make, finds, autojump_clock):
    outcome = await lived(tmp_path, make)
    assert not outcome.holds
    assert re.fullmatch(finds, str(outcome)), str(outcome)
