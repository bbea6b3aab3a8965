"""Records the bytes that clients of `gateway_core.http` send, so that tests can check them.

A receipt with `delivered` means that everything in the envelope was sent.
"""

# ruff: noqa: S101 - used by tests, shipped to authors

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import attrs
import pytest
import trio

from gateway_core.contract.envelopes import Attempt
from gateway_core.contract.hookspecs import Answer
from gateway_core.contract.instances import Instance
from gateway_core.contract.verdicts import ErrorClass, Reason
from gateway_core.plugins.front import ChannelHooks

if TYPE_CHECKING:
    import httpx2


_AUTHORISES = re.compile("auth|cookie|key|secret|token", re.IGNORECASE)


@attrs.define(eq=False)
class Wire:
    """The requests that were sent within the block.

    requests  how many
    sent      the requests' methods, addresses and bodies, one after the other
    secret    the values of headers that authorise, by their names
    on_block  called before each block of a body
    instead   the status, and the seconds of `Retry-After`, of a page that answers every request
              instead of the platform; None: the platform answers
    """

    requests: int = 0
    sent: bytearray = attrs.field(factory=bytearray, repr=False)
    secret: list[str] = attrs.field(factory=list, repr=False)
    on_block: Callable[[], None] = lambda: None
    instead: tuple[int, int] | None = None

    def has(self, words: str | bytes) -> bool:
        """Whether the words are in a request."""
        return (words if isinstance(words, bytes) else words.encode()) in self.sent

    def says(self, words: str, *, since: int = 0) -> bool:
        """Whether the words are in a request, plain or percent-encoded, from this byte on."""
        sent = bytes(self.sent[since:])
        return words.encode() in sent or words.encode() in unquote_to_bytes(sent)

    def names(self, name: str, *, since: int) -> bool:
        """Whether the name is in a request from this byte on, and is no part of a longer one."""
        sent = bytes(self.sent[since:])
        alone = re.compile(rb"(?<!\w)" + re.escape(name.encode()) + rb"(?!\w)")
        return any(alone.search(each) is not None for each in (sent, unquote_to_bytes(sent)))

    def addresses(self, *, since: int) -> list[str]:
        """The addresses of the requests from this byte on, as they were sent."""
        sent = bytes(self.sent[since:])
        return [found.decode() for found in re.findall(rb"(?m)^[A-Z]+ (https?://\S+)$", sent)]


class Unsupported(Exception):
    """The platform cannot do what was asked for, and the adapter says so."""


@attrs.frozen
class Trial:
    """A session of the channel, and the requests that it sends."""

    hooks: ChannelHooks
    instance: Instance
    session: Any
    wire: Wire

    async def make(self, attempt: Attempt, what: str) -> Answer:
        """Make the attempt; after a retryable error, wait and try again, three attempts at most.

        Raises `Unsupported` if the adapter's verdict says that the platform cannot do it.
        """
        for number in (1, 2, 3):
            try:
                return await self.hooks.perform(
                    self.instance, self.session, attrs.evolve(attempt, number=number)
                )
            except Exception as error:
                verdict = self.hooks.classify_error(self.instance, attempt, error)
                if verdict.reason is Reason.UNSUPPORTED:
                    raise Unsupported(str(error)) from error
                if verdict.error_class is not ErrorClass.RETRYABLE:
                    text = f"{what} that `validate` lets pass failed with {error!r}: send it, or"
                    raise AssertionError(f"{text} refuse it there") from error
                if number == 3:  # noqa: PLR2004 - the last of these
                    raise
                await trio.sleep(verdict.retry_after or 1.0)
        raise AssertionError("one of these returns or raises")

    def check_out(self, words: Sequence[str], where: str, hook: str, *, since: int = 0) -> None:
        """Fails unless all of the words are in requests."""
        self.check_heard()
        for each in words:
            assert self.wire.says(each, since=since), (
                f"{each!r} of {where} is in no request: pass on in `{hook}` all that it has, or"
                " refuse in `validate` what you do not"
            )

    def check_message(self, message_id: str, hook: str, *, since: int) -> None:
        """Fails unless requests name the message; its id may be made of several, as `room:7`."""
        self.check_heard()
        ids = re.findall(r"[\w.-]+", message_id)
        assert all(self.wire.names(each, since=since) for each in ids), (
            f"no request of `{hook}` names the message {message_id!r}: take `attempt.message_id`,"
            f" or say {hook}=False in `traits`"
        )

    def check_quoted(self, value: str, where: str, hook: str, *, since: int) -> None:
        """Fails if the value, which has a `/` and a `?`, is in a request's address as it is."""
        self.check_heard()
        broken = [each for each in self.wire.addresses(since=since) if value in each]
        assert not broken, (
            f"`{hook}` puts {where} into the address {broken[0]!r} as it is, where its `/` or `?`"
            " calls another method of the platform: write quote(value, safe='')"
        )

    def check_heard(self) -> None:
        """Skip the test if no request can be seen."""
        if not self.wire.requests:
            pytest.skip("nothing goes through gateway_core.http, so nobody sees what went out")


@contextmanager
def listened_to() -> Iterator[Wire]:
    """Records the requests of clients opened in the block, if a network in memory serves them."""
    wire = Wire()
    try:
        from gateway_core.http import transport_factory  # noqa: PLC0415 - an extra, `http`
    except ModuleNotFoundError:
        yield wire
        return
    make = transport_factory.get()
    if make is None:
        yield wire
        return
    token = transport_factory.set(lambda: _listening(make(), wire))
    try:
        yield wire
    finally:
        transport_factory.reset(token)


def _listening(beneath: httpx2.AsyncBaseTransport, wire: Wire) -> httpx2.AsyncBaseTransport:
    import httpx2  # noqa: PLC0415 - likewise

    class Listening(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            wire.requests += 1
            wire.sent += f"\n{request.method} {request.url}\n".encode()
            wire.secret += [v for k, v in request.headers.items() if _AUTHORISES.search(k)]
            body: Any = request.stream
            if wire.instead is not None:
                async for _ in _blocks(body):
                    pass
                return _page(*wire.instead)
            heard = httpx2.Request(
                request.method,
                request.url,
                headers=request.headers,
                content=_blocks(body),
                extensions=request.extensions,
            )
            return await beneath.handle_async_request(heard)

        async def aclose(self) -> None:
            await beneath.aclose()

    def _page(status: int, pause: int) -> httpx2.Response:
        headers = {"content-type": "text/html", "retry-after": str(pause)}
        page = f"<html><body>The proxy says {status}.</body></html>"
        return httpx2.Response(status, headers=headers, content=page)

    async def _blocks(body: Any) -> AsyncIterator[bytes]:
        async for block in body:
            wire.on_block()
            wire.sent += block
            yield block

    return Listening()
