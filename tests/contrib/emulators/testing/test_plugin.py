"""The fixtures of emulated platforms, as pytest runs them in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

BOUND = 120
"""Seconds that a run of pytest may take."""

PLAIN = """
import json
import threading
import urllib.error
import urllib.request

import pytest

def post(url, content=None, headers=()):
    body = json.dumps(content or {}).encode()
    headers = {"Content-Type": "application/json", **dict(headers)}
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)

def telegram(emulated, text, room=7):
    url = f"{emulated.base_url}/bot{emulated.token}/sendMessage"
    return post(url, {"chat_id": room, "text": text})

def test_what_is_posted_arrives(emulated_telegram, emulated_slack, emulated_discord):
    telegram(emulated_telegram, "one")
    headers = {"Authorization": f"Bearer {emulated_slack.token}"}
    url = f"{emulated_slack.base_url}/chat.postMessage"
    assert post(url, {"channel": "C024BE91L", "text": "two"}, headers)["ok"]
    headers = {"Authorization": f"Bot {emulated_discord.token}"}
    url = f"{emulated_discord.base_url}/channels/7/messages"
    assert "7" == post(url, {"content": "three"}, headers)["channel_id"]
    assert ["one"] == emulated_telegram.texts(7)
    assert ["two"] == emulated_slack.texts("C024BE91L")
    assert ["three"] == emulated_discord.texts("7")
    [asked] = emulated_telegram.requests
    assert ("POST", "/bot***/sendMessage", 200) == (asked.verb, asked.path, asked.status)
    assert emulated_slack.webhook.startswith(emulated_slack.url)

def test_another_test_has_another_platform(emulated_telegram):
    assert ([], [], {}) == (
        emulated_telegram.rooms, emulated_telegram.requests, dict(emulated_telegram.counters))

def test_the_limits_hold_and_time_can_be_moved(emulated_telegram):
    telegram(emulated_telegram, "one")
    with pytest.raises(urllib.error.HTTPError) as refused:
        telegram(emulated_telegram, "two")
    with refused.value as answer:
        assert (429, "1") == (answer.code, answer.headers["Retry-After"])
    assert {"sendMessage": 1} == emulated_telegram.limited
    emulated_telegram.advance(1)
    telegram(emulated_telegram, "two")
    assert ["one", "two"] == emulated_telegram.texts(7)

def test_limits_are_ours(emulated_telegram):
    emulated_telegram.limit(chat_seconds=0.0, bot_count=2, bot_seconds=3_600)
    for text in ("one", "two"):
        telegram(emulated_telegram, text)
    with pytest.raises(urllib.error.HTTPError) as refused:
        telegram(emulated_telegram, "three")
    refused.value.close()
    emulated_telegram.unlimit()
    for n in range(40):
        telegram(emulated_telegram, str(n))
    assert 40 == len(emulated_telegram.texts(7))
    with pytest.raises(ValueError, match="chat_secs is not a limit; there are chat_seconds,"):
        emulated_telegram.limit(chat_secs=1)

def test_the_next_requests_fail(emulated_telegram):
    emulated_telegram.refuse(retry_after=7, times=2)
    emulated_telegram.fail("server_error")
    assert 3 == len(emulated_telegram.failures)
    codes = []
    for _ in range(3):
        with pytest.raises(urllib.error.HTTPError) as refused:
            telegram(emulated_telegram, "one")
        with refused.value as answer:
            codes.append((answer.code, answer.headers["Retry-After"]))
    assert [(429, "7"), (429, "7"), (502, None)] == codes
    assert [] == emulated_telegram.failures == emulated_telegram.texts(7)
    emulated_telegram.fail("reset_after")
    with pytest.raises(OSError):
        telegram(emulated_telegram, "stored")
    assert ["stored"] == emulated_telegram.texts(7)
    assert None is emulated_telegram.requests[-1].status
    emulated_telegram.fail("cut", times=9)
    emulated_telegram.heal()
    emulated_telegram.advance(1)
    telegram(emulated_telegram, "healed")
    with pytest.raises(ValueError, match="meteor is not a failure; there are rate_limited,"):
        emulated_telegram.fail("meteor")

def test_silence_ends_with_the_test(emulated_telegram):
    emulated_telegram.fail("no_answer")
    request = urllib.request.Request(
        f"{emulated_telegram.base_url}/bot{emulated_telegram.token}/sendMessage?chat_id=7&text=x")
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(request, timeout=0.2)
    assert ["x"] == emulated_telegram.texts(7)

def test_people_write(emulated_telegram, emulated_discord):
    update = emulated_telegram.people.say("7", "/start")
    told = post(f"{emulated_telegram.base_url}/bot{emulated_telegram.token}/getUpdates")
    assert [update] == told["result"]
    assert "hi" == emulated_discord.people.say("7", "hi")["d"]["content"]
    assert ["hi"] == [m.text for m in emulated_discord.messages("7")]

def test_what_somebody_saw_is_told_outside_of_the_emulators_loop(emulated_discord):
    asked = emulated_discord.people.command("7", "report")
    assert [] == asked.seen()
    emulated_discord.advance(3.5)
    assert ["The application did not respond"] == [saw.text for saw in asked.seen()]

def test_all_else_is_asked(emulated_telegram):
    emulated_telegram.ask(lambda platform: platform.remove_room("7"))
    with pytest.raises(urllib.error.HTTPError) as refused:
        telegram(emulated_telegram, "one")
    with refused.value as answer:
        assert 403 == answer.code
    with pytest.raises(LookupError):
        emulated_telegram.people.press("7", "1", "yes")

def test_nothing_is_left():
    assert [] == [t.name for t in threading.enumerate() if t.name.startswith("emulated")]
"""

ASYNCIO = """
import asyncio
import httpx
import pytest

SEND = "/bot1:a/sendMessage"

async def in_memory(emulated):
    transport = httpx.ASGITransport(emulated.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://telegram") as client:
        sent = await client.post(SEND, json={"chat_id": 7, "text": "hello"})
        assert 200 == sent.status_code
        assert 429 == (await client.post(SEND, json={"chat_id": 7, "text": "hello"})).status_code
        emulated.advance(1)
        emulated.fail("reset_after")
        with pytest.raises(ConnectionResetError):
            await client.post(SEND, json={"chat_id": 7, "text": "cut"})
    assert ["hello", "cut"] == emulated.texts(7)

@pytest.mark.asyncio
async def test_in_memory_under_asyncio(emulated_telegram):
    await in_memory(emulated_telegram)

@pytest.mark.asyncio
async def test_who_leaves_is_let_go(emulated_telegram):
    emulated_telegram.fail("no_answer")
    transport = httpx.ASGITransport(emulated_telegram.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://telegram") as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.post(SEND, json={"chat_id": 7, "text": "stored"})
    assert ["stored"] == emulated_telegram.texts(7)
    for _ in range(1000):
        if emulated_telegram.requests:
            break
        await asyncio.sleep(0.001)
    assert [None] == [asked.status for asked in emulated_telegram.requests]

@pytest.mark.anyio
async def test_in_memory_under_anyio(emulated_telegram):
    await in_memory(emulated_telegram)

@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param

@pytest.mark.asyncio
async def test_on_sockets_under_asyncio(emulated_slack):
    async with httpx.AsyncClient(base_url=emulated_slack.base_url) as client:
        headers = {"Authorization": "Bearer xoxb-1"}
        body = {"channel": "C024BE91L", "text": "hello"}
        answer = await client.post("chat.postMessage", json=body, headers=headers)
        assert answer.json()["ok"]
    assert ["hello"] == emulated_slack.texts("C024BE91L")

@pytest.mark.asyncio
async def test_web_sockets_are_for_sockets(emulated_discord):
    with pytest.raises(RuntimeError, match="connect to the emulator's `url`"):
        await emulated_discord.app({"type": "websocket"}, None, None)
"""

TRIO = """
import httpx
import pytest
import trio

SEND = "/bot1:a/sendMessage"

async def test_the_test_s_clock_is_the_platform_s(emulated_telegram, autojump_clock):
    transport = httpx.ASGITransport(emulated_telegram.app)
    begun = trio.current_time()
    async with httpx.AsyncClient(transport=transport, base_url="http://telegram") as client:
        for _ in range(25):
            while True:
                answer = await client.post(SEND, json={"chat_id": -7, "text": "hello"})
                if answer.status_code == 200:
                    break
                await trio.sleep(answer.json()["parameters"]["retry_after"])
    assert 25 == len(emulated_telegram.texts(-7))
    assert 60 <= trio.current_time() - begun < 70
    with pytest.raises(RuntimeError, match="the test's clock"):
        emulated_telegram.advance(1)

async def test_on_sockets(emulated_telegram):
    async with httpx.AsyncClient(base_url=emulated_telegram.url) as client:
        assert 200 == (await client.get(f"{SEND}?chat_id=7&text=hello")).status_code
        emulated_telegram.fail("reset_before")
        with pytest.raises(httpx.ReadError):
            await client.get(f"{SEND}?chat_id=8&text=hello")
    assert ["hello"] == emulated_telegram.texts(7)
    assert [] == emulated_telegram.texts(8)

async def test_a_cut_in_memory(emulated_telegram):
    emulated_telegram.fail("cut")
    transport = httpx.ASGITransport(emulated_telegram.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://telegram") as client:
        with pytest.raises(ConnectionResetError):
            await client.get(f"{SEND}?chat_id=8&text=hello")
"""

OPTIONS = {
    "plain": (PLAIN, ["-p", "no:trio", "-p", "no:asyncio", "-p", "no:anyio"]),
    "asyncio": (ASYNCIO, ["-p", "no:trio", "-o", "asyncio_default_fixture_loop_scope=function"]),
    "trio": (TRIO, ["-p", "no:asyncio", "-o", "trio_mode=true"]),
}


def run(folder, code, *options, **environ):
    """A run of pytest over one file, where a warning is an error."""
    (folder / "test_bot.py").write_text(code)
    strict = ("-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov")
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *strict,
            *options,
            "--tb=short",
            "--rootdir",
            folder,
            folder,
        ],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )


@pytest.mark.parametrize("kind", OPTIONS)
def test_the_fixtures_serve_tests_of_each_kind(kind, tmp_path):
    code, options = OPTIONS[kind]
    done = run(tmp_path, code, *options)
    assert 0 == done.returncode, done.stdout + done.stderr


UNUSED = """
import sys

def test_nothing_is_imported():
    heavy = {"trio", "starlette", "hypercorn", "httpx2", "gateway_core"} & set(sys.modules)
    assert set() == heavy
"""
ALONE = ("-p", "gateway_contrib.emulators.testing.plugin")
"""The plugin, where no other one is loaded."""


def test_a_run_that_does_not_use_it_imports_nothing(tmp_path):
    done = run(tmp_path, UNUSED, *ALONE, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert 0 == done.returncode, done.stdout + done.stderr


WITHOUT = """
import sys
sys.modules["starlette"] = None

def test_of_something_else():
    pass

def test_of_a_bot(emulated_telegram):
    pass
"""


def test_without_the_extra_only_its_tests_fail_and_say_why(tmp_path):
    done = run(tmp_path, WITHOUT, *ALONE, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "1 passed, 1 error" in done.stdout
    assert "is missing: install 'gateway-contrib[emulators]'" in done.stdout


def test_who_has_no_pytest_uses_a_block():
    code = """
import sys, threading, urllib.request
sys.modules["pytest"] = None
from gateway_contrib.emulators.testing import emulated

with emulated("telegram") as telegram:
    url = f"{telegram.base_url}/bot1:a/sendMessage?chat_id=7&text=hello"
    urllib.request.urlopen(url, timeout=30).close()
    print(telegram.texts(7))
print([t.name for t in threading.enumerate()])
try:
    telegram.texts(7)
except RuntimeError as error:
    print(error)
try:
    emulated("icq").__enter__()
except ValueError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=BOUND, check=False
    )
    assert [
        "['hello']",
        "['MainThread']",
        "the emulator ended with its test",
        "icq is not a platform; there are telegram, slack, discord",
    ] == done.stdout.splitlines(), done.stderr
