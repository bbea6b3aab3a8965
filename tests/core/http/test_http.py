"""The HTTP room: what may be asked, how answers are read, and what failures say."""

import gzip
import json
import logging
import math
import traceback
import zlib
from urllib.parse import quote

import attrs
import httpx2
import pytest
import trio

from gateway_core import ErrorClass, Secret
from gateway_core.authors import TransportError
from gateway_core.contract.instances import redactor
from gateway_core.http import (
    Response,
    Timeouts,
    UnreadableBody,
    check_base_url,
    open_client,
    retry_after_seconds,
    transport_factory,
)
from gateway_core.http.answers import Body
from gateway_core.plugins.defaults import classify_error
from gateway_core.testing import open_network

URL = "https://api.example"
TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


class Recorder:
    """An application that keeps what it was asked and answers what it was given."""

    def __init__(self, status=200, body=b"{}", headers=(), chunk=None):
        self.asked = []
        self.status = status
        self.body = body
        self.headers = list(headers)
        self.chunk = chunk or max(len(body), 1)

    async def __call__(self, scope, receive, send):
        event = await receive()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope, headers, event["body"]))
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        for start in range(0, len(self.body), self.chunk):
            piece = self.body[start : start + self.chunk]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})


async def failure_of(client, path="/x", **arguments):
    with pytest.raises(TransportError) as caught:
        await client.request("POST", path, json={"a": 1}, **arguments)
    return caught.value


# --- base URLs


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.example.org", "https://api.example.org"),
        ("https://api.example.org/", "https://api.example.org"),
        ("https://api.example.org/v10/", "https://api.example.org/v10"),
        ("https://api.example.org:8443", "https://api.example.org:8443"),
        ("http://127.0.0.1:8081", "http://127.0.0.1:8081"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("http://localhost:8081/api", "http://localhost:8081/api"),
        ("https://localhost", "https://localhost"),
        ("https://9.9.9.9", "https://9.9.9.9"),
        ("http://[::ffff:127.0.0.1]", "http://[::ffff:127.0.0.1]"),
    ],
)
def test_base_urls_that_may_get_secrets(given, kept):
    assert kept == check_base_url(given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("http://api.example.org", "https"),
        ("ftp://127.0.0.1", "https"),
        ("http://127.1", "https"),
        ("http://localhost.example.org", "https"),
        ("http://[::ffff:9.9.9.9]", "https"),
        ("api.example.org", "host"),
        ("https://", "host"),
        ("https://user@api.example.org", "user"),
        ("https://user:word@api.example.org", "user"),
        ("https://@api.example.org", "user"),
        ("https://api.example.org?x=1", "query"),
        ("https://api.example.org#x", "fragment"),
        ("https://api.example.org:99999", "Port"),
        ("https://api.example.org/a b", "ASCII"),
        ("https://bücher.example", "ASCII"),
        ("https://api.example.org\\@evil.example", "ASCII"),
        ("https://api.example.org/../x", "path"),
        ("https://api.example.org/%2e%2E/x", "path"),
        ("https://10.0.0.5", "private"),
        ("https://169.254.169.254", "link-local"),
        ("https://[fe80::1]", "link-local"),
        ("https://[::ffff:10.0.0.5]", "private"),
        ("https://[2002:a00:5::]", "private"),
        ("https://224.0.0.251", "private"),
        ("https://2852039166", "in full"),
        ("https://0xa9fea9fe", "in full"),
        ("https://10.1", "in full"),
        ("", "ASCII"),
        (None, "ASCII"),
    ],
)
def test_base_urls_that_may_not(given, why):
    with pytest.raises(ValueError, match=why):
        check_base_url(given)


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]"])
def test_private_addresses_can_be_allowed_but_metadata_cannot(host):
    assert check_base_url("https://10.0.0.5", allow_private=True) == "https://10.0.0.5"
    with pytest.raises(ValueError, match="link-local"):
        check_base_url(f"https://{host}", allow_private=True)


# --- retry-after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3, 3.0),
        (0, 0.0),
        (0.25, 0.25),
        ("30", 30.0),
        (" 1.5 ", 1.5),
        (10**9, 86_400.0),
        (10**400, 86_400.0),
        ("9" * 400, 86_400.0),
        (-1, None),
        ("-1", None),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("1_0", None),
        ("١٢", None),
        ("", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        (True, None),
        (None, None),
        ([3], None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_nothing(value, seconds):
    assert seconds == retry_after_seconds(value)


# --- bodies and JSON


@pytest.mark.parametrize(
    "body",
    [b"NaN", b'{"a": Infinity}', b"[-Infinity]", b"1e999", b"", b"<html>", b"\xff", b"[" * 200_000],
)
def test_what_is_no_json_is_a_value_error(body):
    with pytest.raises(ValueError, match=r"."):
        Response(200, {}, body).json()


def test_json_is_read_as_it_stands():
    assert Response(200, {}, '{"a": [1, 1.5, "é"]}'.encode()).json() == {"a": [1, 1.5, "é"]}


@pytest.mark.parametrize(
    ("status", "dispatched"), [(200, "unknown"), (403, "no"), (502, "unknown")]
)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": 1', b"\xff", b"[" * 200_000, b"NaN"])
def test_an_answer_that_is_no_json_says_what_that_proves(status, dispatched, body):
    """An adapter that lets it pass has said the truth: after a 200 nobody knows the outcome."""
    with pytest.raises(UnreadableBody) as caught:
        Response(status, {}, body).json()
    assert (status, dispatched) == (caught.value.status, caught.value.dispatched)
    assert caught.value.text.startswith(f"HTTP {status}: ")
    assert ErrorClass.RETRYABLE is classify_error(caught.value).error_class


def raw_of(encoding, data):
    return {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}[encoding](
        data
    )


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_compressed_bodies_come_out_whole(encoding, step):
    data = bytes(range(256)) * 16
    raw = raw_of(encoding, data)
    body = Body(encoding, len(data))
    for start in range(0, len(raw), step):
        body.add(raw[start : start + step])
    assert data == body.whole()


@pytest.mark.parametrize(
    ("encoding", "raw", "why"),
    [
        ("", b"x" * 11, "more than 10"),
        ("gzip", gzip.compress(b"x" * 11), "more than 10"),
        ("gzip", b"no gzip at all", "broken"),
        ("gzip", gzip.compress(b"x") + b"more", "goes on"),
        ("br", b"x", "not asked for"),
    ],
    ids=["plain", "bomb", "broken", "longer", "brotli"],
)
def test_bodies_that_are_refused(encoding, raw, why):
    body = Body(encoding, 10)
    body.add(raw)
    body.add(b"after it")
    with pytest.raises(ValueError, match=why):
        body.whole()


def test_a_compressed_body_that_breaks_off_is_refused():
    body = Body("gzip", 10)
    body.add(gzip.compress(b"x")[:-3])
    with pytest.raises(ValueError, match="cut short"):
        body.whole()


def test_no_body_is_whole_even_where_compression_was_announced():
    assert Body("gzip", 10).whole() == b""


# --- redaction


@pytest.mark.parametrize(
    "spelling",
    [
        TOKEN,
        quote(TOKEN, safe=""),
        quote(TOKEN, safe="").lower(),
        f"https://api.example/bot{TOKEN}/sendMessage",
        f"b'/bot{TOKEN}/x'",
        "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    ],
)
def test_a_secret_is_redacted_in_every_spelling(spelling):
    redacted = redactor([TOKEN])(f"before {spelling} after")
    assert "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw".lower() not in redacted.lower()
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")


def test_a_header_is_redacted_as_a_whole_and_by_its_long_words():
    redact = redactor(["Bearer xoxb-1234-5678"])
    assert redact("Bearer xoxb-1234-5678, xoxb-1234-5678, Bearer") == "***, ***, Bearer"


def test_nothing_is_redacted_where_there_is_no_secret():
    assert redactor([])("text") == "text"


# --- requests


async def test_json_and_form_go_out_as_such(autojump_clock):
    app = Recorder()
    async with open_network() as network:
        network.mount(URL, app)
        async with open_client(base_url=f"{URL}/v1/", headers={"X-Kind": "a"}) as client:
            await client.request("POST", "/send?wait=true", json={"text": "é\n"})
            await client.request("post", "/send", form={"text": "é &", "n": "1"})
            await client.request("GET", "/me", headers={"x-kind": "b"})
    (scope, headers, body), (_, form_headers, form), (_, last_headers, last) = app.asked
    assert (scope["method"], scope["path"], scope["query_string"]) == (
        "POST",
        "/v1/send",
        b"wait=true",
    )
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert json.loads(body) == {"text": "é\n"}
    assert "é".encode() in body
    assert headers["content-length"] == str(len(body))
    assert headers["host"] == "api.example"
    assert form_headers["content-type"] == "application/x-www-form-urlencoded"
    assert form == b"text=%C3%A9+%26&n=1"
    assert headers["x-kind"] == "a"
    assert last_headers["x-kind"] == "b"
    assert last == b""
    assert "content-type" not in last_headers


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 404, 429, 500, 502])
async def test_any_status_is_an_answer(status, autojump_clock):
    app = Recorder(status, b"body", [(b"Retry-After", b"3"), (b"X-A", b"1"), (b"x-a", b"2")])
    async with open_network() as network:
        network.mount(URL, app)
        async with open_client(base_url=URL) as client:
            answer = await client.request("POST", "/x", json={})
    assert (status, b"body") == (answer.status, answer.body)
    assert {"retry-after": "3", "x-a": "1, 2"} == answer.headers
    assert len(app.asked) == 1


async def test_secrets_are_filled_in_where_the_request_is_made(autojump_clock):
    app = Recorder()
    async with open_network() as network:
        network.mount(URL, app)
        async with open_client(
            base_url=URL,
            headers={"authorization": Secret("Bearer abc")},
            path_secret=Secret("1:a/b é"),
        ) as client:
            await client.request("POST", "/bot{secret}/send", headers={"x-token": Secret("t0")})
            assert "Bearer" not in repr(client)
    [(scope, headers, _)] = app.asked
    assert scope["raw_path"] == b"/bot1:a%2Fb%20%C3%A9/send"
    assert scope["path"] == "/bot1:a/b é/send"
    assert (headers["authorization"], headers["x-token"]) == ("Bearer abc", "t0")


@pytest.mark.parametrize("path", ["x", "", "//a/../b", "/a/..", "/%2e%2e/a", "/a b", "/é", "/a#b"])
async def test_a_path_that_could_lead_elsewhere_is_refused(path):
    app = Recorder()
    async with open_network() as network:
        network.mount(URL, app)
        async with open_client(base_url=URL) as client:
            with pytest.raises(ValueError, match="path"):
                await client.request("GET", path)
    assert app.asked == []


async def test_what_cannot_be_sent_is_a_value_error():
    async with open_client(base_url=URL) as client:
        with pytest.raises(ValueError, match="only one of"):
            await client.request("POST", "/x", json={}, form={})
        with pytest.raises(ValueError, match="JSON compliant"):
            await client.request("POST", "/x", json={"a": math.nan})
        with pytest.raises(ValueError, match="DELETE, GET, PATCH, POST, PUT"):
            await client.request("HEAD", "/x")
        with pytest.raises(ValueError, match="surrogates"):
            await client.request("POST", "/x", json={"a": "\ud800"})


@pytest.mark.parametrize("value", ["qzx\r\nx: y", "qzxé", " qzx", "qzx\0", ""])
async def test_a_header_that_cannot_be_sent_is_refused_by_its_name_only(value):
    with pytest.raises(ValueError, match="x-token") as caught:
        async with open_client(base_url=URL, headers={"x-token": value}):
            pass
    assert "qzx" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://api.example", "https://169.254.169.254"])
async def test_a_client_checks_its_base_url(url):
    with pytest.raises(ValueError, match=r"must be https|link-local"):
        async with open_client(base_url=url):
            pass


async def test_a_closed_client_sends_nothing(autojump_clock):
    app = Recorder()
    async with open_network() as network:
        network.mount(URL, app)
        async with open_client(base_url=URL) as client:
            await client.request("GET", "/x")
        assert (await failure_of(client)).dispatched == "no"
    assert len(app.asked) == 1


async def test_the_transport_is_made_at_the_first_request_and_once(autojump_clock):
    made = []
    async with open_network() as network:
        network.mount(URL, Recorder())

        def make():
            made.append(network.transport())
            return made[-1]

        token = transport_factory.set(make)
        async with open_client(base_url=URL) as client:
            assert made == []
            await client.request("GET", "/x")
            await client.request("GET", "/x")
        transport_factory.reset(token)
    assert len(made) == 1


# --- failures


async def test_a_refused_connection_is_not_dispatched(autojump_clock):
    async with open_network() as network, open_client(base_url=URL) as client:
        network.mount(URL, Recorder())
        network.unmount(URL)
        assert (await failure_of(client)).dispatched == "no"


PHASES = attrs.asdict(Timeouts(connect=1, write=2, read=3, total=60)) | {"pool": 1}


@pytest.mark.parametrize(
    ("slow", "took", "dispatched"),
    [("connect", 1.0, "no"), ("write", 2.0, "unknown"), ("latency", 3.0, "unknown")],
)
async def test_each_phase_has_its_timeout(slow, took, dispatched, autojump_clock):
    never = {"latency": lambda: (math.inf, 0.0)}.get(slow, lambda: math.inf)
    async with open_network() as network:
        network.mount(URL, Recorder(), **{slow: never})
        async with open_client(base_url=URL, timeouts=Timeouts(**PHASES)) as client:
            error = await failure_of(client)
    assert (took, dispatched) == (trio.current_time(), error.dispatched)


@pytest.mark.parametrize(
    ("slow", "dispatched"), [("connect", "no"), ("write", "unknown"), ("latency", "unknown")]
)
async def test_the_total_deadline_knows_how_far_the_request_came(slow, dispatched, autojump_clock):
    never = {"latency": lambda: (math.inf, 0.0)}.get(slow, lambda: math.inf)
    async with open_network() as network:
        network.mount(URL, Recorder(), **{slow: never})
        async with open_client(base_url=URL, timeouts=Timeouts(total=0.5)) as client:
            error = await failure_of(client)
    assert (0.5, dispatched) == (trio.current_time(), error.dispatched)
    assert "no answer within 0.5 s" in str(error)


async def test_a_reset_after_writing_is_of_unknown_outcome(autojump_clock):
    async def app(scope, receive, send):
        await receive()
        scope["extensions"]["gateway.reset"]()
        await trio.sleep_forever()

    async with open_network() as network, open_client(base_url=URL) as client:
        network.mount(URL, app)
        assert (await failure_of(client)).dispatched == "unknown"


async def drip(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await trio.sleep(1)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})


async def test_one_byte_per_second_ends_at_the_total_deadline(autojump_clock):
    async with open_network() as network, open_client(base_url=URL) as client:
        network.mount(URL, drip)
        error = await failure_of(client)
    assert trio.current_time() == 60.0
    assert isinstance(error, UnreadableBody)
    assert error.status == 200


@pytest.mark.parametrize(
    ("status", "dispatched"),
    [(200, "unknown"), (302, "no"), (403, "no"), (429, "no"), (502, "unknown")],
)
async def test_a_body_without_end_is_unreadable_but_its_status_is_known(
    status, dispatched, autojump_clock
):
    app = Recorder(status, b"x" * 5000, chunk=100)
    async with open_network() as network, open_client(base_url=URL, max_body=4999) as client:
        network.mount(URL, app)
        error = await failure_of(client)
    assert isinstance(error, UnreadableBody)
    assert (status, dispatched) == (error.status, error.dispatched)
    assert "more than 4999 bytes" in str(error)


async def test_a_body_of_just_the_bound_is_read(autojump_clock):
    async with open_network() as network, open_client(base_url=URL, max_body=5000) as client:
        network.mount(URL, Recorder(200, b"x" * 5000, chunk=999))
        assert len((await client.request("GET", "/x")).body) == 5000


async def test_a_body_cut_in_the_middle_is_unreadable(autojump_clock):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})

    async with open_network() as network, open_client(base_url=URL) as client:
        network.mount(URL, app)
        assert isinstance(await failure_of(client), UnreadableBody)


async def test_a_cancelled_request_ends_at_once_and_the_client_goes_on(autojump_clock):
    async with open_network() as network, open_client(base_url=URL) as client:
        network.mount(URL, Recorder(), latency=lambda: (1.0, 1.0))
        with trio.move_on_after(0.5) as scope:
            await client.request("GET", "/x")
        assert scope.cancelled_caught
        assert trio.current_time() == 0.5
        assert (await client.request("GET", "/x")).status == 200


class Babbling(httpx2.AsyncBaseTransport):
    """A transport whose every failure shows the whole request."""

    async def handle_async_request(self, request):
        shown = f"{request.url} {request.headers.raw} {request.content!r}"
        logging.getLogger("httpx2").info("%s", request.headers)
        raise OSError(shown)


def everything_shown(error):
    chain = traceback.TracebackException.from_exception(error, capture_locals=False)
    return "".join([*chain.format(chain=True), repr(error), str(error), repr(error.args)])


async def test_no_secret_shows_in_an_error_or_behind_it():
    token = transport_factory.set(Babbling)
    async with open_client(
        base_url=URL,
        headers={"authorization": Secret("Bot MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ")},
        path_secret=Secret(TOKEN),
    ) as client:
        error = await failure_of(
            client,
            "/bot{secret}/x",
            headers={"x-a": Secret("s3cret-of-one"), "Authorization": "Bearer plain-given"},
        )
        assert client.redact(f"x {TOKEN} y") == "x *** y"
    transport_factory.reset(token)
    shown = everything_shown(error)
    assert "https://api.example/bot***/x" in shown
    for secret in ("AAHdqTcv", "MTk4NjIyNDgz", "s3cret-of-one", "plain-given"):
        assert secret not in shown
    assert error.__context__ is None
    assert error.__cause__ is None
    assert error.dispatched == "no"
