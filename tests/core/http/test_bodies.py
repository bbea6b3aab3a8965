"""Streamed bodies: what they are on the wire, and what becomes of one whose source fails."""

import re
from contextlib import asynccontextmanager
from email.parser import BytesParser
from email.policy import HTTP

import attrs
import httpx2
import pytest
import trio

from gateway_core import ErrorClass, Reason, Scope
from gateway_core.authors import TransportError, UnreadableSource
from gateway_core.http import (
    BytesSource,
    FormField,
    Multipart,
    RawBody,
    Timeouts,
    open_client,
    transport_factory,
)
from gateway_core.http.bodies.outgoing import SourceError, open_blocks
from gateway_core.http.bodies.sources import BLOCK
from gateway_core.http.progress import ROUNDING
from gateway_core.plugins.defaults import classify_error
from gateway_core.testing import open_network

URL = "https://api.example"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@attrs.define(eq=False)
class Source:
    """Gives these pieces, whatever its size says; an exception among them is raised.

    opened, closed  how often it was
    """

    pieces: list = attrs.field()
    size: int = attrs.field()
    opened: int = 0
    closed: int = 0

    @size.default
    def _size(self):
        return sum(len(piece) for piece in self.pieces)

    @asynccontextmanager
    async def open(self):
        self.opened += 1
        try:
            yield self._given()
        finally:
            self.closed += 1

    async def _given(self):
        for piece in self.pieces:
            await trio.lowlevel.checkpoint()
            if isinstance(piece, Exception):
                raise piece
            yield piece


async def blocks_of(body):
    """Every block, and the failure that ended them."""
    found = []
    try:
        async with open_blocks(body.segments()) as blocks:
            while (block := await blocks.next()) is not None:
                found.append(bytes(block))
    except SourceError as error:
        return found, str(error)
    return found, None


class Recorder:
    """An application that keeps what it was asked."""

    def __init__(self):
        self.asked = []

    async def __call__(self, scope, receive, send):
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["method"], headers, body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


@asynccontextmanager
async def recorded(**options):
    """A client, and what the platform was asked."""
    app = Recorder()
    async with open_network() as network, open_client(base_url=URL, **options) as client:
        network.mount(URL, app)
        yield client, app.asked


# --- what is on the wire


async def test_a_form_on_the_wire(autojump_clock):
    form = Multipart(
        [
            FormField("chat_id", "42"),
            FormField("payload_json", '{"a":\n"é"}', media_type="application/json"),
            FormField("photo", BytesSource(b"\x89PNG"), filename="a b.png", media_type="image/png"),
            FormField("thumb", b"", filename="t"),
        ],
        boundary="frontier",
    )
    async with recorded() as (client, asked):
        assert (await client.request("POST", "/x", body=form)).json() == {}
    expected = (
        "--frontier\r\n"
        'Content-Disposition: form-data; name="chat_id"\r\n'
        "\r\n"
        "42\r\n"
        "--frontier\r\n"
        'Content-Disposition: form-data; name="payload_json"\r\n'
        "Content-Type: application/json\r\n"
        "\r\n"
        '{"a":\n"é"}\r\n'
        "--frontier\r\n"
        'Content-Disposition: form-data; name="photo"; filename="a b.png"\r\n'
        "Content-Type: image/png\r\n"
        "\r\n"
        "\udc89PNG\r\n"
        "--frontier\r\n"
        'Content-Disposition: form-data; name="thumb"; filename="t"\r\n'
        "Content-Type: application/octet-stream\r\n"
        "\r\n"
        "\r\n"
        "--frontier--\r\n"
    ).encode(errors="surrogateescape")
    [(method, headers, body)] = asked
    assert expected == body
    assert "POST" == method
    assert "multipart/form-data; boundary=frontier" == headers["content-type"]
    assert str(len(expected)) == headers["content-length"]
    assert "transfer-encoding" not in headers


@pytest.mark.parametrize(
    ("given", "name", "filename"),
    [
        ('a"b', "a%22b", "a%22b"),
        ("a\nb", "a%0D%0Ab", "a%0Ab"),
        ("a\rb", "a%0D%0Ab", "a%0Db"),
        ("a\r\nb", "a%0D%0Ab", "a%0D%0Ab"),
        ("Grüße 🦊.png", "Grüße 🦊.png", "Grüße 🦊.png"),
        ("100%22", "100%22", "100%22"),
        ("a\\b;c=d", "a\\b;c=d", "a\\b;c=d"),
    ],
)
def test_names_are_quoted_as_browsers_do_it(given, name, filename):
    head = FormField(given, b"x", filename=given).head()
    expected = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
    assert expected == head.split("\r\n")[0]


async def test_a_form_is_read_by_another_parser(autojump_clock):
    form = Multipart([FormField("chat_id", "42"), FormField("photo", PNG, filename="é.png")])
    async with recorded() as (client, asked):
        await client.request("POST", "/x", body=form)
    [(_, headers, body)] = asked
    head = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
    first, second = BytesParser(policy=HTTP).parsebytes(head + body).iter_parts()
    assert b"42" == first.get_payload(decode=True)
    assert PNG == second.get_payload(decode=True)


async def test_bytes_alone_can_be_posted_and_put(autojump_clock):
    async with recorded() as (client, asked):
        await client.request("POST", "/x", body=RawBody(PNG, "image/png"))
        await client.request("PUT", "/x", body=RawBody(BytesSource(b"")))
    (_, posted, first), (method, put, second) = asked
    assert (PNG, "image/png", str(len(PNG))) == (
        first,
        posted["content-type"],
        posted["content-length"],
    )
    assert ("PUT", b"", "application/octet-stream", "0") == (
        method,
        second,
        put["content-type"],
        put["content-length"],
    )


def test_each_form_has_a_boundary_of_128_random_bits():
    one, other = (Multipart([FormField("a", "b")]).boundary for _ in range(2))
    assert one != other
    assert 128 == len(bytes.fromhex(one)) * 8


async def test_a_body_goes_out_again_from_its_beginning(autojump_clock):
    source = Source([b"ab", b"cd"])
    form = Multipart([FormField("f", source, filename="f")])
    async with recorded() as (client, asked):
        await client.request("POST", "/x", body=form)
        await client.request("POST", "/x", body=form)
    assert asked[0] == asked[1]
    assert (2, 2) == (source.opened, source.closed)


# --- blocks


@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 7])
@pytest.mark.parametrize("piece", [1000, BLOCK, 3 * BLOCK])
async def test_blocks_are_of_one_size_however_the_pieces_come(length, piece):
    content = bytes(i * 7 % 251 for i in range(length))
    source = Source([content[i : i + piece] for i in range(0, length, piece)])
    form = Multipart([FormField("a", source, filename="a"), FormField("b", "c")])
    blocks, failure = await blocks_of(form)
    segments = form.segments()
    assert failure is None
    assert b"".join([segments[0], content, segments[2], b"c", segments[4]]) == b"".join(blocks)
    assert max(map(len, blocks)) < 2 * BLOCK
    assert len(blocks) <= length // BLOCK + 2


@pytest.mark.parametrize(
    ("source", "sent", "words"),
    [
        (Source([b"abc"], size=4), b"abc", "ended after 3 of 4 bytes"),
        (Source([], size=1), b"", "ended after 0 of 1 bytes"),
        (Source([b"ab", b"cd"], size=3), b"ab", "has more than its 3 bytes"),
        (Source([b"ab", b"", b"c"], size=2), b"", "has more than its 2 bytes"),
        (Source([b"a"], size=0), b"", "has more than its 0 bytes"),
        (Source([b"ab", OSError("gone")], size=9), b"ab", "OSError: gone"),
        (Source([b"ab", OSError("changed")], size=2), b"", "OSError: changed"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
@pytest.mark.parametrize("scale", [1, BLOCK])
async def test_a_source_that_is_not_what_it_said_is_never_sent_whole(scale, source, sent, words):
    """What comes before its last piece may be; small pieces are gathered and not sent at all."""
    pieces = [piece if isinstance(piece, Exception) else piece * scale for piece in source.pieces]
    words = re.sub("[0-9]+", lambda found: str(int(found[0]) * scale), words)
    scaled = Source(pieces, size=source.size * scale)
    blocks, failure = await blocks_of(RawBody(scaled))
    assert f"the body: {words}" == failure
    assert (sent * scale if scale > 1 else b"") == b"".join(blocks)
    assert 1 == scaled.closed


async def test_a_source_is_held_to_the_size_that_it_said_first():
    """The length is on its way by then."""
    source = Source([b"abcd"])
    segments = RawBody(source).segments()
    source.size = 2
    async with open_blocks(segments) as blocks:
        assert b"abcd" == await blocks.next()


async def test_every_source_is_opened_before_the_first_byte():
    class Missing(Source):
        def open(self):
            raise FileNotFoundError("gone")

    first, last = Source([b"x" * 9]), Missing([b"y"])
    form = Multipart([FormField("a", first, filename="a"), FormField("b", last, filename="b.png")])
    blocks, failure = await blocks_of(form)
    assert [] == blocks
    assert failure.startswith("field 'b' ('b.png'): FileNotFoundError: gone")
    assert (1, 1) == (first.opened, first.closed)


async def test_what_a_source_raises_as_it_closes_changes_nothing(autojump_clock):
    class Slamming(Source):
        @asynccontextmanager
        async def open(self):
            yield self._given()
            raise OSError("slammed")

    async with recorded() as (client, asked):
        answer = await client.request("POST", "/x", body=RawBody(Slamming([b"ab"])))
    assert (200, b"ab") == (answer.status, asked[0][2])


# --- failures


async def test_a_source_that_fails_at_once_is_not_dispatched(autojump_clock):
    source = Source([FileNotFoundError("gone")], size=9)
    async with recorded() as (client, asked):
        with pytest.raises(UnreadableSource, match="FileNotFoundError: gone") as caught:
            await client.request("POST", "/x", body=RawBody(source))
    assert ("no", []) == (caught.value.dispatched, asked)
    assert caught.value.__context__ is None


async def test_a_source_that_fails_later_is_of_unknown_outcome(autojump_clock):
    source = Source([b"x" * BLOCK, OSError("gone")], size=2 * BLOCK)
    async with recorded() as (client, asked):
        with pytest.raises(UnreadableSource, match="OSError: gone") as caught:
            await client.request("POST", "/x", body=RawBody(source))
    assert ("unknown", []) == (caught.value.dispatched, asked)


@pytest.mark.parametrize(
    ("dispatched", "reason"), [("no", Reason.UNCLASSIFIED), ("unknown", Reason.OUTCOME_UNKNOWN)]
)
def test_what_it_means_by_default_is_the_message_s_alone(dispatched, reason):
    verdict = classify_error(UnreadableSource("x", dispatched=dispatched))
    assert (ErrorClass.RETRYABLE, Scope.MESSAGE) == (verdict.error_class, verdict.scope)
    assert reason == verdict.reason


class Trickling(Source):
    """Has each next piece only after so many seconds."""

    async def _given(self):
        for piece in self.pieces:
            await trio.sleep(20)
            yield piece


class Counting(httpx2.AsyncBaseTransport):
    """Takes the whole body, and answers."""

    async def handle_async_request(self, request):
        await request.extensions["trace"]("http11.send_request_headers.started", {})
        return httpx2.Response(200, content=str(len(await request.aread())).encode())


async def test_the_total_runs_anew_as_a_transport_takes_more(autojump_clock):
    """200 seconds in all: twenty for each block, of sixty that may pass without one."""
    token = transport_factory.set(Counting)
    source = Trickling([b"x" * BLOCK] * 10)
    async with open_client(base_url=URL) as client:
        answer = await client.request("POST", "/x", body=RawBody(source))
    transport_factory.reset(token)
    assert (str(10 * BLOCK).encode(), 200.0) == (answer.body, trio.current_time())


class Waiting(Counting):
    """Takes the whole body, and answers too late."""

    async def handle_async_request(self, request):
        answer = await super().handle_async_request(request)
        await trio.sleep_forever()
        return answer


@attrs.define(eq=False)
class Instant(Source):
    """Has each next piece after so little time that no deadline moves for it."""

    async def _given(self):
        for piece in self.pieces:
            await trio.sleep(ROUNDING / 100)
            yield piece


async def test_a_transport_that_never_answers_ends_at_the_total_deadline(autojump_clock):
    token = transport_factory.set(Waiting)
    async with open_client(base_url=URL, timeouts=Timeouts(total=3)) as client:
        with pytest.raises(TransportError, match="no answer within 3 s") as caught:
            await client.request("POST", "/x", body=RawBody(Instant([b"x" * BLOCK] * 3)))
    transport_factory.reset(token)
    assert "unknown" == caught.value.dispatched
    assert 3.0 == pytest.approx(trio.current_time(), abs=ROUNDING)


@pytest.mark.parametrize(("pieces", "dispatched"), [(0, "no"), (1, "unknown")])
async def test_a_source_that_hangs_ends_at_the_write_timeout(pieces, dispatched, autojump_clock):
    class Hanging(Source):
        async def _given(self):
            for piece in self.pieces:
                yield piece
            await trio.sleep_forever()

    source = Hanging([b"x" * BLOCK] * pieces, size=2 * BLOCK)
    async with recorded(timeouts=Timeouts(write=7)) as (client, asked):
        with pytest.raises(UnreadableSource, match=r"SourceTimeout: .* 7 s") as caught:
            await client.request("POST", "/x", body=RawBody(source))
    assert (dispatched, [], 7.0) == (caught.value.dispatched, asked, trio.current_time())
    assert 1 == source.closed


# --- mistakes


async def test_what_cannot_be_sent_is_a_value_error(autojump_clock):
    body = RawBody(b"abc")
    async with recorded(max_upload=3) as (client, asked):
        await client.request("POST", "/x", body=body)
        with pytest.raises(ValueError, match="at most 3 bytes, not 4"):
            await client.request("POST", "/x", body=RawBody(b"abcd"))
        with pytest.raises(ValueError, match="at most 3 bytes, not 4"):
            await client.request("POST", "/x", json="ab")
        for other in ({"json": {}}, {"form": {}}):
            with pytest.raises(ValueError, match="only one of"):
                await client.request("POST", "/x", body=body, **other)
        for size in (-1, 1.0, None, True):
            named = FormField("f", Source([], size=size), filename="x")
            with pytest.raises(ValueError, match=r"field 'f' .*: its size must be"):
                await client.request("POST", "/x", body=Multipart([named]))
    assert 1 == len(asked)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: FormField("", b""), "'name' must be a text that is not empty, not ''"),
        (lambda: FormField(7, b""), "'name' must be a text that is not empty, not 7"),
        (lambda: FormField("\ud800", b""), "'name' must be Unicode without surrogates"),
        (lambda: FormField("a", b"", filename=""), "'filename' must be a text"),
        (lambda: FormField("a", b"", filename="\udc80"), "'filename' must be Unicode"),
        (lambda: FormField("a", b"", media_type="a/b\r\nx: y"), "'media_type' must be a media"),
        (lambda: FormField("a", b"", media_type="é"), "'media_type' must be a media type"),
        (lambda: FormField("a", "\ud800"), "surrogates"),
        (lambda: FormField("a", 7), "'content' must be"),
        (lambda: FormField("a", None), "'content' must be"),
        (lambda: RawBody(b"", ""), "'media_type' must be a media type"),
        (lambda: RawBody(["a"]), "'content' must be"),
        (lambda: Multipart([]), "'fields' must have at least one field"),
        (lambda: Multipart([b"a"]), "'fields' must be FormField"),
        (lambda: Multipart([FormField("a", "")], boundary="a b"), "'boundary' must"),
        (lambda: Multipart([FormField("a", "")], boundary="x" * 71), "'boundary' must"),
    ],
)
def test_a_mistake_names_its_place(made, words):
    with pytest.raises(ValueError, match=words):
        made()


def test_no_content_shows_in_a_repr():
    field = FormField("a", "confidential")
    assert "confidential" not in repr([field, Multipart([field]), RawBody(b"confidential")])
    assert "confidential" not in repr(BytesSource(b"confidential"))
