"""The program as people run it: processes, sockets, signals, pipes."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest
from amounts import amount
from signalled import has_heard

from gateway_contrib.cli.app import main

BOUND = 60
"""Seconds that anything may take."""
ENDS = [signal.SIGINT, signal.SIGTERM]
TRIED = amount("signals that end a command")


@pytest.fixture(scope="module")
def gateway():
    """Where the program is installed: beside this Python."""
    path = shutil.which("gateway", path=str(Path(sys.executable).parent))
    assert path, "the command line is installed beside Python"
    return path


def started(*command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def line_of(process, start):
    """The first line on standard output that starts so."""
    line = next((line for line in process.stdout if line.startswith(start)), None)
    assert line is not None, process.stderr.read()
    return line


@pytest.mark.parametrize("number", ENDS[::-1][:TRIED])
def test_an_emulator_serves_until_it_is_stopped(gateway, number):
    process = started(gateway, "emulate", "telegram")
    introduced = line_of(process, "telegram is emulated at http://127.0.0.1:")
    port = introduced.partition("127.0.0.1:")[2].partition("/")[0]
    again = started(gateway, "emulate", "slack", "--port", port)
    _, err = again.communicate(timeout=BOUND)
    assert (2, f"gateway: cannot listen at 127.0.0.1, port {port}: Address already in use\n") == (
        again.returncode,
        err,
    )
    process.send_signal(number)
    _, err = process.communicate(timeout=BOUND)
    assert (128 + number, f"gateway: stopped by {number.name}\n") == (process.returncode, err)


def test_an_emulator_tells_its_addresses_and_logs_each_request(gateway):
    """In the words of a program in another language: JSON in, JSON out, a line for each request."""
    limits = ("--limits", "chat_seconds=0", "--limits", "bot_count=100")
    process = started(gateway, "emulate", "telegram", "--json", *limits, "--faults", "no_answer=0")
    told = json.loads(process.stdout.readline())
    assert {"channel", "url", "base_url", "token", "webhook", "control"} == set(told)
    client = HTTPConnection(told["url"].removeprefix("http://"), timeout=BOUND)

    def asked(path, content):
        body = json.dumps(content).encode()
        client.request("POST", path, body, {"Content-Type": "application/json"})
        with client.getresponse() as answer:
            return answer.status, json.load(answer)

    send = f"/bot{told['token']}/sendMessage"
    assert [200, 200] == [asked(send, {"chat_id": 7, "text": t})[0] for t in ("one", "two")]
    assert 200 == asked("/emulator/failures", {"fault": "rate_limited", "retry_after": 9})[0]
    status, refused = asked(send, {"chat_id": 7, "text": "three"})
    assert (429, 9) == (status, refused["parameters"]["retry_after"])
    client.close()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=BOUND)
    lines = err.splitlines()
    assert ["200", "200", "429"] == [line.split()[2] for line in lines[:-1]]
    assert all(line.startswith("POST /bot***/sendMessage ") for line in lines[:-1])
    assert "gateway: stopped by SIGTERM" == lines[-1]


def test_an_emulator_that_is_described_wrongly_says_how(capsys):
    """In this process; as one of its own it ends in the same way where a port is in use."""
    wrong = {
        ("--limits", "speed=1"): "speed is not a limit; there are chat_seconds, ",
        ("--limits", "bot_count"): "bot_count: is not NAME=VALUE",
        ("--limits", "none", "--limits", "bot_count=1"): "--limits none cannot be combined",
        ("--faults", "meteor=1"): "meteor is not a fault; there are rate_limited, ",
        ("--faults", "no_answer=2"): "the rates must be shares that add up to at most 1",
        ("--host", "256.0.0.1"): "cannot listen at 256.0.0.1, port 0: ",
    }
    for options, words in wrong.items():
        assert 2 == main(["emulate", "telegram", *options])
        err = capsys.readouterr().err
        assert err.startswith(f"gateway: {words}"), err
        assert 1 == len(err.splitlines())


def test_a_webhook_of_an_emulator_is_shown_and_works(gateway):
    for channel in ("slack", "discord"):
        process = started(gateway, "emulate", channel)
        url = line_of(process, "An incoming webhook: ").partition(": ")[2].strip()
        host, _, path = url.removeprefix("http://").partition("/")
        client = HTTPConnection(host, timeout=BOUND)
        body = b'{"content": "hi"}' if channel == "discord" else b'{"text": "hi"}'
        client.request("POST", f"/{path}", body, {"Content-Type": "application/json"})
        with client.getresponse() as answer:
            assert answer.status in (200, 204)
        client.close()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=BOUND)


def test_discords_times_are_those_of_the_real_clock(gateway):
    """Clients hold `X-RateLimit-Reset` and the ids of messages against their own clock."""
    process = started(gateway, "emulate", "discord")
    introduced = line_of(process, "discord is emulated at http://127.0.0.1:")
    port = introduced.partition("127.0.0.1:")[2].partition("/")[0]
    client = HTTPConnection("127.0.0.1", int(port), timeout=BOUND)
    headers = {"Authorization": "Bot a.b.c", "Content-Type": "application/json"}
    client.request("POST", "/api/v10/channels/5/messages", b'{"content": "hi"}', headers)
    with client.getresponse() as answer:
        reset, message = float(answer.headers["X-RateLimit-Reset"]), json.load(answer)
    client.close()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=BOUND)
    made = (int(message["id"]) >> 22) / 1000 + 1_420_070_400
    assert 0 <= time.time() - made < 60
    assert -60 < time.time() - reset < 60


CONFIG = """
[instances.bot]
channel = "slack"
token = "xoxb-1"
base_url = "http://127.0.0.1:9/api"
"""


@pytest.mark.parametrize("number", ENDS[:TRIED])
def test_a_second_signal_does_not_wait_for_the_drain(gateway, number, tmp_path):
    """Nobody listens at port 9: the message would be tried again for a while."""
    (tmp_path / "gateway.toml").write_text(CONFIG)
    to = ("--instance", "bot", "--room", "C024BE91L", "--config", str(tmp_path / "gateway.toml"))
    process = started(gateway, "send", *to, "--verbose", "x")
    next(line for line in process.stderr if "gateway.attempt_failed" in line)
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    while not has_heard(process.pid):
        time.sleep(0.01)  # noqa: TID251 - another process
    process.send_signal(number)
    said = process.communicate(timeout=BOUND)[1]
    assert said.endswith(f"gateway: ended by a second {number.name}\n")
    assert 128 + number == process.returncode


def test_a_person_who_stops_it_is_told_that_it_stops(gateway):
    """On a terminal, at once: the end of the drain says the rest."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [gateway, "emulate", "slack"], stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    line_of(process, "slack is emulated at ")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=BOUND)
    told = os.read(ours, 1000).decode().splitlines()
    os.close(ours)
    assert "gateway: stopping; a second Ctrl-C ends it at once" == told[0]
    assert 130 == process.returncode


PRINTING = [("plugins", "--json"), ("--help",), ("plugins",)]


@pytest.mark.parametrize("arguments", PRINTING[: amount("commands whose reader leaves")])
def test_a_reader_that_leaves_is_no_error_to_tell(gateway, arguments):
    """Shells take 141, SIGPIPE's, for the end of a pipe; 1 would say that a message failed."""
    with started(gateway, *arguments) as process:
        process.stdout.close()
        assert "" == process.stderr.read()
        assert 141 == process.wait(BOUND)
