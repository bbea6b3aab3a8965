"""Files that the gateway fetches itself, from hosts that were allowed to it, or not."""

import errno
import ssl
import tempfile
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from pictures import png

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_core import (
    File,
    FilesSettings,
    GatewayConfig,
    Instance,
    Invalid,
    OutboxError,
    Secret,
    open_gateway,
)
from gateway_core.authors import Problem, hookimpl
from gateway_core.contract.beside.origins import FetchError, read_origin
from gateway_core.http import Timeouts
from gateway_core.http.fetching import fetch
from gateway_core.testing import FakeChannel, FakeSettings, open_network
from gateway_plugin_discord.settings import DiscordSettings

CAT = png()
MOST = 100_000


class NoUrls:
    """A channel that fetches nothing but what is named `theirs`, and takes so many bytes."""

    @hookimpl
    def validate(self, envelope):
        """What it has against an envelope."""
        files = list(enumerate(getattr(envelope, "files", None) or ()))
        by_url = [f"files.{n}" for n, file in files if file.url and "theirs" not in file.url]
        large = [Problem(f"files.{n}", "is too large") for n, file in files if file.size > MOST]
        return [*(Problem(place, "it fetches nothing") for place in by_url), *large]


class Host:
    """Answers each path with what stands there, and remembers what it was asked."""

    def __init__(self):
        self.pages = {"/cat.png": answer(CAT, "Content-Type: image/png")}
        self.asked = []
        self.was_asked = trio.Event()
        self.sent = 0
        self.pause = 0
        self.speaks = lambda stream: stream

    async def handle(self, connected):
        async with self.speaks(connected) as stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                head = b""
                while b"\r\n\r\n" not in head:
                    head += await stream.receive_some()
                self.asked.append(head)
                self.was_asked.set()
                for piece in self.pages[head.split()[1].decode().partition("?")[0]]:
                    await trio.sleep(self.pause)
                    await stream.send_all(piece)
                    self.sent += len(piece)


def answer(body, *headers, status="200 OK", length=True):
    named = [*headers, *([f"Content-Length: {len(body)}"] if length else [])]
    return ["\r\n".join([f"HTTP/1.1 {status}", *named, "", ""]).encode(), body]


@pytest.fixture
async def host():
    made = Host()
    async with trio.open_nursery() as nursery:
        serving = partial(trio.serve_tcp, made.handle, 0, host="127.0.0.1")
        [listener] = await nursery.start(serving)
        made.port = listener.socket.getsockname()[1]
        made.url = f"http://127.0.0.1:{made.port}"
        yield made
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def gateway_to(*hosts):
    channel = FakeChannel()
    config = GatewayConfig(
        instances=[Instance("bot", "fake", FakeSettings())],
        files=FilesSettings(fetch_from=hosts),
    )
    async with open_gateway(config, plugins=[NoUrls(), ("fake", channel)]) as gateway:
        yield gateway, channel


@pytest.fixture
async def opened(host):
    async with gateway_to(host.url) as (gateway, channel):
        yield gateway, channel, host


async def refusal(gateway, url, **given):
    with pytest.raises(Invalid) as caught:
        await gateway.send("bot", "room", "a cat", files=[File(url, **given)])
    [problem] = caught.value.problems
    assert "files.0" == problem.place
    return problem.text


async def test_a_file_is_fetched_and_goes_as_its_bytes(opened, tmp_path, monkeypatch):
    gateway, channel, host = opened
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    receipt = await gateway.send("bot", "room", "a cat", files=[File(f"{host.url}/cat.png?sig=x")])
    assert [CAT] == list(channel.contents.values())
    [file] = receipt.ref.parts[0].files
    assert ("cat.png", "image/png", len(CAT)) == (file.name, file.media_type, file.size)
    [head] = host.asked
    assert head.startswith(b"GET /cat.png?sig=x HTTP/1.1\r\n")
    assert f"host: 127.0.0.1:{host.port}\r\n".encode() in head
    assert [] == [path for path in tmp_path.glob("*/*") if path.name == "0"]


async def test_a_broadcast_fetches_its_file_once(opened):
    gateway, channel, host = opened
    rooms = [f"room-{number}" for number in range(20)]
    job = await gateway.broadcast("bot", rooms, "a cat", files=[File(f"{host.url}/cat.png")])
    await job.wait()
    assert (1, {CAT}) == (len(host.asked), set(channel.contents.values()))
    assert rooms == sorted((made.attempt.room for made in channel.made), key=rooms.index)
    host.pages["/cat.png"] = answer(b"", status="410 Gone")
    with pytest.raises(Invalid, match=r"files\.0: .* was not fetched: its host answers HTTP 410"):
        await gateway.broadcast("bot", rooms, "a cat", files=[File(f"{host.url}/cat.png")])


async def test_what_the_platform_fetches_is_left_to_it(opened):
    gateway, _, host = opened
    url = f"{host.url}/theirs.png"
    refused = File(f"{host.url}/cat.png", name="mine.png", alt="a cat")
    with suppress(Exception):  # the channel of these tests has no way to take one by URL
        await gateway.send("bot", "room", "a cat", files=[File(url), refused])
    assert [b"/cat.png"] == [head.split()[1] for head in host.asked]


async def test_discord_gets_the_bytes(host):
    """Which fetches none, and says so at the place of the file."""
    discord = DiscordEmulator()
    config = GatewayConfig(
        instances=[
            Instance(
                "bot",
                "discord",
                DiscordSettings(
                    token=Secret("MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs")
                ),
            )
        ],
        files=FilesSettings(fetch_from=[host.url]),
    )
    async with open_network() as network:
        network.mount("https://discord.com", discord.app)
        async with open_gateway(config) as gateway:
            file = File(f"{host.url}/cat.png")
            await gateway.send("bot", "41771983423143937", "a cat", files=[file])
    [message] = discord.rooms.conversation("41771983423143937")
    assert ["cat.png"] == [file.name for file in message.files]


@pytest.mark.parametrize("hosts", [(), ("cdn.example.com",), ("127.0.0.1",)])
async def test_nothing_is_fetched_from_hosts_that_were_not_named(host, hosts):
    async with gateway_to(*hosts) as (gateway, _):
        assert "it fetches nothing" == await refusal(gateway, f"{host.url}/cat.png")
    assert [] == host.asked


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (answer(b"", "Location: http://127.0.0.1/", status="302 Found"), "HTTP 302 and leads else"),
        (answer(b"gone", status="404 Not Found"), "its host answers HTTP 404"),
        (answer(b"x", "Content-Encoding: gzip"), "it is compressed"),
        (answer(b""), "is empty"),
        ([answer(CAT)[0], CAT[:20]], "the connection ended before the answer did"),
        ([b"SSH-2.0-OpenSSH_9.6\r\n"], "the answer is no HTTP"),
        (answer(bytes(MOST + 1)), "is too large"),
    ],
    ids=["redirect", "missing", "compressed", "empty", "cut", "no HTTP", "large"],
)
async def test_why_a_file_is_not_fetched(opened, tmp_path, monkeypatch, page, said):
    gateway, channel, host = opened
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    host.pages["/cat.png"] = page
    text = await refusal(gateway, f"{host.url}/cat.png?sig=secret")
    assert said in text
    assert "secret" not in text
    assert ([], {}) == (list(tmp_path.iterdir()), channel.contents)


async def test_what_has_no_end_ends_where_the_channel_takes_no_more(opened):
    gateway, _, host = opened

    def endless():
        yield from answer(b"", length=False)
        while True:
            yield bytes(1 << 16)

    host.pages["/cat.png"] = endless()
    assert "is too large" == await refusal(gateway, f"{host.url}/cat.png")
    assert host.sent < 1 << 24


async def test_a_name_comes_from_the_url_or_is_asked_for(opened):
    gateway, _, host = opened
    host.pages["/%2e%2e%2fcat.png"] = host.pages["/cat.png"]
    host.pages["/"] = answer(CAT, "Content-Type: image/png; charset=x")
    with pytest.raises(Invalid, match=r"files\.0\.name: must be a name alone"):
        await gateway.send("bot", "room", "", files=[File(f"{host.url}/a%0a.png")])
    receipts = [
        await gateway.send("bot", "room", "", files=[file])
        for file in (File(f"{host.url}/%2e%2e%2fcat.png"), File(host.url))
    ]
    named = [receipt.ref.parts[0].files[0] for receipt in receipts]
    assert [("cat.png", "image/png"), ("file", "image/png")] == [
        (file.name, file.media_type) for file in named
    ]


class Resolver(trio.abc.HostnameResolver):
    """Says that every name leads there."""

    def __init__(self, *addresses):
        self.addresses = addresses

    async def getaddrinfo(self, host, port, *_):
        kind = trio.socket.AF_INET
        return [(kind, trio.socket.SOCK_STREAM, 6, "", (each, port)) for each in self.addresses]

    async def getnameinfo(self, sockaddr, flags):
        raise NotImplementedError


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "169.254.169.254"]])
async def test_a_name_that_leads_inside_is_refused(host, addresses):
    trio.socket.set_custom_hostname_resolver(Resolver(*addresses))
    async with gateway_to(f"cdn.example.com:{host.port}") as (gateway, _):
        text = await refusal(gateway, f"https://cdn.example.com:{host.port}/cat.png")
    assert "the name cdn.example.com leads to an address that is not public" in text
    assert [] == host.asked


@pytest.mark.parametrize("name", ["localhost", "cdn.example.com"])
async def test_its_certificate_is_the_one_of_the_host(host, name, monkeypatch):
    """Its address is looked at, and connected to; its name is asked for."""
    certificate = Path(__file__).parent / "certificates/localhost.pem"
    trusting = ssl.create_default_context(cafile=certificate)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    monkeypatch.setattr(fetch, "tls_context", lambda: trusting)
    monkeypatch.setattr(fetch, "is_public", lambda _: True)
    trio.socket.set_custom_hostname_resolver(Resolver("127.0.0.1"))
    host.speaks = partial(
        trio.SSLStream, ssl_context=serving, server_side=True, https_compatible=True
    )
    url = f"https://{name}:{host.port}"
    async with gateway_to(url) as (gateway, channel):
        if name == "localhost":
            await gateway.send("bot", "room", "a cat", files=[File(f"{url}/cat.png")])
            assert [CAT] == list(channel.contents.values())
        else:
            assert "CERTIFICATE_VERIFY_FAILED" in await refusal(gateway, f"{url}/cat.png")
            assert [] == host.asked


async def taken(host, timeouts):
    pieces = []

    async def take(piece):
        pieces.append(piece)

    url = f"{host.url}/cat.png"
    await fetch.fetch(url, read_origin(host.url), lambda _size, _kind: None, take, timeouts)
    return b"".join(pieces)


async def test_as_long_as_it_moves_it_is_no_timeout(host, autojump_clock):
    """Its host sends a byte every four seconds, and a minute is the bound of a whole request."""

    def slowly():
        yield answer(CAT)[0]
        yield from (CAT[at : at + 1] for at in range(len(CAT)))

    host.pause, host.pages["/cat.png"] = 4, slowly()
    assert CAT == await taken(host, Timeouts(read=30, total=60))


async def test_what_does_not_move_is_one(host, autojump_clock):
    host.pause = 100
    with pytest.raises(FetchError, match="nothing came for 30 s"):
        await taken(host, Timeouts(read=30, total=60))


async def test_a_disk_without_room_is_the_outbox_s(opened, monkeypatch):
    gateway, channel, host = opened

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gateway_core.files.fetching._write_all", full)
    with pytest.raises(OutboxError, match="a fetched file cannot be stored: No space left"):
        await gateway.send("bot", "room", "a cat", files=[File(f"{host.url}/cat.png")])
    assert {} == channel.contents


async def test_a_cancelled_caller_leaves_nothing(opened, tmp_path, monkeypatch):
    gateway, channel, host = opened
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    host.pause = 3_600
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            file = File(f"{host.url}/cat.png")
            nursery.start_soon(partial(gateway.send, "bot", "room", "a cat", files=[file]))
            await host.was_asked.wait()
            scope.cancel()
    assert ([], {}, 0) == (
        list(tmp_path.iterdir()),
        channel.contents,
        gateway.statistics().accepted,
    )
