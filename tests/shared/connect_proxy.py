"""An HTTP proxy in a process of its own, which tunnels by CONNECT, and misbehaves on request.

`python connect_proxy.py '{"answer": 502}'` prints its port, and then each CONNECT when it comes, as
JSON: its target and its credentials.
"""

import json
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from functools import partial

import attrs
import trio


@attrs.frozen(kw_only=True)
class Manners:
    """How the proxy behaves.

    answer       the status of its answer to CONNECT
    credentials  base64 of the credentials that it wants; for others it answers 407 and quotes them
    delay        seconds before it answers
    raw          its answer instead of a status line and its end; "": it closes the connection
    certificate  PEM file with certificate and key, for a proxy that speaks TLS
    """

    answer: int = 200
    credentials: str | None = None
    delay: float = 0.0
    raw: str | None = None
    certificate: str | None = None


async def serve(manners):
    """Serve until the process is killed."""
    handler = partial(guarded, manners)
    if manners.certificate is None:
        serving = partial(trio.serve_tcp, handler, 0, host="127.0.0.1")
    else:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(manners.certificate)
        serving = partial(trio.serve_ssl_over_tcp, handler, 0, context, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(serving)
        plain = getattr(listener, "transport_listener", listener)
        say(plain.socket.getsockname()[1])


def say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def guarded(manners, stream):
    async with stream:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            await tunnel(manners, stream)


async def tunnel(manners, stream):
    head = b""
    while b"\r\n\r\n" not in head:
        more = await stream.receive_some()
        if not more:
            return
        head += more
    first, *fields = head.decode().split("\r\n")
    target = first.split()[1]
    given = next((f.split()[-1] for f in fields if f.startswith("proxy-authorization:")), None)
    say({"target": target, "credentials": given})
    await trio.sleep(manners.delay)
    if manners.raw is not None:
        await stream.send_all(manners.raw.encode())
        return
    if manners.credentials not in {None, given}:
        words = f"HTTP/1.1 407 Not you, {given}\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"
        await stream.send_all(words.encode())
        return
    if manners.answer != 200:
        await stream.send_all(f"HTTP/1.1 {manners.answer} No\r\n\r\n".encode())
        return
    host, _, port = target.rpartition(":")
    async with await trio.open_tcp_stream(host.strip("[]"), int(port)) as there:
        await stream.send_all(b"HTTP/1.1 200 Connection established\r\nvia: 1.1 tests\r\n\r\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay, stream, there)
            await relay(there, stream)
            nursery.cancel_scope.cancel()


async def relay(source, sink):
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for data in source:
            await sink.send_all(data)
    await sink.aclose()


# -- called by tests


@attrs.define(eq=False)
class Running:
    """The proxy's process: `url` is its address, `seen` its requests; `asked`: there was one."""

    url: str
    process: trio.Process
    asked: trio.Event = attrs.field(factory=trio.Event)
    seen: list = attrs.field(factory=list)

    async def kill(self):
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def proxy(**manners):
    """A proxy with these `Manners`."""
    command = [sys.executable, __file__, json.dumps(manners)]
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            process = await nursery.start(
                partial(trio.run_process, command, stdout=subprocess.PIPE, check=False)
            )
            lines = read_lines(process.stdout)
            port = json.loads(await anext(lines))
            scheme = "http" if manners.get("certificate") is None else "https"
            running = Running(url=f"{scheme}://localhost:{port}", process=process)
            nursery.start_soon(note, lines, running)
            yield running
            process.kill()


async def note(lines, running):
    async for line in lines:
        running.seen.append(json.loads(line))
        running.asked.set()


async def read_lines(stream):
    rest = b""
    async for data in stream:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line


if __name__ == "__main__":
    trio.run(serve, Manners(**json.loads(sys.argv[1])))
