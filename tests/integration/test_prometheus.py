"""The alerts of docs/reference/slo.md in a real Prometheus, which scrapes a gateway in trouble."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import trio
import trio.testing
import yaml
from amounts import long_run
from breaking import DeadExporter, kill_a_partition
from listening import structlog_at
from ports import free_port

from gateway_contrib.otel import OtelSettings, open_telemetry
from gateway_core import ErrorClass, GatewayError, Identity, Reason, Scope, Send, Verdict
from gateway_core.authors import TransportError, hookimpl
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, open_test_gateway

PROGRAM = shutil.which("prometheus")
pytestmark = [
    pytest.mark.skipif(
        PROGRAM is None, reason="no prometheus on this machine (Debian's package has it)"
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # a stopped server's last connection
    pytest.mark.no_cover,  # the gateway's clock runs with the real one, whatever its work takes
]
PAGE = (Path(__file__).parents[2] / "docs/reference/slo.md").read_text()
RULES = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
ALERTS = {rule["alert"] for rule in yaml.safe_load(RULES)["groups"][0]["rules"]}
OF_THE_MACHINE = {"GatewayAcceptsSlowly", "GatewayLoopStalls"}
"""What is right to be up beside a gateway without trouble on a machine that is very busy."""
RATE = 100.0
PATIENCE = 400.0
"""In trouble, where waits of half an hour are looked at: the gateway's clock to Prometheus'."""


@contextmanager
def prometheus(folder, target):
    """A server that scrapes the target and evaluates the page's rules; its URL.

    A scrape takes half a second where the gateway has much to do and others have the processors.
    """
    (folder / "rules.yml").write_text(RULES)
    settings = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": "gateway", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    port = free_port()
    command = [
        PROGRAM,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=60)


def asked(url, path):
    try:
        with urlopen(f"{url}/api/v1/{path}", timeout=30) as answer:  # noqa: S310 - loopback
            return json.load(answer)["data"]
    except URLError:
        return {}


async def a_while(seconds=0.3):
    """So long on Prometheus' clock."""
    await trio.to_thread.run_sync(time.sleep, seconds)  # noqa: TID251 - in a thread


async def rules(url):
    """Every rule of the page as Prometheus has it, by its alert."""
    groups = (await trio.to_thread.run_sync(asked, url, "rules")).get("groups", [])
    return {rule["name"]: rule for group in groups for rule in group["rules"]}


async def raised(url, expected, seconds=PATIENCE):
    """The alerts pending or firing until all that are expected were, or the time is over."""
    seen, until = set(), time.monotonic() + seconds
    while not expected <= seen and time.monotonic() < until:
        found = await rules(url)
        assert {"ok"} >= {r["health"] for r in found.values() if r["health"] != "unknown"}
        seen |= {name for name, rule in found.items() if rule["state"] != "inactive"}
        await a_while()
    return seen


async def looked_at(url):
    """Whether Prometheus has scraped the gateway, and evaluated the rules since."""
    scraped = await trio.to_thread.run_sync(asked, url, "query?query=gateway_partition_bound")
    gone = (await rules(url)).get("GatewayIsGone", {"health": "unknown"})
    return bool(scraped.get("result")) and (gone["health"], gone["state"]) == ("ok", "inactive")


class Clumsy:
    """A policy that fails once."""

    done = False

    @hookimpl
    def after_disposition(self):
        if not self.done:
            self.done = True
            raise RuntimeError("once")


@pytest.fixture(autouse=True)
def _few_lines():
    """Thousands would only hide what a failing test says."""
    with structlog_at(logging.CRITICAL):
        yield


def verdict(error_class, reason, scope=Scope.MESSAGE, **fields):
    return Failure(Verdict(error_class=error_class, reason=reason, scope=scope, **fields))


DOWN = TransportError("connection refused", dispatched="no")
UNAUTHORIZED = verdict(ErrorClass.FATAL, Reason.UNAUTHORIZED, Scope.INSTANCE)


class Platform(FakeChannel):
    """What each instance meets."""

    def __init__(self):
        super().__init__(script=lambda attempt: getattr(self, attempt.instance_id)(attempt))
        self.lost = set()

    @hookimpl
    async def probe(self, instance):
        await trio.sleep(1)
        if instance.id == "locked":
            raise UNAUTHORIZED
        if (
            instance.id == "down"
        ):  # else one in doubt would have it suspended before it is an outage
            raise DOWN
        return Identity(id=instance.id, name=instance.id)

    async def well(self, _attempt):
        await trio.sleep(0.1)

    async def hanging(self, _attempt):
        await trio.sleep(100)

    async def hopeless(self, _attempt):
        await trio.sleep(1)
        raise verdict(ErrorClass.NON_RETRYABLE, Reason.BAD_REQUEST)

    async def locked(self, _attempt):
        await trio.sleep(1)
        raise UNAUTHORIZED

    async def down(self, _attempt):
        await trio.sleep(1)
        raise DOWN

    async def stingy(self, attempt):
        await trio.sleep(1)
        if attempt.number == 1:
            raise verdict(ErrorClass.RETRYABLE, Reason.RATE_LIMITED, Scope.ROOM, retry_after=50.0)

    async def forgetful(self, attempt):
        await trio.sleep(1)
        if attempt.key not in self.lost:
            self.lost.add(attempt.key)
            raise TransportError("connection reset", dispatched="unknown")


INSTANCES = ("well", "hanging", "hopeless", "locked", "down", "stingy", "forgetful")


def message(instance, room, **fields):
    return Send(instance_id=instance, external_room_id=room, text="hello", ttl=200_000.0, **fields)


async def every(seconds, act):
    """Do it again and again; refusals are what somebody else looks at."""
    number = 0
    while True:
        with suppress(GatewayError):
            await act(str(number))
        number += 1
        await trio.sleep(seconds)


async def trouble(gateway, nursery):
    """Everything at once, for as long as it takes."""
    for instance in ("hopeless", "locked", "stingy", "forgetful"):
        nursery.start_soon(every, 20, lambda n, i=instance: gateway.submit(message(i, n)))
    nursery.start_soon(every, 1, lambda n: gateway.submit(message("down", n)))
    for _ in range(3):
        nursery.start_soon(every, 0, lambda n: gateway.submit(message("hanging", n)))
    nursery.start_soon(every, 20, lambda n: gateway.submit(message("hanging", n), wait=False))
    nursery.start_soon(every, 5, lambda _: let_one_die(gateway))
    await a_while(1.5)
    time.sleep(1.2)  # noqa: ASYNC251, TID251 - what is tested is that a blocked loop is seen


async def let_one_die(gateway):
    """Often enough to be an alert, and less often than ends the gateway."""
    partition = gateway._partitions[0]
    if partition.restarts < 15 and partition._alarm is not None:
        kill_a_partition(gateway)


class SlowOutbox(MemoryOutbox):
    """Takes a second for each message."""

    async def append(self, entry, on_stored):
        await trio.sleep(1)
        await super().append(entry, on_stored)


async def left_behind():
    """A slow outbox that keeps an envelope of an instance that will not be there."""
    outbox = SlowOutbox()
    never = FakeChannel(latency=1e6)
    async with open_test_gateway(
        never, outbox=outbox, instances=("left",), drain_timeout=0
    ) as gateway:
        await gateway.submit(message("left", "room"))
    return outbox


opened = partial(
    open_test_gateway,
    instances=INSTANCES,
    partition_count=2,
    partition_bound=300,
    instance_bound=290,
    drain_timeout=0,
)


async def well(url, providers):
    """Without trouble: which alerts are up meanwhile."""
    async with opened(Platform(), providers=providers) as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(every, 0.05, lambda n: gateway.submit(message("well", n)))
        while not await looked_at(url):
            await a_while()
        up = await raised(url, ALERTS, seconds=7)
        nursery.cancel_scope.cancel()
    return up


async def troubled(url, providers):
    """In all the trouble there is."""
    async with (
        opened(outbox=await left_behind(), providers=providers) as slow,
        opened(Platform(), plugins=[Clumsy()], providers=providers) as gateway,
        trio.open_nursery() as nursery,
    ):
        while not await looked_at(url):
            await a_while()
        nursery.start_soon(trouble, gateway, nursery)
        nursery.start_soon(every, 1, lambda n: slow.submit(message("well", n)))
        up = await raised(url, ALERTS - {"GatewayIsGone"})
        nursery.cancel_scope.cancel()
    return up


async def night(scene, exporter, folder):
    """The alerts that were up during the scene, and once its gateway was gone."""
    port = free_port()
    settings = OtelSettings(prometheus=f"127.0.0.1:{port}", sampling=1.0)
    with ExitStack() as stack:
        async with open_telemetry(settings, spans=exporter) as providers:
            url = stack.enter_context(prometheus(folder, port))
            up = await scene(url, providers)
        return up, await raised(url, {"GatewayIsGone"})


@long_run
def test_no_alert_is_up_while_all_is_well(tmp_path):
    up, _ = trio.run(night, well, None, tmp_path)
    assert set() == up - OF_THE_MACHINE


def test_every_alert_is_up_in_trouble(tmp_path):
    clock = trio.testing.MockClock(rate=RATE)
    up, gone = trio.run(night, troubled, DeadExporter(), tmp_path, clock=clock)
    assert set() == ALERTS - up - {"GatewayIsGone"}
    assert "GatewayIsGone" in gone
