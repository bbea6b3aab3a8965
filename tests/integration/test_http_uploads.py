"""Uploads over real sockets: to servers that refuse, stop, cut and crawl. Bounded to seconds."""

import hashlib
import re
import ssl
import tracemalloc
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import product
from pathlib import Path
from random import Random

import pytest
import trio
import trustme
from connect_proxy import proxy

from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core.authors import TransportError, UnreadableSource
from gateway_core.http import (
    FileSource,
    FormField,
    Multipart,
    NetworkSettings,
    RawBody,
    Timeouts,
    open_client,
    tcp,
)
from gateway_core.http.bodies import files

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
TOO_LARGE = b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig"
PATIENT = Timeouts(connect=30, write=30, read=30, pool=30, total=60)
UNREAD = Timeouts(connect=30, write=2, read=2, pool=30, total=60)
MB = 1 << 20
# More than systems buffer on the way, so that a server that does not read is felt.
CONTENT = Random("uploads").randbytes(16 * MB)


class Server:
    """Reads requests, and keeps the digest of each whole body.

    began   how many connections there were
    bodies  digests, in order
    ended   a connection ended in the middle of a request
    """

    def __init__(self, behave=None):
        self.began = 0
        self.bodies = []
        self.ended = trio.Event()
        self._behave = behave

    async def handle(self, stream):
        self.began += 1
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                while await self._one(stream):
                    pass

    async def _one(self, stream):
        head = b""
        while b"\r\n\r\n" not in head:
            more = await self._more(stream, len(head))
            if not more:
                return False
            head += more
        head, _, body = head.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        digest, got = hashlib.sha256(body), len(body)
        while got < length:
            if self._behave is not None and await self._behave(stream, got, length):
                return False
            more = await self._more(stream, got)
            if not more:
                return False
            digest.update(more)
            got += len(more)
        self.bodies.append(digest.hexdigest())
        await stream.send_all(OK)
        return True

    async def _more(self, stream, got):
        try:
            more = await stream.receive_some(1 << 16)
        except trio.BrokenResourceError:
            more = b""
        if not more and got:
            self.ended.set()
        return more


def digest_of(content):
    return hashlib.sha256(content).hexdigest()


@asynccontextmanager
async def listening(server, context=None):
    """The server's URL."""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listeners[0].socket.getsockname()[1]
            if context is not None:
                listeners = [trio.SSLListener(one, context) for one in listeners]
            await nursery.start(partial(trio.serve_listeners, server.handle, listeners))
            scheme = "http://127.0.0.1" if context is None else "https://localhost"
            yield f"{scheme}:{port}"
            nursery.cancel_scope.cancel()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    made = trustme.CA()
    made.cert_pem.write_to_path(folder / "ca.pem")
    made.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(CONTENT)
    return path


WAYS = ["plain", "tls", "proxy", "tls proxy"]


@asynccontextmanager
async def reached(way, server, authority, timeouts=PATIENT):
    """A client of the server, on that way to it."""
    async with (
        _way(way, server, authority) as (url, network),
        open_client(base_url=url, timeouts=timeouts, network=network) as client,
    ):
        yield client


@asynccontextmanager
async def _way(way, server, authority):
    if way == "plain":
        async with listening(server) as url:
            yield url, NetworkSettings()
        return
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "server.pem")
    ca = authority / "ca.pem"
    async with listening(server, context) as url:
        if way == "tls":
            yield url, NetworkSettings(ca_file=ca)
        elif way == "proxy":
            async with proxy() as between:
                yield url, NetworkSettings(ca_file=ca, proxy=between.url)
        else:
            secure = {"certificate": str(authority / "server.pem")}
            async with proxy(**secure) as between:
                there = between.url.replace("http://127.0.0.1", "https://localhost")
                yield url, NetworkSettings(ca_file=ca, proxy=there)


async def failure_of(client, body, kind=TransportError):
    with pytest.raises(kind) as caught:
        await client.request("POST", "/x", body=body)
    return caught.value


# --- what arrives


@pytest.mark.parametrize("way", WAYS)
async def test_an_upload_arrives_whole_on_every_way(way, authority, picture):
    """From a file and from memory, on one connection."""
    server = Server()
    async with reached(way, server, authority) as client:
        await client.request("PUT", "/x", body=RawBody(await FileSource.at(picture)))
        await client.request("POST", "/x", body=RawBody(CONTENT))
    assert ([digest_of(CONTENT)] * 2, 1) == (server.bodies, server.began)


async def test_a_form_reaches_an_emulated_telegram():
    form = Multipart([FormField("chat_id", "1000"), FormField("text", "höhö\nüber")])
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve, TelegramEmulator().app)
            async with open_client(base_url=url) as client:
                answer = await client.request(
                    "POST",
                    f"/bot{TOKEN}/sendMessage",
                    body=form,
                )
            nursery.cancel_scope.cancel()
    assert "höhö\nüber" == answer.json()["result"]["text"]


async def test_a_slow_server_that_reads_on_is_no_failure():
    """It takes 96 times 25 ms and longer than the total, which does not run meanwhile."""

    async def crawl(_stream, _got, _length):
        await trio.sleep(0.025)

    server, timeouts = Server(crawl), Timeouts(write=30, read=30, total=1.5)
    content = CONTENT[: 6 * MB]
    async with listening(server) as url, open_client(base_url=url, timeouts=timeouts) as client:
        before = trio.current_time()
        await client.request("POST", "/x", body=RawBody(content))
        assert trio.current_time() - before > 2
    assert [digest_of(content)] == server.bodies


async def test_a_server_that_pauses_is_waited_for_as_long_as_writing_may_take(monkeypatch):
    """Not for as long only as the system waits for an acknowledgement, which it sends none of."""
    monkeypatch.setitem(tcp._TCP_OPTIONS, "TCP_USER_TIMEOUT", 300)

    async def pause(_stream, got, _length):
        if got < MB and not paused:
            paused.append(got)
            await trio.sleep(1.5)

    paused, content = [], CONTENT
    server = Server(pause)
    async with listening(server) as url, open_client(base_url=url) as client:
        await client.request("POST", "/x", body=RawBody(content))
    assert [digest_of(content)] == server.bodies


# --- what does not


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_stops_reading_is_unknown(way, authority, picture):
    async def stop(_stream, got, length):
        if got > length / 2:
            await trio.sleep_forever()

    server = Server(stop)
    async with reached(way, server, authority, UNREAD) as client:
        error = await failure_of(client, RawBody(await FileSource.at(picture)))
    assert re.match("(Write|Read)Timeout", error.text)  # a proxy may take the rest of it
    assert "unknown" == error.dispatched


@pytest.mark.parametrize("way", WAYS)
async def test_a_connection_that_is_cut_half_way_is_unknown(way, authority, picture):
    """The same body then goes out whole on a fresh one."""
    cuts = [True]

    async def cut(stream, got, length):
        if cuts and got > length / 2:
            cuts.pop()
            await trio.aclose_forcefully(stream)
            return True
        return False

    server = Server(cut)
    body = RawBody(await FileSource.at(picture))
    async with reached(way, server, authority) as client:
        error = await failure_of(client, body)
        assert not isinstance(error, UnreadableSource)
        assert "unknown" == error.dispatched
        assert 200 == (await client.request("POST", "/x", body=body)).status
    assert ([digest_of(CONTENT)], 2) == (server.bodies, server.began)


# A proxy may lose the answer of a server that closes with a reset.
CLOSING = [("plain", "closes"), ("tls", "closes")]


@pytest.mark.parametrize(
    ("way", "then"),
    [*product(WAYS, ["reads on", "is silent"]), *CLOSING],
)
async def test_a_refusal_in_the_middle_is_the_answer(way, then, authority, picture):
    """It comes at once, whatever the server does with the rest; the connection is closed."""
    refused = []

    async def refuse(stream, got, length):
        if got > length / 2 and len(refused) < 1:
            refused.append(got)
            await stream.send_all(TOO_LARGE)
            if then == "is silent":
                await trio.sleep_forever()
            if then == "closes":
                return True
        return False

    server = Server(refuse)
    body = RawBody(await FileSource.at(picture))
    async with reached(way, server, authority) as client:
        answer = await client.request("POST", "/x", body=body)
        assert (413, b"big") == (answer.status, answer.body)
        assert 200 == (await client.request("POST", "/x", body=body)).status
    # A proxy may hold the rest of the first, for a server that reads on.
    assert ({digest_of(CONTENT)}, 2) == (set(server.bodies), server.began)


async def test_an_idle_connection_that_was_closed_meanwhile_is_not_used():
    async def handler(stream):
        async with stream:
            await stream.receive_some(1 << 20)
            await stream.send_all(OK)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
            url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
            async with open_client(base_url=url) as client:
                for _ in range(5):
                    answer = await client.request("POST", "/x", body=RawBody(b"abc"))
                    assert 200 == answer.status
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()


# --- files that change while they are sent


def shrink(path):
    path.write_bytes(CONTENT[: MB // 2])


def grow(path):
    with path.open("ab") as file:
        file.write(b"x")


def rewrite(path):
    path.write_bytes(CONTENT[::-1])


@pytest.mark.parametrize("change", [shrink, grow, rewrite])
@pytest.mark.parametrize("cached", [True, False])
async def test_a_file_that_changes_while_it_is_sent_never_arrives(
    change, cached, picture, monkeypatch
):
    if not cached:
        monkeypatch.setattr(files, "_read_nowait", lambda *_: 0)
    changed = []

    async def while_it_is_sent(_stream, got, length):
        if got > length / 4 and not changed:
            changed.append(change(picture))
            await trio.sleep(0.02)

    server = Server(while_it_is_sent)
    async with listening(server) as url, open_client(base_url=url) as client:
        error = await failure_of(client, RawBody(await FileSource.at(picture)), UnreadableSource)
        assert "the file changed since its size was read" in error.text
        assert str(picture) in error.text
        assert "unknown" == error.dispatched
        await server.ended.wait()
        await client.request("POST", "/x", body=RawBody(b"next"))
    assert ([digest_of(b"next")], 2) == (server.bodies, server.began)


async def test_a_file_that_is_gone_or_another_is_not_dispatched(picture):
    server = Server()
    source = await FileSource.at(picture)
    async with listening(server) as url, open_client(base_url=url) as client:
        grow(picture)
        changed = await failure_of(client, RawBody(source), UnreadableSource)
        picture.unlink()
        gone = await failure_of(client, RawBody(source), UnreadableSource)
    assert ("no", "no") == (changed.dispatched, gone.dispatched)
    assert "the file changed since" in changed.text
    assert "No such file" in gone.text
    assert ([], 0) == (server.bodies, server.began)


# --- cancelling, and many at once


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def settled(before):
    """Whether no more files are open than before, once what was left behind has ended."""
    for _ in range(3000):
        if open_files() <= before:
            return True
        await trio.sleep(0.01)
    return False


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
async def test_a_hundred_cancelled_uploads_leave_nothing_open(picture):
    random = Random("cancels")
    source = await FileSource.at(picture)
    server = Server()

    async def cancelled(client):
        with trio.move_on_after(random.uniform(0, 0.02)):
            await client.request("POST", "/x", body=RawBody(source))

    async with listening(server) as url, open_client(base_url=url, max_connections=8) as client:
        await client.request("POST", "/x", body=RawBody(b"first"))
        before = open_files()
        for _ in range(10):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(cancelled, client)
        assert 200 == (await client.request("POST", "/x", body=RawBody(source))).status
        assert await settled(before)
    assert digest_of(CONTENT) == server.bodies[-1]


async def test_many_uploads_at_once_take_little_memory(tmp_path):
    """Twenty of four megabytes: eighty in all."""
    path = tmp_path / "large"
    path.write_bytes(bytes(4 * MB))
    source = await FileSource.at(path)

    async def slow(_stream, _got, _length):
        await trio.lowlevel.checkpoint()

    async with listening(Server(slow)) as url, open_client(base_url=url) as client:
        tracemalloc.start()
        async with trio.open_nursery() as nursery:
            for number in range(20):
                field = FormField("f", source, filename=str(number))
                nursery.start_soon(partial(client.request, "POST", "/x", body=Multipart([field])))
        peak = tracemalloc.get_traced_memory()[1] / MB
        tracemalloc.stop()
    assert peak < 16
