"""No secret leaves the process but to its platform: real sockets, every log at debug, both exports.

The platforms here are spiteful: whatever goes wrong quotes the request back, token and all.
"""

from __future__ import annotations

import json
import re
import traceback
from contextlib import suppress
from functools import partial
from itertools import cycle
from urllib.parse import quote

import attrs
import pytest
import structlog
import trio
from listening import listening
from ports import free_port, scraped
from secrecy import found_in

from gateway_contrib.otel import OtelSettings, open_telemetry
from gateway_core import GatewayError, open_gateway, parse_config

COLLECTOR = "collector-secret-collector"
TOKENS = {
    "telegram": "987654321:AAspitefulAAspitefulAAspitefulAA",
    "slack": "xoxb-spiteful-slack-spiteful",
    "discord": "spiteful.discord.spiteful-discord",
}
ROTATION = {
    "refresh_token": "xoxe-1-spiteful-refresh",
    "client_id": "client-of-no-consequence",
    "client_secret": "client-secret-spiteful",
}
ROTATED = ("xoxe.xoxb-1-rotated-spiteful", "xoxe-1-rotated-refresh")
SECRETS = [
    *TOKENS.values(), ROTATION["refresh_token"], ROTATION["client_secret"], *ROTATED, COLLECTOR,
]  # fmt: skip
ROOMS = {"telegram": "-1001777000123", "slack": "C0SPITEFUL", "discord": "130000000000001234"}
PATHS = {"telegram": "", "slack": "/api", "discord": "/api/v10"}
WORDS = "mandragora figures"


# -- what was told


@attrs.define(eq=False)
class Told:
    """Everything, as text by where it was."""

    texts: dict = attrs.field(factory=dict)

    def add(self, where, text):
        self.texts[where] = self.texts.get(where, "") + text + "\n"


def heard(told):
    """Every line of structlog's and of the standard library's loggers, as people would see it."""
    render = structlog.dev.ConsoleRenderer(colors=False)

    def note(name, level, fields):
        line = render(None, level, {"event": name, "level": level, **fields})
        told.add("structlog", line)

    return listening(note, lambda line: told.add("logging", line))


# -- who answers


async def read_request(stream):
    """The head and the body, as they came."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some()
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        body += await stream.receive_some()
    return head.decode(), body


def answer(status, body, kind="application/json", **headers):
    payload = (json.dumps(body) if kind == "application/json" else body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"content-type: {kind}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"content-length: {len(payload)}", "", ""]
    return "\r\n".join(lines).encode() + payload


def refusal(channel, status, words):
    """A refusal in the platform's own shape, in these words."""
    if channel == "telegram":
        return answer(status, {"ok": False, "error_code": status, "description": words})
    if channel == "slack":
        return answer(
            200, {"ok": False, "error": words, "response_metadata": {"messages": [words]}}
        )
    return answer(status, {"code": 50035, "message": words, "errors": {"content": words}}, via="1")


def spite(channel, what, head):
    """The answer that quotes the request in this way; None: silence."""
    line = " ".join(head.split())
    if what == "expired" and channel == "slack":
        return answer(200, {"ok": False, "error": "token_expired", "needed": line})
    page = f"<html>{line}</html>"
    limited = {"retry_after": 0, "message": line, "description": line, "global": line}
    return {
        "quoted": refusal(channel, 400, f"Bad Request: {line}"),
        "expired": refusal(channel, 404, line),
        "forbidden": refusal(channel, 403, f"Forbidden: {line}"),
        "page": answer(502, page, "text/html"),
        "limited": answer(429, limited, retry_after="0", via="1"),
        "garbage": f"{line}\r\n\r\n".encode(),
        "cut": f"HTTP/1.1 200 {line}\r\ncontent-length: 900\r\n\r\n{line}".encode(),
        "wrong": answer(200, line),
        "moved": answer(302, {}, location=f"http://127.0.0.1:1/{quote(line)}"),
        "silence": None,
    }[what]


WAYS = (
    "quoted", "page", "limited", "garbage", "cut", "wrong", "moved", "silence", "forbidden",
    "expired",
)  # fmt: skip


EVERY_WAY = {(channel, way) for channel in TOKENS for way in WAYS}


def platform(channel, met):
    """A platform that answers the requests of its channel in every way, over and over."""
    ways = cycle(WAYS)

    async def serve(stream):
        async with stream:
            while (request := await read_request(stream)) is not None:
                head, body = request
                if "oauth.v2.access" in head:
                    access, refresh = ROTATED
                    sent = answer(
                        200, {"ok": True, "access_token": access, "refresh_token": refresh}
                    )
                else:
                    old = channel == "slack" and TOKENS["slack"] in head
                    way = "expired" if old else next(ways)
                    met.add((channel, way))
                    met.update(s for s in SECRETS if s in head or s in body.decode())
                    sent = spite(channel, way, head)
                if sent is None:
                    await trio.sleep(30)
                    return
                await stream.send_all(sent)
                if way_ends(sent):
                    return

    async def guarded(stream):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await serve(stream)

    return guarded


def way_ends(sent):
    """Whether the connection cannot be used after this."""
    return not sent.startswith(b"HTTP/1.1 ") or b"content-length: 900" in sent


def collector(told):
    """Takes what OTLP sends it, and refuses half of it."""
    refused = cycle((False, True))

    async def serve(stream):
        async with stream:
            while (request := await read_request(stream)) is not None:
                head, body = request
                told.add("otlp", body.decode("latin-1"))
                told.add("heads", head)
                status = 400 if next(refused) else 200
                await stream.send_all(answer(status, head, "text/plain"))

    return serve


async def serve(nursery, handler):
    listeners = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
    return listeners[0].socket.getsockname()[1]


def tables(ports):
    """An instance of each channel at a spiteful platform, and one where nobody listens."""
    found = {}
    for channel, token in TOKENS.items():
        for name, port in ((channel, ports[channel]), (f"{channel}-shut", free_port())):
            base = f"http://127.0.0.1:{port}{PATHS[channel]}"
            found[name] = {"channel": channel, "token": token, "base_url": base}
    found["slack"] |= ROTATION
    return found


async def send(gateway, told, instance, number):
    try:
        text = f"**{WORDS}** {number}"
        room = f"{ROOMS[instance.removesuffix('-shut')]}{number}"
        receipt = await gateway.send(instance, room, text, ttl=5, order="none")
        told.add("values", f"{receipt!r} {receipt}")
    except GatewayError as error:
        told.add("errors", f"{error!r} {error} {error.args!r} {vars(error)!r}")
        told.add("errors", "".join(traceback.format_exception(error)))


async def ask(gateway, told, instance):
    try:
        told.add("values", repr(await gateway.probe(instance)))
    except GatewayError as error:
        told.add("errors", "".join(traceback.format_exception(error)) + repr(vars(error)))


async def spiteful_night(told, met):
    async with trio.open_nursery() as servers:
        ports = {c: await serve(servers, platform(c, met)) for c in TOKENS}
        at = await serve(servers, collector(told))
        retries = {"attempts": 3, "base": 0.05, "cap": 0.1, "quarantine": 0.1}
        config = parse_config(
            {"instances": tables(ports), "attempt_timeout": 1.0, "retries": retries}
        )
        scrape = free_port()
        settings = OtelSettings(
            otlp=f"http://127.0.0.1:{at}", prometheus=f"127.0.0.1:{scrape}", sampling=1.0,
            interval=1.0, batch=8,
        )  # fmt: skip
        async with (
            open_telemetry(settings) as providers,
            open_gateway(config, providers=providers) as gateway,
        ):
            for first in range(0, 600, 12):  # on a busy machine some ways are not met at once
                async with trio.open_nursery() as nursery:
                    for instance in tables(ports):
                        nursery.start_soon(ask, gateway, told, instance)
                        for number in range(first, first + 12):
                            nursery.start_soon(send, gateway, told, instance, number)
                if EVERY_WAY <= met:
                    break
            for value in (gateway, config, config.instances, gateway.statistics()):
                told.add("values", f"{value!r} {value}")
            told.add("prometheus", await trio.to_thread.run_sync(scraped, scrape))
        servers.cancel_scope.cancel()


@pytest.fixture(scope="module")
def spiteful():
    """What was told of a night among spiteful platforms, and what they met."""
    told, met = Told(), set()
    with pytest.MonkeyPatch.context() as patch, heard(told):
        patch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer {COLLECTOR}")
        trio.run(spiteful_night, told, met)
    return told, met


EVERYWHERE = ("structlog", "logging", "otlp", "prometheus", "errors", "values")


def test_every_way_to_quote_a_request_was_met_with_every_secret(spiteful):
    """The secrets were on the wire, those of the rotation among them; the collector's too."""
    told, met = spiteful
    assert EVERY_WAY <= met
    assert set() == {*TOKENS.values(), ROTATED[0]} - met
    assert COLLECTOR in told.texts["heads"]


@pytest.mark.parametrize("where", EVERYWHERE)
def test_no_secret_is_told_among_spiteful_platforms(spiteful, where):
    told, _ = spiteful
    assert len(told.texts[where]) > 1_000
    assert [] == found_in(told.texts[where], SECRETS)


@pytest.mark.parametrize("where", ["structlog", "logging", "otlp", "prometheus"])
def test_no_room_is_named_and_no_text_quoted(spiteful, where):
    told, _ = spiteful
    assert [] == [word for word in (*ROOMS.values(), WORDS) if word in told.texts[where]]
