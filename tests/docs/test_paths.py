"""The four drawn paths name what exists, in the order in which it is called."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import trio
import trio.testing

from gateway_core import Send
from gateway_core.authors import ErrorClass, Part, Reason, Scope, Verdict, hookimpl
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, open_test_gateway

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core/src/gateway_core"
DESIGN = (ROOT / "docs/explanation/design.md").read_text()
PATHS = dict(re.findall(r"^### (.+?)\n\n```text\n(.*?)^```", DESIGN, re.MULTILINE | re.DOTALL))


def function_names(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}


@cache
def functions() -> dict[str, set[str]]:
    """By module of core, the names of its functions."""
    return {
        path.relative_to(CORE).with_suffix("").as_posix(): function_names(path)
        for path in CORE.rglob("*.py")
    }


NAME = re.compile(r"\b(?:(\w+)/)?(\w+)(?:\.(\w+))?")


def named(text: str) -> list[tuple[str, str]]:
    """Every (module, function) that a text names, by `package/module` or `module.function`."""
    found = NAME.findall(text)
    return [(f"{p}/{module}" if p else module, f) for p, module, f in found if p or f]


def strangers(text: str) -> list[tuple[str, str]]:
    """Those of them that core does not have."""
    known = functions()
    return [(m, f) for m, f in named(text) if m not in known or (f and f not in known[m])]


def test_there_are_four_paths_of_at_most_fifteen_lines():
    assert 4 == len(PATHS)
    assert [] == [name for name, path in PATHS.items() if not 5 < len(path.splitlines()) <= 15]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_names_what_exists(path):
    assert len(named(PATHS[path])) > 10
    assert [] == strangers(PATHS[path])


def test_what_the_page_says_of_packages_and_modules_exists():
    spans = [span for span in re.findall(r"`([^`\n]+)`", DESIGN) if "/" in span]
    inside = [span for span in spans if not span.startswith(("tests/", "package/"))]
    assert inside
    assert [] == [wrong for span in inside for wrong in strangers(span)]


@pytest.mark.parametrize(
    "wrong", ["engine/flights", "engine/attempts.fly", "deliveries/attempts.make", "gateway.fly"]
)
def test_a_name_that_core_does_not_have_is_found(wrong):
    assert 1 == len(strangers(f"a path to {wrong} and on"))


# -- in the order of the drawing


class Parts(FakeChannel):
    """Makes a part of each word."""

    @hookimpl
    def chunk(self, envelope):
        return [
            Part(payload={"text": word[0]}, span=word.span())
            for word in re.finditer(r"\S+", getattr(envelope, "text", ""))
        ]


REFUSED = Verdict(
    error_class=ErrorClass.RETRYABLE,
    reason=Reason.RATE_LIMITED,
    scope=Scope.INSTANCE,
    retry_after=30.0,
)


@contextmanager
def recorded(calls: list[str]):
    """Record what is called or resumed in core, as `package/module.function`."""

    def profile(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(CORE):
            module = path.relative_to(CORE).with_suffix("").as_posix()
            calls.append(f"{module}.{frame.f_code.co_name}")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


def drawn(path: str) -> list[str]:
    """The first name of each line; the outbox in memory stands for the interface."""
    names = re.findall(r"^ *([a-z_/]+\.[a-z_]+)\b", path, re.MULTILINE)
    return [name.replace("outboxes/interface.", "testing/memory_outbox.") for name in names]


def not_reached(names: Sequence[str], calls: Sequence[str]) -> list[str]:
    """The names from the first one on that was not called after those before it."""
    left = iter(calls)
    for at, name in enumerate(names):
        if name not in left:
            return list(names[at:])
    return []


async def a_send(calls):
    async with open_test_gateway() as gateway:
        with recorded(calls):
            await gateway.send("bot", "room", "hello")


async def a_429(calls):
    channel = FakeChannel()

    async def refuse_the_first(_attempt):
        if len(channel.made) == 1:
            raise Failure(REFUSED)

    channel.script = refuse_the_first
    async with open_test_gateway(channel, outbox=MemoryOutbox()) as gateway:
        with recorded(calls):
            await gateway.send("bot", "room", "hello")
    assert 2 == len(channel.made)


async def an_edit(calls):
    async with open_test_gateway(channel := Parts()) as gateway:
        sent = await gateway.send("bot", "room", "one two three four")
        with recorded(calls):
            await gateway.edit(sent.ref, "one 2 three")
    assert ["one", "2", "three"] == channel.texts("room")
    assert ["send"] * 4 + ["edit", "delete"] == [made.attempt.operation for made in channel.made]


async def a_recovery(calls):
    outbox = MemoryOutbox()

    async def hang(_attempt):
        await trio.sleep_forever()

    async with open_test_gateway(FakeChannel(script=hang), outbox=outbox, drain_timeout=0) as first:
        await first.submit(Send(instance_id="bot", external_room_id="room", text="hello"))
        await trio.testing.wait_all_tasks_blocked()
    with recorded(calls):
        async with open_test_gateway(channel := FakeChannel(), outbox=outbox):
            await trio.sleep(60)
    assert ["hello"] == channel.texts("room")


JOURNEYS = {
    "An envelope, from send to receipt": a_send,
    "A 429": a_429,
    "An edit of four parts into three": an_edit,
    "A recovery after a kill": a_recovery,
}


@pytest.mark.parametrize("path", PATHS)
async def test_what_is_drawn_is_called_in_that_order(path, autojump_clock):
    calls = []
    await JOURNEYS[path](calls)
    assert len(drawn(PATHS[path])) > 9
    assert [] == not_reached(drawn(PATHS[path]), calls)


def test_an_order_that_is_not_that_of_the_calls_is_found():
    assert ["a.first"] == not_reached(["b.second", "a.first"], ["a.first", "b.second"])
