"""A host that files are fetched from, and a channel that does not fetch files itself."""

from contextlib import asynccontextmanager, suppress
from functools import partial

import trio
from pictures import png

from gateway_core.authors import Problem, hookimpl

CAT = png()
MOST = 100_000


class NoUrls:
    """A channel that fetches only URLs with `theirs`, and takes files of at most `MOST` bytes."""

    @hookimpl
    def validate(self, envelope):
        """Refuse files by other URLs, and files that are too large."""
        files = list(enumerate(getattr(envelope, "files", None) or ()))
        by_url = [f"files.{n}" for n, file in files if file.url and "theirs" not in file.url]
        large = [Problem(f"files.{n}", "is too large") for n, file in files if file.size > MOST]
        return [*(Problem(place, "it fetches nothing") for place in by_url), *large]


class Host:
    """Answers each path with its page, and notes its requests."""

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


@asynccontextmanager
async def serving():
    """A host on a port of this machine, for the duration of the block."""
    made = Host()
    async with trio.open_nursery() as nursery:
        listening = partial(trio.serve_tcp, made.handle, 0, host="127.0.0.1")
        [listener] = await nursery.start(listening)
        made.port = listener.socket.getsockname()[1]
        made.url = f"http://127.0.0.1:{made.port}"
        yield made
        nursery.cancel_scope.cancel()
