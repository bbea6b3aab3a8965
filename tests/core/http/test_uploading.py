"""How long an upload may take, on connections of any speed: exact, on virtual time."""

from contextlib import contextmanager
from unittest.mock import patch

import pytest
import trio

from gateway_core.authors import TransportError
from gateway_core.http import RawBody, Timeouts, UnreadableBody, open_client
from gateway_core.http.sockets import Sockets
from gateway_core.http.tcp import UNACKNOWLEDGED, TcpStream

URL = "http://127.0.0.1:1"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
MB = 1_000_000


class Pipe(TcpStream):
    """A connection that takes so many bytes a second, and `most` of them in all.

    It answers a whole request of `size` bytes with a yes after `thinks` seconds; or says `early`
    (seconds, bytes) whatever it has by then.
    """

    def __init__(self, rate, *, size, most=None, thinks=0.0, early=None):
        self.sent = 0
        self.moves = None
        self.closed = False
        self._rate, self._most, self._thinks = rate, most, thinks
        self._size, self._early = size, early
        self._answer = trio.Event()

    def send_nowait(self, data):
        raise AssertionError("a streamed body is written with send_all")

    async def send_all(self, data):
        await trio.sleep(len(data) / self._rate)
        if self._most is not None and self.sent + len(data) > self._most:
            await trio.sleep_forever()
        self.sent += len(data)
        if self.sent >= self._size:
            self._answer.set()

    async def receive_some(self, max_bytes=None):
        if self._early is not None:
            (after, said), self._early = self._early, None
            await trio.sleep(after)
            return said
        await self._answer.wait()
        await trio.sleep(self._thinks)
        return OK

    def bear(self, seconds):
        self.patience = seconds

    def has_news(self):
        return False

    def discard(self):
        """What was taken has arrived."""

    async def aclose(self):
        self.closed = True
        await trio.lowlevel.checkpoint()


@contextmanager
def through(pipe):
    async def connected(_sockets):
        return pipe

    with patch.object(Sockets, "_connected", connected):
        yield


async def asked(pipe, size, **timeouts):
    with through(pipe):
        async with open_client(base_url=URL, timeouts=Timeouts(**timeouts)) as client:
            return await client.request("POST", "/x", body=RawBody(bytes(size)))


@pytest.mark.parametrize("size", [9 * MB, 50 * MB])
async def test_a_slow_upload_that_moves_is_no_failure(size, autojump_clock):
    """At 200 KB/s they take 45 and 250 seconds; the total is 60, which the second exceeds."""
    answer = await asked(Pipe(200_000, size=size), size)
    assert 200 == answer.status
    assert size / 200_000 == pytest.approx(trio.current_time(), rel=0.01)


class Crawling(Pipe):
    """It takes a kilobyte every twenty seconds, however much it is given at once."""

    send_all = TcpStream.send_all

    def send_nowait(self, data):
        taken = min(1000, len(data))
        self.sent += taken
        if self.sent >= self._size:
            self._answer.set()
        return taken

    def _open(self):
        return self


async def test_what_moves_within_a_block_is_no_failure_either(autojump_clock, monkeypatch):
    async def wait_writable(_socket):
        await trio.sleep(20)

    monkeypatch.setattr("trio.lowlevel.wait_writable", wait_writable)
    assert 200 == (await asked(Crawling(0, size=100_000), 100_000)).status
    assert trio.current_time() > 1900


async def test_the_answer_has_its_whole_time_after_a_slow_upload(autojump_clock):
    pipe = Pipe(200_000, size=50 * MB, thinks=34)
    assert 200 == (await asked(pipe, 50 * MB)).status


async def test_an_answer_that_does_not_come_after_one_ends_at_the_read_timeout(autojump_clock):
    pipe = Pipe(100_000, size=9 * MB, thinks=36)
    with pytest.raises(TransportError, match="ReadTimeout: nothing came for 35 s") as caught:
        await asked(pipe, 9 * MB)
    assert "unknown" == caught.value.dispatched
    assert 90 + 35 == pytest.approx(trio.current_time(), rel=0.01)


async def test_an_upload_that_stands_still_ends_at_the_write_timeout(autojump_clock):
    """Half of it went at once; nothing more for thirty seconds."""
    pipe = Pipe(10**12, size=MB, most=MB // 2)
    with pytest.raises(TransportError, match=r"WriteTimeout: .* within 30 s") as caught:
        await asked(pipe, MB)
    assert "unknown" == caught.value.dispatched
    assert pipe.closed
    assert 30.0 == pytest.approx(trio.current_time(), rel=0.001)


async def test_an_early_refusal_that_drips_ends_at_the_read_timeout(autojump_clock):
    """Its status is known: a refusal."""
    head = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{"
    pipe = Pipe(100_000, size=9 * MB, early=(5, head))
    with pytest.raises(UnreadableBody, match="ReadTimeout: nothing came for 35 s") as caught:
        await asked(pipe, 9 * MB)
    assert (413, "no") == (caught.value.status, caught.value.dispatched)
    assert 40.0 == trio.current_time()
    assert pipe.sent < MB


@pytest.mark.parametrize("status", [200, 400, 413, 500])
async def test_an_answer_in_the_middle_is_the_answer(status, autojump_clock):
    """Three seconds into ninety; the connection is of no more use."""
    said = b"HTTP/1.1 %d said\r\ncontent-length: 2\r\n\r\n{}" % status
    pipe = Pipe(100_000, size=9 * MB, early=(3, said))
    assert status == (await asked(pipe, 9 * MB)).status
    assert 3.0 == trio.current_time()
    assert pipe.closed


async def test_a_refusal_ends_the_connection_though_all_was_written(autojump_clock):
    """Whoever is in between may hold what the server has not read."""
    said = b"HTTP/1.1 413 said\r\ncontent-length: 2\r\n\r\n{}"
    pipe = Pipe(10**12, size=MB, early=(3, said))
    with through(pipe):
        async with open_client(base_url=URL) as client:
            answer = await client.request("POST", "/x", body=RawBody(bytes(MB)))
            assert (413, MB, True) == (answer.status, min(pipe.sent, MB), pipe.closed)


async def test_early_hints_are_no_answer(autojump_clock):
    pipe = Pipe(100_000, size=MB, early=(3, b"HTTP/1.1 103 Early Hints\r\n\r\n"))
    assert 200 == (await asked(pipe, MB)).status
    assert 10.0 == pytest.approx(trio.current_time(), rel=0.01)


async def test_a_connection_is_kept_after_a_whole_upload(autojump_clock):
    pipe = Pipe(10**12, size=MB)
    with through(pipe):
        async with open_client(base_url=URL) as client:
            await client.request("POST", "/x", body=RawBody(bytes(MB)))
            assert not pipe.closed
    assert UNACKNOWLEDGED == pipe.patience
