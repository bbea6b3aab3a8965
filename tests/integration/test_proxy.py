"""Requests through a proxy that is a process of its own, over TLS with certificates made here."""

import logging
import os
import socket
import ssl
import traceback
from base64 import b64encode
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
import trustme
from connect_proxy import proxy
from listening import listening
from ports import free_port

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import Secret, open_gateway, parse_config
from gateway_core.authors import TransportError
from gateway_core.http import NetworkSettings, Timeouts, open_client

CREDENTIALS = "squirrel:hazelnut-0419"
ENCODED = b64encode(CREDENTIALS.encode()).decode()
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
UNCONNECTED = Timeouts(connect=0.5, write=30, read=30, pool=30, total=60)
UNANSWERED = Timeouts(connect=30, write=30, read=0.5, pool=30, total=60)
PATIENT = Timeouts(connect=30, write=30, read=30, pool=30, total=60)
VARIABLES = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A company's authority: its own file, a server's certificate, and one for clients."""
    folder = tmp_path_factory.mktemp("certificates")
    made = trustme.CA()
    made.cert_pem.write_to_path(folder / "ca.pem")
    made.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    client = made.issue_cert("bot@company.example")
    client.private_key_pem.write_to_path(folder / "client.key")
    client.cert_chain_pems[0].write_to_path(folder / "client.pem")
    return folder


class Platform:
    """What a platform got: the requests that it read whole."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = 0
        self.read = b""
        self.asked = trio.Event()

    async def handle(self, stream):
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
                while more := await stream.receive_some():
                    data += more
                    self.read += more
                    if data.endswith(b"\r\n\r\n{}"):
                        self.requests += 1
                        self.asked.set()
                        data = b""
                        await self.answer(stream)


async def yes(stream):
    await stream.send_all(OK)


async def nothing(_stream):
    await trio.sleep_forever()


@asynccontextmanager
async def platform(authority, answer=yes, *, clients=False):
    """A platform behind TLS; yields its URL and what it got."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "server.pem")
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority / "ca.pem")
    got = Platform(answer)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(
                partial(trio.serve_ssl_over_tcp, got.handle, 0, context, host="127.0.0.1")
            )
            port = listener.transport_listener.socket.getsockname()[1]
            yield f"https://localhost:{port}", got
            nursery.cancel_scope.cancel()


async def ask(url, timeouts=PATIENT, **network):
    async with open_client(
        base_url=url, timeouts=timeouts, network=NetworkSettings(**network)
    ) as client:
        return await client.request("POST", "/x", json={})


async def killed_after(event, between):
    await event.wait()
    await between.kill()


async def failure_of(url, timeouts=PATIENT, **network):
    with pytest.raises(TransportError) as caught:
        await ask(url, timeouts, **network)
    return caught.value


# -- a tunnel


@pytest.mark.parametrize("speaks_tls", [False, True])
async def test_requests_go_through_the_tunnel(authority, speaks_tls):
    certificate = str(authority / "server.pem") if speaks_tls else None
    async with platform(authority) as (url, got), proxy(certificate=certificate) as between:
        response = await ask(url, proxy=between.url, ca_file=authority / "ca.pem")
        await between.kill()
    assert (200, 1) == (response.status, got.requests)
    assert [{"target": url.removeprefix("https://"), "credentials": None}] == between.seen


async def test_one_tunnel_carries_many_requests(authority):
    async with platform(authority) as (url, got), proxy() as between:
        way = NetworkSettings(proxy=between.url, ca_file=authority / "ca.pem")
        async with open_client(base_url=url, network=way) as client:
            for _ in range(5):
                await client.request("POST", "/x", json={})
        await between.kill()
    assert (5, 1) == (got.requests, len(between.seen))


async def test_credentials_reach_the_proxy_and_not_the_platform(authority):
    async with platform(authority) as (url, got), proxy(credentials=ENCODED) as between:
        way = {"proxy": between.url, "proxy_credentials": Secret(CREDENTIALS)}
        response = await ask(url, ca_file=authority / "ca.pem", **way)
        await between.kill()
    assert (200, ENCODED) == (response.status, between.seen[0]["credentials"])
    assert b"POST /x" in got.read
    assert b"authorization" not in got.read.lower()


async def test_plain_http_to_loopback_goes_through_it_too(authority):
    async with proxy() as between, trio.open_nursery() as nursery:
        got = Platform(yes)
        [listener] = await nursery.start(partial(trio.serve_tcp, got.handle, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        response = await ask(f"http://127.0.0.1:{port}", proxy=between.url)
        await between.kill()
        nursery.cancel_scope.cancel()
    assert (200, 1) == (response.status, got.requests)
    assert [f"127.0.0.1:{port}"] == [each["target"] for each in between.seen]


# -- what fails before the tunnel stands was not sent

BEFORE = [
    ({"answer": 403}, "answered 403 No to CONNECT"),
    ({"answer": 502}, "answered 502 No to CONNECT"),
    ({"answer": 302}, "answered 302 No to CONNECT"),
    ({"credentials": ENCODED}, "it takes credentials of Basic"),
    ({"raw": ""}, "closed the connection without an answer"),
    ({"raw": "SSH-2.0-OpenSSH_9.2\r\n\r\n"}, "its answer to CONNECT is not HTTP"),
    ({"raw": "HTTP/1.1 200 OK\r\n\r\nhello"}, "sent more than its answer to CONNECT"),
    ({"raw": "HTTP/1.1 200 OK\r\nx: " + 70_000 * "y"}, "its answer to CONNECT has no end"),
    ({"raw": "HTTP/1.1 200 OK\r\n"}, "closed the connection without an answer"),
    ({"delay": 30}, "no connection within 0.5 s through the proxy localhost:"),
]


@pytest.mark.parametrize(("manners", "words"), BEFORE, ids=[str(m)[:40] for m, _ in BEFORE])
async def test_what_fails_before_the_tunnel_was_not_sent(authority, manners, words):
    async with platform(authority) as (url, got), proxy(**manners) as between:
        timeouts = UNCONNECTED if "delay" in manners else PATIENT
        error = await failure_of(url, timeouts, proxy=between.url, ca_file=authority / "ca.pem")
    assert ("no", 0) == (error.dispatched, got.requests)
    assert words in error.text
    assert between.url.partition("//")[2] in error.text


async def test_a_proxy_that_is_not_there_sends_nothing(authority):
    async with platform(authority) as (url, got):
        error = await failure_of(url, proxy=f"http://127.0.0.1:{free_port()}")
    assert ("no", 0) == (error.dispatched, got.requests)
    assert "the proxy 127.0.0.1:" in error.text


async def test_a_proxy_that_dies_before_it_answers_sent_nothing(authority):
    async with (
        platform(authority) as (url, got),
        proxy(delay=30) as between,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(killed_after, between.asked, between)
        error = await failure_of(url, proxy=between.url, ca_file=authority / "ca.pem")
    assert ("no", 0) == (error.dispatched, got.requests)


async def test_a_platform_that_the_proxy_does_not_reach_was_sent_nothing(authority):
    async with proxy() as between:
        error = await failure_of(
            f"https://localhost:{free_port()}", proxy=between.url, ca_file=authority / "ca.pem"
        )
    assert "no" == error.dispatched


# -- what fails after it may have arrived


async def test_a_proxy_that_dies_with_the_request_leaves_it_unknown(authority):
    async with (
        platform(authority, nothing) as (url, got),
        proxy() as between,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(killed_after, got.asked, between)
        error = await failure_of(url, proxy=between.url, ca_file=authority / "ca.pem")
    assert ("unknown", 1) == (error.dispatched, got.requests)


async def test_an_answer_that_never_comes_through_it_leaves_it_unknown(authority):
    async with platform(authority, nothing) as (url, got), proxy() as between:
        error = await failure_of(url, UNANSWERED, proxy=between.url, ca_file=authority / "ca.pem")
    assert ("unknown", 1) == (error.dispatched, got.requests)
    assert "ReadTimeout: nothing came for 0.5 s" == error.text


async def test_a_tunnel_that_died_idle_costs_no_request(authority):
    """The next request is told before it is written, or finds a new proxy refused: not sent."""
    async with platform(authority) as (url, got), proxy() as between:
        way = NetworkSettings(proxy=between.url, ca_file=authority / "ca.pem")
        async with open_client(base_url=url, network=way, timeouts=PATIENT) as client:
            await client.request("POST", "/x", json={})
            await between.kill()
            with pytest.raises(TransportError) as caught:
                await client.request("POST", "/x", json={})
    assert ("no", 1) == (caught.value.dispatched, got.requests)


# -- certificates


async def test_the_systems_authorities_do_not_vouch_for_a_companys(authority):
    async with platform(authority) as (url, got):
        error = await failure_of(url)
    assert ("no", 0) == (error.dispatched, got.requests)
    assert "CERTIFICATE_VERIFY_FAILED" in error.text


async def test_an_authority_of_ones_own_is_trusted_alone(authority):
    stranger = trustme.CA()
    async with platform(authority) as (url, got):
        assert 200 == (await ask(url, ca_file=authority / "ca.pem")).status
        with stranger.cert_pem.tempfile() as other:
            error = await failure_of(url, ca_file=other)
    assert ("no", 1) == (error.dispatched, got.requests)


async def test_a_certificate_for_another_name_is_refused(authority):
    async with platform(authority) as (url, got):
        error = await failure_of(
            url.replace("localhost", "127.0.0.1"), ca_file=authority / "ca.pem"
        )
    assert ("no", 0) == (error.dispatched, got.requests)


async def test_a_client_shows_its_certificate(authority):
    way = {
        "ca_file": authority / "ca.pem",
        "client_certificate": authority / "client.pem",
        "client_key": authority / "client.key",
    }
    async with platform(authority, clients=True) as (url, got):
        assert 200 == (await ask(url, **way)).status
    assert 1 == got.requests


def refuse_clients(listening, authority):
    """Shake hands with one client that shows no certificate, as OpenSSL's own servers do."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority / "ca.pem")
    accepted, _ = listening.accept()
    with context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as inside:
        with suppress(ssl.SSLError):
            inside.do_handshake()
            pytest.fail("nobody was asked for a certificate")
        # the client sends nothing more, or has left already
        with socket.socket(fileno=os.dup(inside.fileno())) as plain, suppress(OSError):
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(65536):
                pass


@pytest.mark.parametrize("through", [False, True])
async def test_a_client_without_one_has_sent_nothing(authority, through):
    """In TLS 1.3 the refusal comes after the request was written; it is one all the same."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"https://localhost:{listening.getsockname()[1]}"
        async with trio.open_nursery() as nursery, proxy() as between:
            nursery.start_soon(trio.to_thread.run_sync, refuse_clients, listening, authority)
            way = {"proxy": between.url} if through else {}
            error = await failure_of(url, ca_file=authority / "ca.pem", **way)
    assert "CERTIFICATE_REQUIRED" in error.text
    assert "no" == error.dispatched


async def test_a_file_that_is_gone_when_it_connects_sends_nothing(authority, tmp_path):
    copy = tmp_path / "ca.pem"
    copy.write_bytes((authority / "ca.pem").read_bytes())
    network = NetworkSettings(ca_file=copy)
    copy.unlink()
    async with (
        platform(authority) as (url, got),
        open_client(base_url=url, network=network) as client,
    ):
        with pytest.raises(TransportError, match="ca_file") as caught:
            await client.request("POST", "/x", json={})
    assert ("no", 0) == (caught.value.dispatched, got.requests)


# -- the environment, which is not trusted unless someone says so


async def test_variables_are_nothing_without_the_switch(authority, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    async with platform(authority) as (url, got):
        error = await failure_of(url)
        assert 200 == (await ask(url, ca_file=authority / "ca.pem")).status
    assert "CERTIFICATE_VERIFY_FAILED" in error.text
    assert 1 == got.requests


async def test_variables_lead_the_way_with_the_switch(authority, monkeypatch):
    """No proxy is asked for `localhost` by them, so this one is asked for another name."""
    async with platform(authority) as (url, got), proxy(answer=503) as between:
        monkeypatch.setenv("HTTPS_PROXY", between.url.replace("//", f"//{CREDENTIALS}@"))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
        error = await failure_of("https://api.example", trust_environment=True)
        assert 200 == (await ask(url, trust_environment=True)).status
        await between.kill()
    assert "no" == error.dispatched
    assert "answered 503" in error.text
    assert [{"target": "api.example:443", "credentials": ENCODED}] == between.seen
    assert 1 == got.requests


async def test_no_proxy_is_kept_to(authority, monkeypatch):
    async with proxy(answer=503) as between:
        monkeypatch.setenv("https_proxy", between.url)
        monkeypatch.setenv("no_proxy", "corp.invalid")
        direct = await failure_of("https://chat.corp.invalid", trust_environment=True)
        await failure_of("https://chat.invalid", trust_environment=True)
        await between.kill()
    assert "the proxy" not in direct.text
    assert ["chat.invalid:443"] == [each["target"] for each in between.seen]


# -- secrets


async def test_no_error_log_or_traceback_shows_the_credentials(authority):
    told = []
    logging.getLogger().setLevel(logging.DEBUG)
    with listening(lambda *line: told.append(repr(line)), told.append):
        async with platform(authority) as (url, _), proxy(credentials="other") as between:
            way = NetworkSettings(proxy=between.url, proxy_credentials=Secret(CREDENTIALS))
            async with open_client(base_url=url, network=way) as client:
                with pytest.raises(TransportError) as caught:
                    await client.request("POST", "/x", json={})
    error = caught.value
    assert "407 Not you, ***" in error.text
    told += [repr(way), repr(error)]
    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    told += [repr(frame.locals) for frame in frames if "gateway_core" in frame.filename]
    assert len(told) >= 3
    for secret in ("hazelnut", ENCODED):
        assert secret not in "\n".join(told)


async def test_a_user_s_name_that_is_a_word_of_the_error_leaves_the_error_readable(authority):
    async with proxy(raw="HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as between:
        credentials = Secret("proxy:hazelnut")
        error = await failure_of(
            "https://localhost:1", proxy=between.url, proxy_credentials=credentials
        )
    assert "ProxyError: the proxy" in error.text
    assert "407 Proxy Authentication Required" in error.text


async def test_no_error_shows_the_beginning_of_credentials_where_it_is_cut():
    for before in range(140, 196, 7):
        line = f"{'p' * before} {CREDENTIALS} {ENCODED}"
        async with proxy(raw=f"HTTP/1.1 407 {line}\r\n\r\n") as between:
            way = {"proxy": between.url, "proxy_credentials": Secret(CREDENTIALS)}
            error = await failure_of("https://localhost:1", **way)
        assert "ppp" in error.text
        for secret in (CREDENTIALS, ENCODED):
            assert secret[:6] not in error.text


async def test_no_error_shows_credentials_in_letters_of_their_own(authority):
    """A proxy quotes them as they are, in UTF-8; its words apart are too short to be known."""
    credentials = "ekorn:nøtt å 04"
    async with proxy(raw=f"HTTP/1.1 407 {credentials} or nøtt å 04\r\n\r\n") as between:
        error = await failure_of(
            "https://localhost:1", proxy=between.url, proxy_credentials=Secret(credentials)
        )
    assert "answered 407 *** or *** to CONNECT" in error.text


# -- each channel, by its settings in a file


@asynccontextmanager
async def in_tls(authority, app):
    """An emulator behind TLS."""
    async with trio.open_nursery() as nursery:
        inner = await nursery.start(serve, app)
        host, port = inner.removeprefix("http://").split(":")

        async def pass_on(stream):
            there = await trio.open_tcp_stream(host, int(port))
            async with stream, there, trio.open_nursery() as both:
                both.start_soon(relay, stream, there, both.cancel_scope)
                both.start_soon(relay, there, stream, both.cancel_scope)

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority / "server.pem")
        [listener] = await nursery.start(
            partial(trio.serve_ssl_over_tcp, pass_on, 0, context, host="127.0.0.1")
        )
        yield f"https://localhost:{listener.transport_listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def relay(source, sink, done):
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for data in source:
            await sink.send_all(data)
    done.cancel()


CHANNELS = {
    "telegram": (TelegramEmulator, "", "123456789:AAbcdefghijklmnopqrstuvwxyz", "-1001777000123"),
    "slack": (SlackEmulator, "/api", "xoxb-1-2-three", "C0GENERAL"),
    "discord": (DiscordEmulator, "/api/v10", "a.bots.token", "130000000000001234"),
}


@pytest.mark.parametrize("channel", CHANNELS)
async def test_each_channel_sends_through_it(authority, channel):
    make, path, token, room = CHANNELS[channel]
    with trio.fail_after(60):
        async with in_tls(authority, make().app) as url, proxy(credentials=ENCODED) as between:
            table = {
                "channel": channel,
                "token": token,
                "base_url": f"{url}{path}",
                "proxy": between.url,
                "proxy_credentials": {"env": "PROXY"},
                "ca_file": "ca.pem",
            }
            config = parse_config(
                {"instances": {"bot": table}}, environ={"PROXY": CREDENTIALS}, folder=authority
            )
            async with open_gateway(config) as gateway:
                receipt = await gateway.send("bot", room, "hello")
            await between.kill()
    assert "delivered" == receipt.disposition
    assert {url.removeprefix("https://")} == {each["target"] for each in between.seen}


async def test_a_proxys_no_costs_attempts_and_no_copies(authority):
    """What was not sent through a proxy that refuses is sent once when it does not any more."""
    make, path, token, room = CHANNELS["telegram"]
    emulator = make()
    async with in_tls(authority, emulator.app) as url, proxy(answer=502) as refusing:
        table = {"channel": "telegram", "token": token, "base_url": f"{url}{path}"}
        way = {"proxy": refusing.url, "ca_file": "ca.pem"}
        config = parse_config({"instances": {"bot": table | way}}, folder=authority)
        async with open_gateway(config) as gateway, proxy() as between:
            ticket = await gateway.enqueue("bot", room, "hello")
            await refusing.asked.wait()
            way = {"proxy": between.url, "ca_file": "ca.pem"}
            fresh = parse_config({"instances": {"bot": table | way}}, folder=authority)
            gateway.replace_instance(fresh.instances[0])
            receipt = await ticket.receipt()
    assert "delivered" == receipt.disposition
    assert not receipt.possible_duplicate
    assert 1 == len(emulator.rooms.conversation(room))
