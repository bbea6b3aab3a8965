"""Idle connections that a middlebox forgot, over loopback sockets. Bounded to seconds.

The bounds are far from what a healthy run takes: what else the machine does proves nothing.
"""

from __future__ import annotations

import socket
import struct
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
from amounts import long_run
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bench.middlebox import between
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_core import Disposition, GatewayConfig, Instance, Secret, open_gateway
from gateway_core.authors import TransportError
from gateway_core.http import Timeouts, open_client, sockets, tcp
from gateway_core.http.progress import Progress
from gateway_core.http.wire import Request
from gateway_core.plugins.calling import repeating
from gateway_plugin_slack.settings import Settings

QUICK = Timeouts(read=8)
"""Yet long enough for a healthy answer on a machine that has ten times as much to do as it can."""
MANY = 20
ROOMS = 64


class Asked:
    """A server that counts, and answers each request after a moment."""

    def __init__(self):
        self.count = 0
        self.app = Starlette(routes=[Route("/x", self.answer, methods=["POST"])])

    async def answer(self, request):
        await request.body()
        self.count += 1
        await trio.sleep(0.02)
        return PlainTextResponse("{}")


@asynccontextmanager
async def behind(app, **fields):
    """The application on a socket, and a middlebox before it."""
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            async with between(await nursery.start(serve, app), **fields) as (box, url):
                yield box, url
            nursery.cancel_scope.cancel()


async def ask(client, count, outcomes=None):
    """So many requests at once; how many of them failed, by whether they were dispatched."""
    ends = [] if outcomes is None else outcomes

    async def one():
        try:
            await client.request("POST", "/x", json={})
        except TransportError as error:
            ends.append(error.dispatched)

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return ends


@pytest.mark.parametrize("answer", ["reset", pytest.param("silence", marks=long_run)])
async def test_after_a_quiet_time_a_failover_costs_one_request(answer):
    async with (
        behind(Asked().app, answer=answer) as (box, url),
        open_client(base_url=url, timeouts=QUICK) as client,
    ):
        assert await ask(client, MANY) == await ask(client, MANY) == []
        await trio.sleep(1.1)
        box.forget()
        assert await ask(client, MANY) == ["unknown"]
        assert await ask(client, MANY) == []
        assert 1 == box.lost


async def test_in_the_midst_of_traffic_the_dead_connections_are_dropped_after_the_first_failure():
    async with (
        behind(Asked().app) as (box, url),
        open_client(base_url=url) as client,
    ):
        for count in (MANY, 1, MANY):
            assert await ask(client, count) == []
        box.forget()
        failed = await ask(client, 5)  # at once, on proven ones
        assert await ask(client, MANY) == await ask(client, MANY) == []
        assert ["unknown"] * box.lost == failed
        assert 1 <= box.lost <= 5


@pytest.mark.parametrize("answer", ["reset", pytest.param("silence", marks=long_run)])
async def test_a_platform_that_never_takes_a_second_request_is_asked_on_new_connections(answer):
    """Reuse is tried after one, two, four seconds: no more than one request is lost each time."""
    async with (
        behind(Asked().app, answer=answer, once=True) as (box, url),
        open_client(base_url=url, timeouts=QUICK) as client,
    ):
        failures, until = [], trio.current_time() + 3
        while trio.current_time() < until:
            failures += await ask(client, 10)
            await trio.sleep(0.02)
        assert ["unknown"] * box.lost == failures
        assert 1 <= box.lost <= 3


async def test_what_repeats_a_request_takes_a_new_connection():
    async with (
        behind(Asked().app) as (box, url),
        open_client(base_url=url, max_connections=4) as client,
    ):
        for _ in range(3):
            assert await ask(client, 4) == []
        assert box.opened <= 8
        before = box.opened
        box.forget()
        with repeating():
            assert await ask(client, 3) == []
        assert box.opened == before + 3


async def test_there_are_never_more_connections_than_allowed():
    open_now = most = 0

    async def handler(stream):
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        async with stream:
            async for _ in stream:
                await trio.sleep(0.005)
                await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        open_now -= 1

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        async with open_client(base_url=f"http://127.0.0.1:{port}", max_connections=8) as client:
            for count in (8, 1, 20, 3, 8):
                assert await ask(client, count) == []
                with repeating():
                    assert await ask(client, count) == []
        nursery.cancel_scope.cancel()
    assert 8 <= most <= 9  # the server hears of an end a moment later


async def test_a_connection_that_ended_before_the_first_byte_carried_nothing():
    """Reset between connecting and writing: nothing was sent, so nothing is in doubt."""

    reset = trio.Event()

    async def handler(stream):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()
        reset.set()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        pool = sockets.Sockets("127.0.0.1", port, tls=None, most=1, keepalive=9)
        progress = Progress(Timeouts())
        connection = await pool._new(progress)
        await reset.wait()
        await trio.sleep(0.05)
        with pytest.raises(trio.BrokenResourceError):
            await connection.ask(Request("POST", "/", {}, b"{}"), progress, 99)
        assert not progress.written
        await connection.close()
        nursery.cancel_scope.cancel()


REPAIR = 19
"""TCP_REPAIR of linux/tcp.h: a socket that is closed in it goes without a word."""


def forgotten_by_the_system(stream):
    try:
        stream.setsockopt(socket.IPPROTO_TCP, REPAIR, 1)
    except OSError:
        pytest.skip("only Linux's superuser may make a system forget a connection")
    stream.socket.close()


async def test_the_system_notices_an_idle_connection_that_the_other_one_forgot():
    """No request is risked on it, although nobody has told."""
    streams, asked = [], []

    async def handler(stream):
        streams.append(stream)
        with suppress(trio.ClosedResourceError):
            async for data in stream:
                asked.append(data)
                await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        async with open_client(base_url=f"http://127.0.0.1:{port}") as client:
            assert await ask(client, 1) == []
            forgotten_by_the_system(streams[0])
            await trio.sleep(1.5)
            assert await ask(client, 1) == []
        nursery.cancel_scope.cancel()
    assert (2, 2) == (len(streams), len(asked))


async def test_what_the_other_system_takes_no_more_fails_before_the_write_timeout(monkeypatch):
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("this system has no such timeout")
    monkeypatch.setitem(tcp._TCP_OPTIONS, "TCP_USER_TIMEOUT", 500)

    async def handler(stream):
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        async with open_client(base_url=url, timeouts=Timeouts(write=50, total=50)) as client:
            started = trio.current_time()
            with pytest.raises(TransportError) as caught:
                await client.request("POST", "/x", form={"text": "x" * 20_000_000})
        nursery.cancel_scope.cancel()
    assert trio.current_time() - started < 40
    assert caught.value.dispatched == "unknown"


@pytest.mark.parametrize("once", [False, True], ids=["forgotten", "never twice"])
async def test_dead_idle_connections_stop_no_healthy_account(once):
    """Sixty-four rooms, sixty-four connections: all messages arrive, once, and soon."""
    rooms = [f"C{number:010}" for number in range(ROOMS)]
    emulator = SlackEmulator(tokens=["xoxb-1"])
    receipts = []
    async with behind(emulator.app, once=once) as (box, url):
        settings = Settings(token=Secret("xoxb-1"), base_url=f"{url}/api")
        config = GatewayConfig(instances=[Instance("acme", "slack", settings)])
        async with open_gateway(config, plugins=[]) as gateway, trio.open_nursery() as nursery:

            async def send(room):
                receipts.append(await gateway.send("acme", room, "hello", ttl=60, raises=False))

            async def send_all():
                for room in rooms:
                    nursery.start_soon(send, room)
                while len(receipts) % ROOMS or not receipts:  # noqa: ASYNC110 - bounded above
                    await trio.sleep(0.01)

            await send_all()
            await trio.sleep(1.1)
            box.forget()
            started = trio.current_time()
            await send_all()
            seconds = trio.current_time() - started
    assert {Disposition.DELIVERED} == {receipt.disposition for receipt in receipts}
    assert sum(receipt.possible_duplicate for receipt in receipts) == box.lost <= 4
    assert seconds < 40
