"""Files that the gateway fetches itself, from hosts that were allowed to it, or not."""

import errno
import ssl
import tempfile
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
from fetched_from import CAT, MOST, NoUrls, answer, serving

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_core import (
    Disposition,
    File,
    FilesSettings,
    GatewayConfig,
    Instance,
    Invalid,
    OutboxError,
    Secret,
    Send,
    open_gateway,
)
from gateway_core.authors import hookimpl
from gateway_core.contract.beside.origins import FetchError, read_origin
from gateway_core.http import Timeouts
from gateway_core.http.fetching import fetch
from gateway_core.testing import FakeChannel, FakeSettings, open_network
from gateway_plugin_discord.settings import DiscordSettings


@pytest.fixture
async def host():
    async with serving() as made:
        yield made


class Stamps:
    """A policy that puts a stamp before the files of a message."""

    def __init__(self, url):
        self.url = url

    @hookimpl
    def rewrite(self, envelope):
        stamp = File(self.url)
        if not isinstance(envelope, Send) or stamp.name in [file.name for file in envelope.files]:
            return None
        return attrs.evolve(envelope, files=(stamp, *envelope.files))


@asynccontextmanager
async def gateway_to(*hosts, policies=()):
    channel = FakeChannel()
    config = GatewayConfig(
        instances=[Instance("bot", "fake", FakeSettings())],
        files=FilesSettings(fetch_from=hosts),
    )
    async with open_gateway(config, plugins=[NoUrls(), ("fake", channel), *policies]) as gateway:
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


def sends(host, *names, text="a cat"):
    """Envelopes, each with the files of these names."""
    return [
        Send(
            instance_id="bot",
            external_room_id=f"room-{number}",
            text=text,
            files=tuple(File(f"{host.url}/{name}") for name in some.split()),
        )
        for number, some in enumerate(names)
    ]


async def test_the_envelopes_of_a_group_fetch_each_file_once(opened):
    gateway, channel, host = opened
    host.pages["/dog.png"] = answer(b"dog")
    many = sends(host, "cat.png", "dog.png cat.png", "cat.png")
    again = File(many[0].files[0].source, name="tom.png", media_type="image/gif")
    many.append(attrs.evolve(many[0], files=(again,)))
    await (await gateway.submit_many(many)).wait()
    assert [b"/cat.png", b"/dog.png"] == [head.split()[1] for head in host.asked]
    files = {}
    for made in channel.made:
        of_one = [(each.file.name, each.file.media_type) for each in made.attempt.files]
        files.setdefault(made.attempt.room, []).append(of_one)
    cat, dog, tom = ("cat.png", "image/png"), ("dog.png", "image/png"), ("tom.png", "image/gif")
    assert {"room-0": [[cat], [tom]], "room-1": [[dog, cat]], "room-2": [[cat]]} == files
    assert {CAT, b"dog"} == set(channel.contents.values())


async def test_nothing_more_is_fetched_for_a_group_after_one_that_is_not(opened):
    gateway, channel, host = opened
    many = sends(host, "cat.png", "cat.png gone.png", "cat.png other.png")
    host.pages["/gone.png"] = answer(b"", status="410 Gone")
    with pytest.raises(Invalid, match=r"^envelopes\.1: files\.1: .* was not fetched: its host"):
        await gateway.submit_many(many)
    assert [b"/cat.png", b"/gone.png"] == [head.split()[1] for head in host.asked]
    assert {} == channel.contents


@pytest.fixture
async def stamping(host):
    host.pages["/stamp.png"] = answer(b"stamp")
    stamps = Stamps(f"{host.url}/stamp.png")
    async with gateway_to(host.url, policies=[stamps]) as (gateway, channel):
        yield gateway, channel, host


async def test_a_file_of_a_policy_is_fetched(stamping, autojump_clock):
    gateway, channel, host = stamping
    receipt = await gateway.send("bot", "room", "a cat", files=[File(f"{host.url}/cat.png")])
    assert ["stamp.png", "cat.png"] == [file.name for file in receipt.ref.parts[0].files]
    assert {b"stamp", CAT} == set(channel.contents.values())
    host.pause = 30
    late = await gateway.send("bot", "room", "no cat", ttl=50, raises=False)
    assert Disposition.EXPIRED == late.disposition
    host.pages["/stamp.png"] = answer(b"", status="410 Gone")
    with pytest.raises(Invalid, match=r"files\.0: .*/stamp\.png' was not fetched"):
        await gateway.send("bot", "room", "no cat")


async def test_a_large_file_goes_beside_one_that_is_fetched(stamping, tmp_path, monkeypatch):
    """Too large to be held in memory, that is: its channel is asked before it is read."""
    gateway, channel, host = stamping
    monkeypatch.setattr("gateway_core.files.held.LARGEST", 1_000)
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(2_000))
    await gateway.send("bot", "room", "two files", files=[File(path)])
    many = [attrs.evolve(each, files=(File(path),)) for each in sends(host, "", "")]
    await (await gateway.submit_many(many)).wait()
    assert [["stamp.png", "large.bin"]] * 3 == [
        [each.file.name for each in made.attempt.files] for made in channel.made
    ]


async def test_a_group_fetches_a_file_of_a_policy_once(stamping):
    gateway, channel, host = stamping
    rooms = [f"room-{number}" for number in range(5)]
    await (await gateway.broadcast("bot", rooms, "no cat")).wait()
    await (await gateway.submit_many(sends(host, "cat.png", "", "cat.png"))).wait()
    assert [b"/stamp.png", b"/cat.png", b"/stamp.png"] == [h.split()[1] for h in host.asked]
    of_all, of_many = channel.made[:5], sorted(channel.made[5:], key=lambda m: m.attempt.room)
    names = [[each.file.name for each in made.attempt.files] for made in (*of_all, *of_many)]
    both = ["stamp.png", "cat.png"]
    assert [*5 * [["stamp.png"]], both, ["stamp.png"], both] == names
    host.pages["/stamp.png"] = answer(b"", status="410 Gone")
    for accept in (
        partial(gateway.broadcast, "bot", rooms, "no cat"),
        partial(gateway.submit_many, sends(host, "", "", "")),
    ):
        host.asked.clear()
        with pytest.raises(Invalid, match=r"\.0: .*files\.0: .*/stamp\.png' was not fetched"):
            await accept()
        assert 1 == len(host.asked)


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
        (answer(b"", "Location: http://127.0.0.1/", status="302 Found"), "HTTP 302 and redirects"),
        (answer(b"gone", status="404 Not Found"), "its host answers HTTP 404"),
        (answer(b"x", "Content-Encoding: gzip"), "it is compressed"),
        (answer(b""), "/cat.png' was not fetched: its answer is empty"),
        (answer(b"", length=False), "/cat.png' was not fetched: its answer is empty"),
        ([answer(CAT)[0], CAT[:20]], "the connection ended before the answer did"),
        ([b"SSH-2.0-OpenSSH_9.6\r\n"], "the answer is not HTTP"),
        (answer(bytes(MOST + 1)), "is too large"),
    ],
    ids=["redirect", "missing", "compressed", "empty", "without end", "cut", "no HTTP", "large"],
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


async def test_the_time_to_live_counts_while_a_file_is_fetched(opened, autojump_clock):
    """The answer comes in two pieces, half a minute after each other."""
    gateway, channel, host = opened
    host.pause = 30
    file = File(f"{host.url}/cat.png")
    receipt = await gateway.send("bot", "room", "", files=[file], ttl=50, raises=False)
    assert (Disposition.EXPIRED, []) == (receipt.disposition, channel.made)
    assert (await gateway.send("bot", "room", "", files=[file], ttl=70)).delivered


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
