"""The guide to operating a gateway, carried out: its signal, its secret that rotates, its words."""

from __future__ import annotations

import os
import re
import runpy
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
import trio

from gateway_contrib.emulators.slack import SlackEmulator
from gateway_core import Gateway, Send, UnknownInstance, open_gateway
from gateway_core.telemetry import EVENTS
from gateway_core.testing import open_network

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/operate.md").read_text()
FENCE = re.compile(r"^```\w+\n# (?P<name>[\w.]+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
OLD, NEW = "xoxb-1234-old", "xoxb-1234-new"
ROOM = "C024BE91L"
MORE = """
[instances.sales-bot]
channel = "slack"
token = "xoxb-1234-sales"
"""


@pytest.fixture
def logs():
    with structlog.testing.capture_logs() as found:
        yield found


@pytest.fixture
def service(tmp_path, monkeypatch):
    """The guide's files in a folder, its modules, and Slack in memory."""
    for found in FENCE.finditer(PAGE):
        (tmp_path / found["name"]).write_text(found["code"])
    (tmp_path / "support-token").write_text(OLD)
    monkeypatch.chdir(tmp_path)
    modules = {name: runpy.run_path(f"{name}.py") for name in ("operate", "maintenance")}
    slack = SlackEmulator()
    return SimpleNamespace(folder=tmp_path, slack=slack, **modules)


@pytest.fixture
async def gateway(service):
    """The guide's `main`, with a test in the place of what sends."""
    async with open_network() as network, trio.open_nursery() as nursery:
        network.mount("https://slack.com", service.slack.app)
        async with open_gateway("gateway.toml") as opened:
            nursery.start_soon(service.operate["on_signals"], opened, nursery)
            await trio.testing.wait_all_tasks_blocked()
            yield opened
            nursery.cancel_scope.cancel()


async def until(logs, event, more_than=0):
    """Wait for an event that another thread, or the gateway by itself, comes to."""
    with trio.fail_after(60):
        while sum(log["event"] == event for log in logs) <= more_than:  # noqa: ASYNC110 - a list
            await trio.sleep(0.01)
    return [log for log in logs if log["event"] == event][-1]


async def reloaded(logs, event="gateway.configuration_reloaded"):
    """Tell the process, and wait until it has done what it is told."""
    before = sum(log["event"] == event for log in logs)
    os.kill(os.getpid(), signal.SIGHUP)
    return await until(logs, event, before)


def texts(service):
    return [message.text for message in service.slack.rooms.conversation(ROOM)]


def names(logs):
    return [log["event"].removeprefix("gateway.") for log in logs]


async def test_a_secret_that_was_rotated_without_an_overlap_loses_nothing(service, gateway, logs):
    await gateway.send("support-bot", ROOM, "before")
    service.slack.revoke(OLD)
    envelope = Send(instance_id="support-bot", external_room_id=ROOM, text="between")
    ticket = await gateway.submit(envelope)
    await until(logs, "gateway.instance_suspended")
    (service.folder / "support-token").write_text(NEW)
    assert "support-bot" == (await reloaded(logs))["replaced"]
    with trio.fail_after(60):
        assert (await ticket.receipt()).delivered
    assert ["before", "between"] == texts(service)
    assert "instance_replaced" in names(logs)
    assert NEW not in str(logs)


async def test_a_changed_file_is_taken_in_and_a_wrong_one_is_not(service, gateway, logs):
    file = service.folder / "gateway.toml"
    before = file.read_text()
    file.write_text(before + MORE)
    assert "sales-bot" == (await reloaded(logs))["added"]
    assert (await gateway.send("sales-bot", ROOM, "hello")).delivered
    file.write_text("room_bound = 7\n" + before)
    log = await reloaded(logs)
    assert ("sales-bot", "room_bound") == (log["removed"], log["restart"])
    with pytest.raises(UnknownInstance):
        await gateway.send("sales-bot", ROOM, "hello")
    file.write_text(before.replace("token =", "tokken ="))
    refused = await reloaded(logs, "configuration_refused")
    assert "tokken" in refused["error"]
    assert (await gateway.send("support-bot", ROOM, "still there")).delivered


async def test_suspended_by_hand_until_resumed_even_with_a_new_secret(service, gateway, logs):
    service.maintenance["before"](gateway)
    [log] = [log for log in logs if log["event"] == "gateway.instance_suspended"]
    assert ("suspended", "the workspace is being migrated") == (log["reason"], log["raw"])
    envelope = Send(instance_id="support-bot", external_room_id=ROOM, text="waits")
    ticket = await gateway.submit(envelope)
    (service.folder / "support-token").write_text(NEW)
    await reloaded(logs)
    await trio.sleep(0.1)
    assert not ticket.ended
    service.maintenance["after"](gateway)
    with trio.fail_after(60):
        assert (await ticket.receipt()).delivered


async def test_following_needs_nobody(service, gateway, logs, monkeypatch):
    """Every minute; here the minute is short."""
    sleep = trio.sleep
    monkeypatch.setattr(trio, "sleep", lambda seconds: sleep(seconds / 600))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.operate["follow"], gateway)
        (service.folder / "support-token").write_text(NEW)
        await until(logs, "gateway.instance_replaced")
        nursery.cancel_scope.cancel()


def test_what_the_page_names_is_there():
    methods = re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE) + re.findall(r", `(\w+)\(id", PAGE)
    assert {"suspend", "resume", "reload"} < set(methods)
    assert [] == [name for name in methods if not hasattr(Gateway, name)]
    known = {str(event): event for event in EVENTS}
    named = re.findall(r"`(gateway\.(?:instance_|configuration_)\w+)`(?: \((.*?)\))?", PAGE)
    assert len(named) > 5
    for name, fields in named:
        said = re.findall(r"`(\w+)`", fields)
        assert set(said) <= set(known[name].fields), name
