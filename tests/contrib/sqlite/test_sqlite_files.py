"""Files of messages in an outbox on disk: there after a restart, and gone once they were sent."""

import apsw
import pytest
import trio

from gateway_contrib.sqlite import SqliteOutbox
from gateway_core import File
from gateway_core.authors import ErrorClass, Reason, Verdict
from gateway_core.testing import FakeChannel, failing, open_test_gateway

SIZES = pytest.mark.parametrize("size", [10, 700_000], ids=["in the database", "beside it"])


def held(path):
    """How many bytes the database has rows for, and how many stand in files beside it."""
    rows = apsw.Connection(str(path)).execute("SELECT count(*) FROM bytes").get
    folder = path.with_name(f"{path.name}.bytes")
    return rows, len([*folder.iterdir()]) if folder.exists() else 0


@SIZES
async def test_what_waits_is_sent_with_its_files_by_the_next_run(tmp_path, size):
    path, content = tmp_path / "outbox.db", bytes(range(256)) * (size // 256 + 1)
    down = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.UNREACHABLE)
    source = tmp_path / "report.bin"
    source.write_bytes(content)
    broken = FakeChannel(script=failing(down, times=10_000))
    async with open_test_gateway(broken, outbox=SqliteOutbox(path)) as gateway:
        await gateway.enqueue("bot", "room", "report", files=[File(source)])
    source.unlink()
    assert (1, int(size > 1000)) == held(path)
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=SqliteOutbox(path)) as gateway:
        with trio.fail_after(60):
            async for _ in gateway.endings():
                break
    assert ({"file-1": content}, ["report"]) == (channel.contents, channel.texts("room"))
    assert (0, 0) == held(path)


@SIZES
async def test_what_is_not_accepted_leaves_nothing(tmp_path, size):
    path = tmp_path / "outbox.db"
    file = File(bytes(size), name="x")
    outbox = SqliteOutbox(path)
    async with open_test_gateway(outbox=outbox) as gateway:
        await gateway.send("bot", "room", "a", key="k", files=[file])
        assert (await gateway.send("bot", "room", "a", key="k", files=[file])).replayed
        await outbox.flush()
        assert (0, 0) == held(path)
