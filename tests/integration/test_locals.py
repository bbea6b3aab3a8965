"""A traceback that shows the locals of every frame shows no secret: many reporters send those."""

import traceback
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
from ports import free_port

from gateway_core import Instance, Secret
from gateway_core.http import RawBody, open_client
from gateway_core.http.tcp import TcpStream
from gateway_plugin_discord import hooks as discord
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack import hooks as slack
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram import hooks as telegram
from gateway_plugin_telegram.settings import TelegramSettings

SECRETS = {
    "token": "123456789:AAmandragora-figures-token",
    "slack": "xoxb-mandragora-figures-token",
    "refresh": "xoxe-1-mandragora-figures",
    "client": "client-secret-of-mandragora",
    "proxy": "mandragora:figures-and-figs",
}
TOKEN, SLACK = Secret(SECRETS["token"]), Secret(SECRETS["slack"])


def made(url, **network):
    rotating = {
        "refresh_token": Secret(SECRETS["refresh"]),
        "client_id": "client",
        "client_secret": Secret(SECRETS["client"]),
    }
    return {
        "telegram": (telegram, TelegramSettings(token=TOKEN, base_url=url, **network)),
        "slack": (slack, SlackSettings(token=SLACK, base_url=url, **rotating, **network)),
        "discord": (discord, DiscordSettings(token=TOKEN, base_url=url, **network)),
    }


def shown(error):
    """Every traceback of it, with the locals of the gateway's own frames."""
    left, seen, text = [error], set(), ""
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        left += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
        frames = traceback.TracebackException.from_exception(one, capture_locals=True).stack
        text += "".join(f"{frame}{frame.locals}" for frame in frames if "/src/" in frame.filename)
        text += repr(one)
    assert "/src/gateway_" in text
    return text


async def fails(ask):
    """Whether it does, and if so without a secret."""
    try:
        await ask()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked at
        text = shown(error)
        parts = {part for secret in SECRETS.values() for part in (secret, *secret.split(":"))}
        assert [] == [part for part in parts if part in text]
        return True
    return False


@asynccontextmanager
async def answering(answer):
    """A server that answers every request so; None: with nothing."""

    async def handle(stream):
        with suppress(trio.BrokenResourceError):  # the client gives up at once
            async with stream:
                await stream.receive_some()
                await stream.send_all(answer or b"")

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
            yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
            nursery.cancel_scope.cancel()


CUT = b"HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\n{"
NO = b"HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\n{}"
ANSWERS = {"nothing": None, "garbled": b"hello\r\n\r\n", "cut": CUT, "no": NO}


async def probe_and_exchange(hooks, settings):
    """What each can fail with: asked who it is, and Slack for a new token."""
    async with hooks.open_session(instance=Instance("bot", "x", settings)) as session:
        assert await fails(partial(hooks.probe, session))
        if hasattr(hooks, "credentials"):  # which answers None where Slack says no
            await fails(partial(hooks.credentials, session))


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("channel", ["telegram", "slack", "discord"])
async def test_no_failure_shows_one(channel, answer):
    async with answering(ANSWERS[answer]) as url:
        await probe_and_exchange(*made(url)[channel])


@pytest.mark.parametrize("channel", ["telegram", "slack", "discord"])
async def test_nor_does_a_proxys(channel):
    async with answering(b"HTTP/1.1 407 No\r\n\r\n") as url:
        way = {"proxy": url, "proxy_credentials": Secret(SECRETS["proxy"])}
        await probe_and_exchange(*made(f"http://127.0.0.1:{free_port()}", **way)[channel])


@pytest.mark.parametrize("where", ["send_nowait", "receive_some"])
@pytest.mark.parametrize("channel", ["telegram", "slack", "discord"])
async def test_nor_does_what_ends_the_program(channel, where, monkeypatch):
    """Ctrl-C comes amid a request, and its traceback has every frame down to the socket."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(TcpStream, where, interrupted)
    async with answering(NO) as url:
        await probe_and_exchange(*made(url)[channel])


@pytest.mark.parametrize("where", ["send_nowait", "receive_some"])
@pytest.mark.parametrize("answer", ["nothing", "garbled", "cut"])
async def test_nor_does_an_upload(answer, where, monkeypatch):
    """Neither that the answer fails, nor that Ctrl-C comes amid it."""
    headers = {"authorization": TOKEN}
    interrupts = False
    working = getattr(TcpStream, where)

    def interrupted(*given):
        if interrupts:
            raise KeyboardInterrupt
        return working(*given)

    monkeypatch.setattr(TcpStream, where, interrupted)
    async with (
        answering(ANSWERS[answer]) as url,
        open_client(base_url=url, headers=headers, path_secret=SLACK) as client,
    ):
        body = RawBody(b"x" * 200_000)
        assert await fails(partial(client.request, "POST", "/{secret}", body=body))
        interrupts = True
        assert await fails(partial(client.request, "POST", "/{secret}", body=body))


async def test_nor_does_a_header_that_cannot_be_sent():
    async def opens():
        headers = {"authorization": TOKEN, "x-other": Secret("figures-and-figs\n")}
        async with open_client(base_url="https://api.example", headers=headers):
            pass

    assert await fails(opens)


async def test_nor_does_a_bad_variable(monkeypatch):
    url = f"https://api.example/{free_port()}"
    settings = made(url, trust_environment=True)["telegram"][1]
    monkeypatch.setenv("ELSEWHERE", SECRETS["token"])
    monkeypatch.setenv("HTTPS_PROXY", f"ftp://{SECRETS['proxy']}@proxy.example:1")
    hooks = made(url)["telegram"][0]

    async def opens():
        async with hooks.open_session(instance=Instance("bot", "x", settings)):
            pass

    assert await fails(opens)
