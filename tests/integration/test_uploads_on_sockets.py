"""Uploads on loopback that are cut, by the server or the client, and that are far too large."""

import logging
import tracemalloc
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits
from gateway_contrib.emulators.faults import Cut, FaultPlan
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator

KB = 1024
PIECE = 20 * KB
ROOM = "1100000000000000001"
PART = b'--b\r\nContent-Disposition: form-data; name="files[0]"; filename="a.bin"\r\n\r\n'
END = b"\r\n--b--\r\n"
TARGETS = {
    DiscordEmulator: f"/api/v10/channels/{ROOM}/messages",
    TelegramEmulator: "/bot123456:AAbb/sendDocument",
    SlackEmulator: "/api/files.completeUploadExternal",
}


@asynccontextmanager
async def connected(app):
    """A connection to an application on a free port."""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve, app)
            async with await trio.open_tcp_stream(
                "127.0.0.1", int(url.rpartition(":")[2])
            ) as stream:
                yield stream
            nursery.cancel_scope.cancel()


def head(path, length):
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: emulated.example",
        "Authorization: Bot t",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {length}",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


async def sent(stream, size):
    """Bytes of a body that could be sent before the connection was cut."""
    for number in range(0, size, PIECE):
        try:
            await stream.send_all(b"x" * PIECE)
        except trio.BrokenResourceError:
            return number
    return size


@pytest.mark.parametrize("emulator", TARGETS)
async def test_a_connection_is_cut_in_the_middle_of_an_upload(emulator):
    """The client waits in the middle, and is cut there: the rest never had to come."""
    made = emulator(faults=FaultPlan(script={0: Cut(0.5)}))
    size = 1_000 * KB
    async with connected(made.app) as stream:
        whole = len(PART) + size + len(END)
        await stream.send_all(head(TARGETS[emulator], whole) + PART)
        assert size // 2 == await sent(stream, size // 2)
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        assert size > await sent(stream, size)
    assert (0, 1) == (made.counters["stored"], made.counters["faults"])
    assert 0 == made.files.used


async def test_a_client_that_leaves_in_the_middle_is_no_error(caplog):
    made, arrived, ended = DiscordEmulator(), trio.Event(), trio.Event()
    caplog.set_level(logging.WARNING)

    async def app(scope, receive, send):
        arrived.set()
        try:
            await made.app(scope, receive, send)
        finally:
            ended.set()

    async with connected(app) as stream:
        await stream.send_all(head(TARGETS[DiscordEmulator], 1_000 * KB) + PART + b"x" * 100 * KB)
        await arrived.wait()
        await stream.aclose()
        await ended.wait()
        await wait_all_tasks_blocked()
    assert ([], 0) == ([record.message for record in caplog.records], made.counters["stored"])


async def test_what_is_beyond_a_file_s_bound_takes_no_memory():
    """8 MB come, of a file that may have 1: the rest is dropped, and the answer is read."""
    made = DiscordEmulator(limits=DiscordLimits(file_bytes=1_000 * KB))
    size = 8_000 * KB
    async with connected(made.app) as stream:
        await stream.send_all(head(TARGETS[DiscordEmulator], len(PART) + size + len(END)) + PART)
        tracemalloc.start()
        try:
            assert size == await sent(stream, size)
            await stream.send_all(END)
            answer = await stream.receive_some()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert peak < 4_000 * KB
