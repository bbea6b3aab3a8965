"""Files as sources: what is read, what is refused, and disks that hang."""

import os
import threading

import pytest
import trio

from gateway_core.authors import UnreadableSource
from gateway_core.http import FileSource, RawBody, Timeouts, open_client
from gateway_core.http.bodies import files
from gateway_core.http.bodies.files import PIECE
from gateway_core.testing import open_network

URL = "https://api.example"


async def read(source):
    async with source.open() as pieces:
        return b"".join([bytes(piece) async for piece in pieces])


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
@pytest.mark.parametrize("cached", [True, False])
async def test_a_file_is_read_as_it_stands(size, cached, tmp_path, monkeypatch):
    """Twice, and under a name that is given as a text."""
    if not cached:
        monkeypatch.setattr(files, "_read_nowait", lambda *_: 0)
    content = bytes(i * 7 % 251 for i in range(size))
    path = tmp_path / "file"
    path.write_bytes(content)
    source = await FileSource.at(str(path))
    assert size == source.size
    assert (content, content) == (await read(source), await read(source))


def a_pipe(folder):
    os.mkfifo(folder / "it")


def a_folder(folder):
    (folder / "it").mkdir()


def a_loop(folder):
    (folder / "it").symlink_to("it")


def nothing(_folder):
    pass


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (nothing, "No such file or directory"),
        (a_folder, "is a folder"),
        (a_pipe, "is not a regular file"),
        (a_loop, "Too many levels of symbolic links"),
    ],
)
async def test_what_is_no_readable_file_is_refused(made, words, tmp_path):
    made(tmp_path)
    with pytest.raises(UnreadableSource) as caught:
        await FileSource.at(tmp_path / "it")
    assert f"{tmp_path / 'it'} cannot be read: {words}" == caught.value.text
    assert "no" == caught.value.dispatched


@pytest.mark.parametrize("step", ["open", "lseek"])
async def test_a_disk_that_hangs_holds_up_neither_the_timeout_nor_the_loop(
    step, tmp_path, monkeypatch
):
    """The thread that was left behind closes the file once it comes back."""
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    source = await FileSource.at(path)
    goes_on, closed = threading.Event(), threading.Event()
    working, closing = getattr(os, step), os.close

    def hanging(*given):
        if threading.current_thread() is not threading.main_thread():
            goes_on.wait(20)
        return working(*given)

    def noted(number):
        closing(number)
        if threading.current_thread() is not threading.main_thread():
            closed.set()

    monkeypatch.setattr(os, step, hanging)
    monkeypatch.setattr(os, "close", noted)
    async with open_network(), open_client(base_url=URL, timeouts=Timeouts(write=0.1)) as client:
        with pytest.raises(UnreadableSource, match=r"SourceTimeout: .* 0.1 s") as caught:
            await client.request("POST", "/x", body=RawBody(source))
    assert "no" == caught.value.dispatched
    assert not closed.is_set()
    goes_on.set()
    assert await trio.to_thread.run_sync(closed.wait, 9)
