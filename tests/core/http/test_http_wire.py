"""HTTP/1.1 as bytes: what goes out, and every way in which an answer can come in."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.http.wire import HEAD_BOUND, Reading, Request, WireError

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\n{}"
CHUNKED = (
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nX-Trailer: late\r\n\r\n"
)
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + PLAIN
_GZIP = gzip.compress(b"x" * 900)
PACKED = b"HTTP/1.1 200 OK\r\ncontent-encoding: GZIP\r\ncontent-length: %d\r\n\r\n" % len(_GZIP)
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


def read(data, *, step=1 << 20, bound=1000, eof=False):
    """What was read of that, in steps, and perhaps the end of the connection."""
    reading = Reading(bound)
    for start in range(0, len(data), step):
        reading.feed(data[start : start + step])
    if eof:
        reading.feed(b"")
    return reading


def test_a_request_goes_out_in_one_piece():
    request = Request("POST", "/a?b=c", {"host": "h", "content-length": "2"}, b"{}")
    assert request.encoded() == b"POST /a?b=c HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}"


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    ("data", "status", "body", "headers"),
    [
        (PLAIN, 200, b"{}", {"content-length": "2", "x-a": "1, 2"}),
        (CHUNKED, 201, b"abcde", {"transfer-encoding": "chunked"}),
        (EARLY, 200, b"{}", {"content-length": "2", "x-a": "1, 2"}),
        (EMPTY, 204, b"", {}),
    ],
    ids=["length", "chunks", "early hints", "no content"],
)
def test_an_answer_is_the_same_however_it_comes_in(step, data, status, body, headers):
    reading = read(data, step=step)
    assert (True, True, False) == (reading.complete, reading.keep, reading.refused)
    response = reading.response()
    assert (status, body, headers) == (response.status, response.body, response.headers)


def test_values_may_be_empty_or_not_ascii():
    head = b"HTTP/1.1 200 OK\r\nX-Empty:\r\nX-Far: \xe9t\xe9\r\n"
    headers = read(head + b"Content-Length: 0\r\n\r\n").response().headers
    assert headers == {"x-empty": "", "x-far": "été", "content-length": "0"}


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_packed_body_is_unpacked(step):
    assert read(PACKED + _GZIP, step=step).response().body == b"x" * 900


def test_the_end_of_the_connection_ends_a_body_of_unknown_length():
    reading = read(b"HTTP/1.1 200 OK\r\n\r\nab", eof=True)
    assert (True, False) == (reading.complete, reading.keep)
    assert reading.response().body == b"ab"


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"],
    ids=["1.0", "close"],
)
def test_a_connection_that_ends_is_not_kept(head):
    reading = read(head + b"Content-Length: 2\r\n\r\n{}")
    assert (True, False) == (reading.complete, reading.keep)


@pytest.mark.parametrize("surplus", [b"HTTP/1.1 200 OK\r\n", PLAIN, b"x", b"\0\0"])
def test_what_follows_an_answer_does_not_change_it_and_ends_the_connection(surplus):
    reading = read(PLAIN + surplus)
    assert (True, False) == (reading.complete, reading.keep)
    assert reading.response().body == b"{}"
    assert reading.response().headers["x-a"] == "1, 2"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        PLAIN[:-1],
        CHUNKED[:-2],
        CHUNKED[:-40],
    ],
)
def test_a_connection_that_ends_within_an_answer_is_an_error(data):
    with pytest.raises(WireError, match="before the answer did"):
        read(data, eof=True)


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
        b"HTTP/1.1 200 OK\r\nA b: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81",
        b"\x16\x03\x01" * 30,
    ],
    ids=lambda data: repr(data)[:40],
)
def test_what_is_no_answer_is_an_error(data):
    with pytest.raises(WireError, match="not HTTP"):
        read(data)


def test_a_head_and_the_framing_of_a_body_are_bounded():
    field = b"x-more: " + b"x" * 1000 + b"\r\n"
    with pytest.raises(WireError, match="head has more than"):
        read(b"HTTP/1.1 200 OK\r\n" + field * (HEAD_BOUND // len(field) + 1))
    padded = b"1;" + b"x" * 5000 + b"\r\na\r\n"
    with pytest.raises(WireError, match="too many bytes"):
        read(CHUNKED.partition(b"3\r\n")[0] + padded * 20, step=1000, bound=100)


def test_a_body_that_is_too_big_is_refused_and_its_status_known():
    reading = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 1001)
    assert (True, False, 200) == (reading.refused, reading.complete, reading.status)
    with pytest.raises(ValueError, match="more than 1000"):
        reading.response()


def test_there_is_no_response_before_its_head():
    with pytest.raises(WireError, match="no answer"):
        Reading(10).response()


@given(st.binary(max_size=200), st.sampled_from([b"", PLAIN[:30], CHUNKED[:70], PLAIN]))
def test_whatever_comes_ends_in_an_answer_or_a_wire_error(noise, before):
    try:
        reading = read(before + noise, step=50)
    except WireError:
        return
    if reading.complete:
        assert reading.response().status == reading.status
