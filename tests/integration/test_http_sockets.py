"""The HTTP client against real servers on loopback that misbehave. Bounded to seconds."""

import gzip
import logging
import socket
import ssl
import traceback
import tracemalloc
from collections import Counter
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random

import httpx2
import pytest
import trio
import trio.testing
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route

from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.wire import reset, silence
from gateway_core import Secret
from gateway_core.authors import TransportError
from gateway_core.contract.beside.permits import MAY_WRITE
from gateway_core.http import (
    BytesSource,
    NetworkSettings,
    RawBody,
    Timeouts,
    UnreadableBody,
    client,
    open_client,
    transport_factory,
)
from gateway_core.http.tcp import TcpStream
from gateway_core.http.urls import origin_of

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
QUICK = Timeouts(connect=30, write=0.3, read=0.3, pool=30, total=60)
PATIENT = Timeouts(connect=30, write=30, read=30, pool=30, total=60)
ONE_SECOND = Timeouts(total=1)


class Requests:
    """The requests of a connection as they come."""

    def __init__(self, stream):
        self.stream = stream
        self.buffer = b""
        self.read = 0

    async def next(self):
        """The next head, after its body was read; None at the end of the connection."""
        while b"\r\n\r\n" not in self.buffer:
            got = await self.stream.receive_some()
            if not got:
                return None
            self.buffer += got
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(rest) < length:
            rest += await self.stream.receive_some()
        self.buffer, self.read = rest[length:], length
        return head


@asynccontextmanager
async def raw_server(handler):
    """A server whose every connection is given to `handler`; yields its base URL."""

    async def guarded(stream):
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await handler(stream)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            listening = partial(trio.serve_tcp, guarded, 0, host="127.0.0.1")
            [listener] = await nursery.start(listening)
            yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def emulator(app):
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(serve, app)
            nursery.cancel_scope.cancel()


def answering(answer):
    """Answer every request of a connection with the same bytes."""

    async def handler(stream):
        requests = Requests(stream)
        while await requests.next() is not None:
            await stream.send_all(answer)

    return handler


async def failure_of(url, timeouts=PATIENT, **arguments):
    """How one request ends that must fail."""
    async with open_client(base_url=url, timeouts=timeouts) as opened:
        with pytest.raises(TransportError) as caught:
            await opened.request("POST", "/x", **(arguments or {"json": {}}))
    return caught.value


@pytest.mark.parametrize("transport", ["own", "replaced"])
@pytest.mark.parametrize("arguments", [{"json": {}}, {"body": RawBody(BytesSource(b"bytes"))}])
async def test_nothing_is_written_once_it_may_not_be_any_more(transport, arguments):
    """The look comes after the connection has come about, which takes as long as it takes."""
    heard, factory = [], None
    if transport == "replaced":
        factory = transport_factory.set(httpx2.AsyncHTTPTransport)

    async def handler(stream):
        while got := await stream.receive_some():
            heard.append(got)

    permit = MAY_WRITE.set(lambda: False)
    try:
        async with raw_server(handler) as url:
            error = await failure_of(url, **arguments)
    finally:
        MAY_WRITE.reset(permit)
        if factory is not None:
            transport_factory.reset(factory)
    assert ("no", []) == (error.dispatched, heard)
    assert "another process" in str(error)


@pytest.mark.parametrize("transport", ["own", "replaced"])
async def test_a_body_is_not_written_to_its_end_once_it_may_not_be_any_more(transport):
    """The other process may send the same file, so this one's request must not become whole."""
    size, heard, factory = 1 << 22, [], None
    if transport == "replaced":
        factory = transport_factory.set(httpx2.AsyncHTTPTransport)

    async def handler(stream):
        while got := await stream.receive_some():
            heard.append(len(got))

    permit = MAY_WRITE.set(lambda: sum(heard) == 0)
    try:
        async with raw_server(handler) as url:
            error = await failure_of(url, body=RawBody(BytesSource(b"x" * size)))
    finally:
        MAY_WRITE.reset(permit)
        if factory is not None:
            transport_factory.reset(factory)
    assert error.dispatched == "unknown"
    assert 0 < sum(heard) < size
    assert "another process" in str(error)


async def hello(request):
    return PlainTextResponse(await request.body())


async def cut(request):
    await request.body()
    await reset(request)


async def quiet(request):
    await silence(request)


async def moved(request):
    return RedirectResponse("/hello", status_code=307)


async def slow(request):
    await trio.sleep(0.002)
    return PlainTextResponse(await request.body())


APP = Starlette(
    routes=[
        Route(f"/{endpoint.__name__}", endpoint, methods=["GET", "POST"])
        for endpoint in (hello, cut, quiet, moved, slow)
    ]
)


# --- before anything was written


async def test_a_refused_connection_is_not_dispatched():
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    assert (await failure_of(f"http://127.0.0.1:{port}")).dispatched == "no"


class NoNames(trio.abc.HostnameResolver):
    """Knows none."""

    async def getaddrinfo(self, *asked, **more):
        await trio.lowlevel.checkpoint()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    async def getnameinfo(self, sockaddr, flags):
        raise NotImplementedError


async def test_a_name_that_does_not_resolve_is_not_dispatched():
    """In the words in which `Network.unname` has it."""
    trio.socket.set_custom_hostname_resolver(NoNames())
    error = await failure_of("http://localhost:9")
    assert f"[Errno {socket.EAI_AGAIN}] Temporary failure in name resolution" in error.text
    assert error.dispatched == "no"


async def test_a_failed_tls_handshake_is_not_dispatched():
    async def handler(stream):
        await stream.receive_some()
        await stream.send_all(b"this is no TLS\r\n")

    async with raw_server(handler) as url:
        error = await failure_of(url.replace("http:", "https:"))
    assert "SSL" in error.text
    assert error.dispatched == "no"


async def test_a_handshake_without_an_answer_ends_with_its_socket_closed():
    closed = trio.Event()

    async def handler(stream):
        while await stream.receive_some():
            pass
        closed.set()

    async with raw_server(handler) as url:
        hasty = Timeouts(connect=30, total=0.1)
        async with open_client(base_url=url.replace("http:", "https:"), timeouts=hasty) as opened:
            with pytest.raises(TransportError) as caught:
                await opened.request("GET", "/x")
            assert caught.value.dispatched == "no"
            await closed.wait()


@pytest.mark.parametrize("bounds", [{"pool": 0.2}, {"pool": 9, "total": 0.2}], ids=str)
async def test_a_request_that_waits_for_a_connection_is_not_dispatched(bounds):
    async with (
        emulator(APP) as url,
        open_client(base_url=url, max_connections=1) as opened,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(opened.request, "GET", "/quiet")
        await trio.sleep(0.05)
        opened._timeouts = Timeouts(**bounds)
        with pytest.raises(TransportError) as caught:
            await opened.request("GET", "/hello")
        assert caught.value.dispatched == "no"
        nursery.cancel_scope.cancel()


# --- after something may have been


async def test_a_reset_after_the_request_is_unknown():
    async with emulator(APP) as url, open_client(base_url=url) as opened:
        with pytest.raises(TransportError, match="reset") as caught:
            await opened.request("POST", "/cut", json={})
        assert caught.value.dispatched == "unknown"
        assert (await opened.request("POST", "/hello", json=1)).body == b"1"


async def test_a_reset_before_the_request_was_read_is_unknown():
    async def handler(stream):
        await stream.receive_some(1)

    async with raw_server(handler) as url:
        error = await failure_of(url, json={"text": "x" * 1_000_000})
    assert error.dispatched == "unknown"


async def test_a_server_that_does_not_read_is_unknown():
    async def handler(stream):
        await trio.sleep_forever()

    async with raw_server(handler) as url:
        error = await failure_of(url, QUICK, form={"text": "x" * 20_000_000})
    assert "WriteTimeout" in error.text
    assert error.dispatched == "unknown"


async def test_what_a_request_had_not_sent_as_it_was_given_up_is_not_sent_later():
    """Another attempt follows, and perhaps another process's: this one must not arrive after it."""
    given_up, told = trio.Event(), trio.Event()
    ended = []

    async def handler(stream):
        await given_up.wait()
        try:
            while await stream.receive_some():
                pass
            ended.append("with all that was written")
        except trio.BrokenResourceError:
            ended.append("broken off")
        told.set()

    async with raw_server(handler) as url, open_client(base_url=url, timeouts=QUICK) as client:
        with pytest.raises(TransportError):
            await client.request("POST", "/x", body=RawBody(bytes(8_000_000)))
        given_up.set()
        await told.wait()
    assert ["broken off"] == ended


async def test_silence_is_unknown():
    async with emulator(APP) as url, open_client(base_url=url, timeouts=QUICK) as opened:
        with pytest.raises(TransportError, match="ReadTimeout") as caught:
            await opened.request("POST", "/quiet")
    assert caught.value.dispatched == "unknown"


async def test_a_connection_that_ends_without_an_answer_is_unknown():
    async def handler(stream):
        requests = Requests(stream)
        await requests.next()
        await stream.send_all(OK)
        await requests.next()

    async with raw_server(handler) as url, open_client(base_url=url) as opened:
        assert (await opened.request("POST", "/x", json={})).status == 200
        with pytest.raises(TransportError) as caught:
            await opened.request("POST", "/x", json={})
        assert caught.value.dispatched == "unknown"
        assert (await opened.request("POST", "/x", json={})).status == 200


async def test_an_idle_connection_that_was_closed_meanwhile_is_not_used():
    async def handler(stream):
        await Requests(stream).next()
        await stream.send_all(OK)

    async with raw_server(handler) as url, open_client(base_url=url) as opened:
        for _ in range(5):
            assert (await opened.request("POST", "/x", json={})).status == 200
            await trio.sleep(0.01)


@pytest.mark.parametrize(
    "answer",
    [b"garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"\x16\x03\x01" * 99],
)
async def test_an_answer_that_is_no_http_is_unknown(answer):
    async def handler(stream):
        await Requests(stream).next()
        await stream.send_all(answer)

    async with raw_server(handler) as url:
        assert (await failure_of(url)).dispatched == "unknown"


async def test_a_head_without_end_is_unknown_and_bounded():
    async def handler(stream):
        await Requests(stream).next()
        await stream.send_all(b"HTTP/1.1 200 OK\r\n")
        while True:
            await stream.send_all(b"x-more: " + b"x" * 10_000 + b"\r\n")

    async with raw_server(handler) as url:
        error = await failure_of(url)
    assert error.dispatched == "unknown"
    assert not isinstance(error, UnreadableBody)


def dripping(before):
    async def handler(stream):
        await Requests(stream).next()
        await stream.send_all(before)
        while True:
            await stream.send_all(b"x")
            await trio.sleep(0.05)

    return handler


async def test_a_dripping_head_ends_at_the_total_deadline():
    started = trio.current_time()
    async with raw_server(dripping(b"HTTP/1.1 200 OK\r\nx-drip: ")) as url:
        error = await failure_of(url, ONE_SECOND)
    assert 0.9 < trio.current_time() - started
    assert error.dispatched == "unknown"
    assert not isinstance(error, UnreadableBody)


async def test_a_dripping_body_ends_at_the_total_deadline_and_its_status_is_known():
    started = trio.current_time()
    async with raw_server(dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")) as url:
        error = await failure_of(url, ONE_SECOND)
    assert 0.9 < trio.current_time() - started
    assert isinstance(error, UnreadableBody)
    assert error.status == 200


async def test_a_truncated_body_is_unreadable():
    async def handler(stream):
        await Requests(stream).next()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")

    async with raw_server(handler) as url:
        assert isinstance(await failure_of(url), UnreadableBody)


# --- answers that are too much


def peak_of(trace):
    return trace.get_traced_memory()[1] / (1 << 20)


async def test_a_huge_body_is_not_read():
    async def handler(stream):
        await Requests(stream).next()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 65536)

    tracemalloc.start()
    async with raw_server(handler) as url:
        error = await failure_of(url)
    peak = peak_of(tracemalloc)
    tracemalloc.stop()
    assert isinstance(error, UnreadableBody)
    assert peak < 16


async def test_a_gzip_bomb_is_not_inflated():
    bomb = gzip.compress(bytes(64 << 20), 1)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    tracemalloc.start()
    async with raw_server(answering(head + bomb)) as url:
        error = await failure_of(url)
    peak = peak_of(tracemalloc)
    tracemalloc.stop()
    assert isinstance(error, UnreadableBody)
    assert "more than" in error.text
    assert peak < 16


async def test_a_compressed_answer_is_read():
    body = gzip.compress(b'{"ok": true}')
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with raw_server(answering(head + body)) as url, open_client(base_url=url) as opened:
        for _ in range(2):
            assert (await opened.request("GET", "/x")).json() == {"ok": True}


async def test_redirects_are_answers():
    async with emulator(APP) as url, open_client(base_url=url) as opened:
        answer = await opened.request("POST", "/moved", json={})
    assert (307, "/hello") == (answer.status, answer.headers["location"])


async def test_cookies_are_not_kept():
    seen = []

    async def handler(stream):
        requests = Requests(stream)
        while (head := await requests.next()) is not None:
            seen.append(head.lower())
            await stream.send_all(OK.replace(b"\r\n\r\n", b"\r\nset-cookie: a=b\r\n\r\n"))

    async with raw_server(handler) as url, open_client(base_url=url) as opened:
        for _ in range(2):
            await opened.request("GET", "/x")
    assert len(seen) == 2
    assert b"cookie" not in seen[1]


# --- the pool, the TLS context, the logs


async def test_three_hundred_cancelled_requests_leave_the_pool_usable():
    random = Random("cancels")
    ended = []

    async def cancelled(opened):
        with trio.move_on_after(random.uniform(0, 0.006)):
            await opened.request("POST", "/slow", json={"text": "x" * random.randrange(100_000)})

    async def good(opened, number):
        ended.append((await opened.request("POST", "/slow", json=number)).json())

    async with emulator(APP) as url, open_client(base_url=url, max_connections=8) as opened:
        for _ in range(20):
            async with trio.open_nursery() as nursery:
                for _ in range(15):
                    nursery.start_soon(cancelled, opened)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(16):
                    nursery.start_soon(good, opened, number)
    assert sorted(ended) == list(range(16))


async def test_a_connection_is_used_again_and_closed_once_it_was_idle_for_long():
    opened_and_closed = []

    async def handler(stream):
        opened_and_closed.append("opened")
        await answering(OK)(stream)
        opened_and_closed.append("closed")

    async with raw_server(handler) as url, open_client(base_url=url) as opened:
        for _ in range(3):
            await opened.request("GET", "/x")
        assert opened_and_closed == ["opened"]
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(opened.request, "GET", "/x")
        for connection in opened._wire._idle:
            connection.usage.answered -= client.KEEPALIVE
        await opened.request("GET", "/x")
        while len(opened_and_closed) < 7:  # noqa: ASYNC110 - bounded by the server's deadline
            await trio.sleep(0.001)
        assert ["opened"] * 3 == opened_and_closed[:3]
        assert ["closed", "closed", "closed", "opened"] == sorted(opened_and_closed[3:])


class Steps(trio.abc.Instrument):
    """Counts how often each task runs."""

    def __init__(self):
        self.of = Counter()

    def before_task_step(self, task):
        self.of[task] += 1


async def test_a_request_waits_once_for_its_answer():
    """On a connection that is there: written at once, and run again when the answer came."""
    async with raw_server(answering(OK)) as url, open_client(base_url=url) as opened:
        await opened.request("GET", "/x")
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        await opened.request("POST", "/x", json={"text": "y" * 1000})
        trio.lowlevel.remove_instrument(steps)
    assert steps.of[trio.lowlevel.current_task()] == 1


async def test_a_request_larger_than_the_buffers_is_written_as_it_is_read():
    """An empty one as well."""
    bodies = []

    async def handler(stream):
        requests = Requests(stream)
        while await requests.next() is not None:
            bodies.append(requests.read)
            await stream.send_all(OK)

    async with raw_server(handler) as url, open_client(base_url=url) as opened:
        for length in (20_000_000, 0):
            await opened.request("POST", "/x", json="z" * length)
    assert bodies == [20_000_002, 2]


@pytest.mark.parametrize("ask", ["receive", "send", "wait_send"])
async def test_a_closed_stream_says_that_it_was_closed(ask):
    async def use(stream, outcomes):
        try:
            match ask:
                case "receive":
                    await stream.receive_some()
                case "send":
                    await stream.send_all(b"x" * 50_000_000)
                case _:
                    await stream.send_all(b"")
                    await stream.wait_send_all_might_not_block()
                    await stream.receive_some()
        except trio.ClosedResourceError:
            outcomes.append("closed")

    async def handler(_stream):
        await trio.sleep_forever()

    outcomes = []
    async with raw_server(handler) as url:
        port = int(url.rpartition(":")[2])
        stream = TcpStream(await trio.open_tcp_stream("127.0.0.1", port))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(use, stream, outcomes)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
        await stream.aclose()
        await use(stream, outcomes)
    assert outcomes == ["closed", "closed"]


async def test_an_answer_that_announces_the_end_is_the_last_of_its_connection():
    async def handler(stream):
        await Requests(stream).next()
        await stream.send_all(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        assert not await stream.receive_some()

    async with raw_server(handler) as url, open_client(base_url=url) as opened:
        for _ in range(3):
            assert (await opened.request("POST", "/x", json={})).status == 200


async def test_what_comes_unasked_is_no_answer_to_the_next_request():
    async def handler(stream):
        requests = Requests(stream)
        await requests.next()
        await stream.send_all(OK + OK.replace(b"{}", b"[]"))
        assert await requests.next() is None

    async with raw_server(handler) as url, open_client(base_url=url) as opened:
        for _ in range(3):
            assert (await opened.request("POST", "/x", json={})).body == b"{}"


async def test_the_answer_to_a_request_that_is_not_read_to_its_end_is_read():
    async def handler(stream):
        await stream.receive_some(1)
        await stream.send_all(OK.replace(b"200 OK", b"413 Large"))
        await stream.send_eof()
        await trio.sleep(0.1)

    async with raw_server(handler) as url, open_client(base_url=url, timeouts=QUICK) as opened:
        answer = None
        with suppress(TransportError):
            answer = await opened.request("POST", "/x", json={"text": "x" * 30_000_000})
    assert answer is None or answer.status == 413


async def test_a_closed_client_ends_the_requests_under_way():
    ends, asked = [], trio.Event()

    async def handler(stream):
        await Requests(stream).next()
        asked.set()
        await trio.sleep_forever()

    async def ask(opened):
        with pytest.raises(TransportError) as caught:
            await opened.request("POST", "/x")
        ends.append(caught.value.dispatched)

    async with (
        raw_server(handler) as url,
        trio.open_nursery() as nursery,
        open_client(base_url=url, timeouts=PATIENT) as opened,
    ):
        nursery.start_soon(ask, opened)
        await asked.wait()
    assert ends == ["unknown"]


async def test_a_closed_client_sends_nothing_that_waited_for_a_connection():
    heads, errors = [], []

    async def hang(stream):
        if (head := await Requests(stream).next()) is not None:
            heads.append(head)
            await trio.sleep_forever()

    async def ask(http):
        with pytest.raises(TransportError) as raised:
            await http.request("GET", "/")
        errors.append(raised.value.dispatched)

    async with (
        raw_server(hang) as url,
        trio.open_nursery() as nursery,
        open_client(base_url=url, timeouts=PATIENT, max_connections=1) as http,
    ):
        for _ in range(3):
            nursery.start_soon(ask, http)
        while not heads:  # noqa: ASYNC110 - bounded by the server's deadline
            await trio.sleep(0.01)
    assert (1, ["no", "no", "unknown"]) == (len(heads), sorted(errors))


async def test_clients_share_one_tls_context():
    assert client.tls_context() is client.tls_context()
    one, two = (
        client._make_wire(origin_of(url)[0], None, NetworkSettings(), 1)()
        for url in ("https://a.b", "https://c.d")
    )
    assert one.tls is two.tls is client.tls_context()


async def test_plain_http_makes_no_tls_context(monkeypatch):
    """It takes tens of milliseconds and some megabytes, for nothing beside a local server."""
    monkeypatch.setattr(client, "tls_context", None)
    here, _ = origin_of("http://localhost")
    wire = client._make_wire(here, None, NetworkSettings(), 1)()
    assert None is wire.tls


async def test_requests_go_over_tls_to_whom_the_certificate_names(monkeypatch):
    """Not that the context is a good one: that it is used, for the host of the base URL."""
    certificate = Path(__file__).parent / "certificates/localhost.pem"
    trusting = ssl.create_default_context(cafile=certificate)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    monkeypatch.setattr(client, "tls_context", lambda: trusting)

    async def handler(stream):
        secured = trio.SSLStream(stream, serving, server_side=True, https_compatible=True)
        with suppress(trio.BrokenResourceError):
            await answering(OK)(secured)

    async with raw_server(handler) as url:
        port = url.rpartition(":")[2]
        async with open_client(base_url=f"https://localhost:{port}") as opened:
            for _ in range(3):
                assert (await opened.request("POST", "/x", json={"a": "x" * 100_000})).body == b"{}"
        error = await failure_of(f"https://127.0.0.2:{port}")
        assert error.dispatched == "no"
        monkeypatch.setattr(client, "tls_context", ssl.create_default_context)
        error = await failure_of(f"https://localhost:{port}")
        assert "CERTIFICATE_VERIFY_FAILED" in error.text
        assert error.dispatched == "no"


@pytest.mark.parametrize("path", ["hello", "cut", "quiet", "moved"])
async def test_no_secret_shows_in_any_log_or_error(path, caplog):
    caplog.set_level(logging.DEBUG)
    errors = []
    app = Starlette(
        routes=[
            Route(f"/bot{{token}}/{endpoint.__name__}", endpoint, methods=["POST"])
            for endpoint in (hello, cut, quiet, moved)
        ]
    )
    async with (
        emulator(app) as url,
        open_client(
            base_url=url,
            headers={"authorization": Secret("Bot MTk4NjIyNDgz")},
            path_secret=Secret(TOKEN),
            timeouts=QUICK if path == "quiet" else PATIENT,
        ) as opened,
    ):
        try:
            await opened.request("POST", f"/bot{{secret}}/{path}", json={})
        except TransportError as error:
            errors.append("".join(traceback.format_exception(error)) + repr(error))
    shown = caplog.text + "".join(errors) + repr([r.__dict__ for r in caplog.records])
    assert (path in {"cut", "quiet"}) == bool(errors)
    for secret in (TOKEN, TOKEN.partition(":")[2], "MTk4NjIyNDgz"):
        assert secret not in shown


# --- the server of the emulators


async def test_a_cancelled_server_ends_at_once_even_for_a_peer_that_never_reads():
    async def flood(request):
        return PlainTextResponse("x" * 50_000_000)

    async with trio.open_nursery() as nursery:
        url = await nursery.start(serve, Starlette(routes=[Route("/", flood)]))
        stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
        await stream.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await stream.receive_some(1)
        await trio.sleep(0.05)
        started = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - started < 10
    await stream.aclose()


async def test_a_served_application_is_silent_but_for_its_own_errors(capfd, caplog):
    async def failing(request):
        raise LookupError("a mistake")

    app = Starlette(routes=[Route("/failing", failing), Route("/hello", hello)])
    async with emulator(app) as url, open_client(base_url=url) as opened:
        assert (await opened.request("GET", "/hello")).status == 200
        assert (await opened.request("GET", "/nowhere")).status == 404
        quiet_until_here = [r for r in caplog.records if r.name.startswith("gateway")]
        assert (await opened.request("GET", "/failing")).status == 500
        while "a mistake" not in caplog.text:  # noqa: ASYNC110 - it comes after the answer
            await trio.sleep(0.001)
    assert quiet_until_here == []
    assert ("", "") == capfd.readouterr()
    assert "a mistake" in caplog.text


async def test_nonsense_on_one_connection_leaves_the_others_alone():
    async with emulator(APP) as url, open_client(base_url=url) as opened:
        port = int(url.rpartition(":")[2])
        for nonsense in (
            b"\0" * 99,
            b"GET\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        ):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(nonsense)
        assert (await opened.request("POST", "/hello", json=1)).body == b"1"


async def test_an_address_in_use_is_an_error():
    async with emulator(APP) as url:
        with pytest.raises(OSError, match=r"[Ii]n use"):
            await serve(APP, port=int(url.rpartition(":")[2]))
