"""Bytes without an outbox: what becomes of them if somebody changes the temporary folder."""

import tempfile

import pytest

from gateway_core.files.spool import LARGE, Spool
from gateway_core.outboxes import BytesLost, digest_of_bytes

CONTENT = bytes(i * 7 % 251 for i in range(3 * LARGE + 5))
DIGEST = digest_of_bytes(CONTENT)


@pytest.fixture
def spool(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = Spool()
    yield spool
    spool.close()
    assert [] == list(tmp_path.iterdir())


def pieces():
    return (CONTENT[start : start + 99_999] for start in range(0, len(CONTENT), 99_999))


def cut_off(path):
    with path.open("r+b") as opened:
        opened.truncate(LARGE)


def replaced(path):
    path.unlink()
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), cut_off, replaced])
async def test_bytes_of_another_size_are_stored_anew(spool, tmp_path, harm):
    """So that messages that wait have them again, and the next ones."""
    await spool.store_bytes(DIGEST, pieces())
    assert CONTENT == await spool.read_bytes(DIGEST, 0, len(CONTENT))
    [path] = tmp_path.glob("*/" + DIGEST)
    harm(path)
    await spool.store_bytes(DIGEST, pieces())
    assert CONTENT == await spool.read_bytes(DIGEST, 0, len(CONTENT))
    spool.let_go(DIGEST)
    assert CONTENT == await spool.read_bytes(DIGEST, 0, len(CONTENT))
    spool.let_go(DIGEST)
    with pytest.raises(BytesLost):
        await spool.read_bytes(DIGEST, 0, 1)


async def test_bytes_that_are_gone_are_lost(spool, tmp_path):
    await spool.store_bytes(DIGEST, pieces())
    [path] = tmp_path.glob("*/" + DIGEST)
    path.unlink()
    with pytest.raises(BytesLost, match="are not there"):
        await spool.read_bytes(DIGEST, 0, 1)
