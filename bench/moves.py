"""Counts the modules of core that one envelope passes, and how often control moves between them.

`python -m bench.moves` prints a table; `--json` prints one object; `--trace SCENARIO` prints the
moves of one scenario, one per line: `from -> to  function`, with `(back)` where a function ends.

Scenarios. Each runs in virtual time with seeded tasks, one partition, a channel in memory without
limits, no installed plugin and no telemetry. Each counts its second envelope, since the first one
makes the things that are made only once.

send      a Send of one part, from the call of `gateway.send` until its caller has the receipt
429       the same, but the platform's first answer is a 429: from the moment when the channel's
          `send` raises until no task of the process can run, since the lane waits for `retry_after`
429_rest  the same envelope before that moment and after that wait, until its receipt
edit      a message of four parts loses its last part: from the call of `gateway.edit` until its
          caller has the receipt; the three unchanged parts are not sent again
recovery  an envelope whose attempt hung when its gateway was closed: from the call of
          `open_gateway` of the next gateway, on the same outbox, until the outbox was given the
          receipt, and the task that gave it waits or ends

What is counted. `sys.setprofile` reports the call and the return of each Python function. An event
belongs to the module in the `__name__` of its frame's globals. Ignored are

- code that is not core's: trio, the standard library, the channel, `gateway_core.testing`
- code that is in no file: the methods that attrs generates, functions made by `exec`
- comprehensions and generator expressions, which are functions only in some versions of Python

modules   different modules that had an event
packages  different packages that had an event. A package is the first name below `gateway_core`;
          a module directly in `gateway_core` is a package of its own
moves     how often an event belongs to another module (or package) than the event before it. Calls
          and returns count alike: a function that calls a function of another module, and then
          ends, makes two moves. A function that calls two others in turn makes three moves, since
          its own frame has no event between the two calls

A coroutine or generator reports a return when it is suspended, and a call when it goes on. The same
holds for each coroutine that awaits it. These events are not counted, since control only passes
through the awaiting coroutines, and none of their statements runs. The next event of a resumed
coroutine is counted, since it is a real call or return.

The last lines are read from the source: the attributes of an accepted envelope's class, and the
modules that assign to them (`x.a = …`, `x.a += …`). `x` is a variable or an attribute of the name
`flight` or `delivery`, or a variable annotated with the class; in the class's module, not `self`.
"""

from __future__ import annotations

import argparse
import ast
import dis
import functools
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Self

import attrs
import structlog
import trio
from trio.testing import wait_all_tasks_blocked

import gateway_core
from gateway_core import (
    ErrorClass,
    Filter,
    Gateway,
    GatewayConfig,
    Identity,
    Instance,
    Part,
    Providers,
    Reason,
    Receipt,
    Send,
    Verdict,
    open_gateway,
)
from gateway_core.authors import Answer, hookimpl
from gateway_core.testing import FakeSettings, MemoryOutbox, run_seeded, virtual_wall

CORE = "gateway_core"
NOT_CORE = f"{CORE}.testing"
SOURCE = Path(gateway_core.__file__).parent
YIELD = dis.opmap["YIELD_VALUE"]
COMPREHENSIONS = {"<dictcomp>", "<genexpr>", "<listcomp>", "<setcomp>"}
RUNS = 2
"""How many envelopes a scenario has; only the last one is counted."""
PAUSE = 60.0
"""Seconds of virtual time between a scenario's envelopes."""
RETRY_AFTER = 0.5
ENVELOPES = {"Delivery": "delivery", "Flight": "flight"}
"""By the name of an accepted envelope's class, the name of variables of this class."""


# -- counting


@attrs.frozen
class Event:
    """A call of one of core's functions, or with `back` a return."""

    module: str
    function: str
    back: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


class Recorder:
    """Records the calls and returns of core's functions between `begin` and `end`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._counting = False
        self._suspended: set[FrameType] = set()

    def __enter__(self) -> Self:
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def forget(self) -> None:
        self.events.clear()

    def begin(self) -> None:
        self._counting = True

    def end(self) -> None:
        self._counting = False

    def _profile(self, frame: FrameType, kind: str, _argument: object) -> None:
        if kind not in ("call", "return"):
            return
        module = _module_of(frame)
        # Invariant: a suspension is noted even if it is not counted, since its end may be counted.
        if module is not None and not self._passes(frame, kind) and self._counting:
            function = frame.f_code.co_qualname
            self.events.append(Event(module, function, back=kind == "return"))

    def _passes(self, frame: FrameType, kind: str) -> bool:
        """Whether the event only suspends a frame, or resumes a suspended one."""
        if kind == "call":
            known = frame in self._suspended
            self._suspended.discard(frame)
            return known
        if frame.f_code.co_code[frame.f_lasti] != YIELD:
            return False
        self._suspended.add(frame)
        return True


def _module_of(frame: FrameType) -> str | None:
    """The name of the frame's module below `gateway_core`; None: it is not counted."""
    name, code = frame.f_globals.get("__name__") or "", frame.f_code
    if code.co_filename.startswith("<") or code.co_name in COMPREHENSIONS:
        return None
    if name == CORE:
        return "__init__"
    if not name.startswith(f"{CORE}.") or f"{name}.".startswith(f"{NOT_CORE}."):
        return None
    return name.removeprefix(f"{CORE}.")


def moves(names: Sequence[str]) -> int:
    return sum(one != other for one, other in pairwise(names))


def counts(events: Sequence[Event]) -> dict[str, int]:
    modules = [event.module for event in events]
    packages = [event.package for event in events]
    return {
        "modules": len(set(modules)),
        "packages": len(set(packages)),
        "moves_between_modules": moves(modules),
        "moves_between_packages": moves(packages),
    }


def trace(events: Sequence[Event]) -> Iterator[str]:
    for one, other in pairwise(events):
        if one.module != other.module:
            back = "  (back)" if other.back else ""
            yield f"{one.module} -> {other.module}  {other.function}{back}"


# -- the channel and the outbox


class Plain:
    """A channel that accepts everything; `disturb` is awaited in the next send only."""

    GATEWAY_CONTRACT = 1

    def __init__(self) -> None:
        self.disturb: Callable[[], Awaitable[None]] | None = None
        self.sent = 0

    @hookimpl
    def settings_type(self) -> type:
        return FakeSettings

    @hookimpl
    async def probe(self, instance: Instance) -> Identity:
        return Identity(id=instance.id, name=instance.id)

    @hookimpl
    async def send(self) -> Answer:
        disturb, self.disturb = self.disturb, None
        if disturb is not None:
            await disturb()
        self.sent += 1
        return Answer(message_id=str(self.sent))

    @hookimpl
    def classify_error(self) -> Verdict:
        return Verdict(
            error_class=ErrorClass.RETRYABLE,
            reason=Reason.RATE_LIMITED,
            retry_after=RETRY_AFTER,
            raw="Too Many Requests",
        )


class Words(Plain):
    """A channel that makes a message of each word."""

    @hookimpl
    def chunk(self, envelope: Any) -> list[Part]:
        parts, at = [], 0
        for word in envelope.text.split():
            at = envelope.text.index(word, at)
            parts.append(Part(payload={"text": word}, span=(at, at + len(word))))
            at += len(word)
        return parts

    @hookimpl
    async def edit(self, attempt: Any) -> Answer:
        return Answer(message_id=attempt.message_id)

    @hookimpl
    async def delete(self, attempt: Any) -> Answer:
        return Answer(message_id=attempt.message_id)


class Surviving(MemoryOutbox):
    """An outbox that outlives its gateway, and sets `ended` when it is given a receipt."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = trio.Event()

    def finished(self, receipt: Receipt) -> None:
        super().finished(receipt)
        self.ended.set()


def gateway_on(
    channel: Plain, outbox: MemoryOutbox | None = None
) -> AbstractAsyncContextManager[Gateway]:
    config = GatewayConfig(
        instances=[Instance("bot", "plain", FakeSettings())],
        plugins=Filter(deny=("telegram", "slack", "discord")),
        partition_count=1,
        drain_timeout=0.0,
    )
    return open_gateway(
        config,
        plugins=[("plain", channel)],
        outbox=outbox,
        rng=Random("moves"),
        wall_clock=virtual_wall,
        providers=Providers(),
    )


# -- the scenarios


async def send(recorder: Recorder) -> None:
    async with gateway_on(Plain()) as gateway:
        for _ in range(RUNS):
            recorder.forget()
            recorder.begin()
            await gateway.send("bot", "room", "hello")
            recorder.end()
            await trio.sleep(PAUSE)


async def limited(recorder: Recorder, *, rest: bool) -> None:
    channel = Plain()
    async with gateway_on(channel) as gateway:
        for _ in range(RUNS):
            recorder.forget()
            await _limited(gateway, channel, recorder, rest=rest)
            await trio.sleep(PAUSE)


async def _limited(gateway: Gateway, channel: Plain, recorder: Recorder, *, rest: bool) -> None:
    at_raise, at_idle = (recorder.end, recorder.begin) if rest else (recorder.begin, recorder.end)
    raised, sent = trio.Event(), channel.sent

    async def disturb() -> None:
        raised.set()
        at_raise()
        raise ConnectionError("429")

    async def deliver() -> None:
        if rest:
            recorder.begin()
        await gateway.send("bot", "room", "hello")
        recorder.end()

    channel.disturb = disturb
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliver)
        await raised.wait()
        await wait_all_tasks_blocked()
        at_idle()
        _ensure(channel.sent == sent, "the repeat waits for `retry_after`")


async def edit(recorder: Recorder) -> None:
    async with gateway_on(Words()) as gateway:
        for _ in range(RUNS):
            recorder.forget()
            sent = await gateway.send("bot", "room", "one two three four")
            assert sent.ref is not None  # noqa: S101 - it was delivered
            await trio.sleep(PAUSE)
            recorder.begin()
            edited = await gateway.edit(sent.ref, "one two three")
            recorder.end()
            _ensure(edited.ref is not None and len(edited.ref.parts) == 3, "three parts stay")


async def recovery(recorder: Recorder) -> None:
    for _ in range(RUNS):
        recorder.forget()
        channel, outbox = Plain(), Surviving()
        channel.disturb = trio.sleep_forever
        async with gateway_on(channel, outbox) as gateway:
            await gateway.submit(Send(instance_id="bot", external_room_id="room", text="hello"))
            await trio.sleep(PAUSE / 2)
        opening = gateway_on(channel, outbox)  # the configuration is checked here, before the count
        recorder.begin()
        async with opening:
            await outbox.ended.wait()
            recorder.end()
        _ensure(channel.sent == 1, "the next gateway sends it")


def _ensure(condition: bool, what: str) -> None:
    """Exit unless the condition holds: a scenario that goes wrong has no figures."""
    if not condition:
        raise SystemExit(f"not so in this scenario: {what}")


SCENARIOS: dict[str, Callable[..., Awaitable[None]]] = {
    "send": send,
    "429": functools.partial(limited, rest=False),
    "429_rest": functools.partial(limited, rest=True),
    "edit": edit,
    "recovery": recovery,
}


def recorded(scenario: str) -> list[Event]:
    """The events of a scenario's second envelope."""
    with Recorder() as recorder:
        run_seeded("moves", SCENARIOS[scenario], recorder)
    return recorder.events


# -- who writes an accepted envelope


@attrs.frozen
class Envelope:
    """The class of an accepted envelope, as read from its source."""

    name: str
    module: str
    attributes: frozenset[str]


def modules() -> dict[str, ast.Module]:
    files = sorted(SOURCE.rglob("*.py"))
    names = {file: ".".join(file.relative_to(SOURCE).with_suffix("").parts) for file in files}
    return {names[file]: ast.parse(file.read_text("utf-8")) for file in files}


def envelope(trees: dict[str, ast.Module]) -> Envelope:
    found = {
        node.name: Envelope(node.name, module, frozenset(_attributes(node)))
        for module, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name in ENVELOPES
    }
    return next(found[name] for name in ENVELOPES if name in found)


def _attributes(node: ast.ClassDef) -> set[str]:
    """The class's slots; without slots, the names that its body annotates."""
    for line in node.body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__slots__":
            return set(ast.literal_eval(line.value)) - {"__weakref__"}
    return {line.target.id for line in node.body if _is_field(line)}  # type: ignore[attr-defined]  # as `_is_field` saw


def _is_field(line: ast.stmt) -> bool:
    return isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)


def writes(tree: ast.Module, of: Envelope) -> set[str]:
    """The envelope's attributes that a module assigns to, other than through `self`."""
    variables = set(ENVELOPES.values()) | set(_annotated(tree, of.name))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and node.attr in of.attributes
        and _last_name(node.value) in variables
    }


def _annotated(tree: ast.Module, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.arg | ast.AnnAssign) or node.annotation is None:
            continue
        kinds = ast.unparse(node.annotation).strip("'\"").split(" | ")
        variable = node.arg if isinstance(node, ast.arg) else _last_name(node.target)
        if name in kinds and variable != "self":
            yield variable


def _last_name(node: ast.expr) -> str:
    """`flight` of `flight` and of `failed.flight`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def writers() -> dict[str, Any]:
    trees = modules()
    of = envelope(trees)
    written = {module: writes(tree, of) for module, tree in trees.items()}
    by = sorted(module for module, attributes in written.items() if attributes)
    return {
        "class": f"{of.module}.{of.name}",
        "attributes": len(of.attributes),
        "written_from_outside": len(set().union(*written.values())),
        "written_by": by,
    }


# -- printing


def measure() -> dict[str, Any]:
    figures = {scenario: counts(recorded(scenario)) for scenario in SCENARIOS}
    return {**figures, "envelope": writers()}


def table(figures: dict[str, Any]) -> Iterator[str]:
    yield f"{'':10}{'modules':>10}{'packages':>10}{'moves between':>16}{'moves between':>16}"
    yield f"{'':30}{'modules':>16}{'packages':>16}"
    for scenario in SCENARIOS:
        entered, packages, between, between_packages = figures[scenario].values()
        yield f"{scenario:10}{entered:>10}{packages:>10}{between:>16}{between_packages:>16}"
    of = figures["envelope"]
    yield ""
    yield f"{of['class']}: {of['attributes']} attributes"
    yield f"{of['written_from_outside']} of them written from {len(of['written_by'])} modules:"
    yield f"  {', '.join(of['written_by'])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--trace", choices=SCENARIOS, help="print the moves of one scenario")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if arguments.trace:
        print("\n".join(trace(recorded(arguments.trace))))
    elif arguments.json:
        print(json.dumps(measure()))
    else:
        print("\n".join(table(measure())))


if __name__ == "__main__":
    main()
