"""A delivery, and each of its steps, is written by its own methods only."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

import gateway_core
from gateway_core import Disposition, Part, Scope, Send
from gateway_core.authors import Verdict, hookimpl
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step
from gateway_core.deliveries.waits import WaitClock
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, open_test_gateway

CORE = Path(gateway_core.__file__).parent
HOME = {
    "Delivery": "gateway_core.deliveries.delivery",
    "Step": "gateway_core.deliveries.steps",
    "WaitClock": "gateway_core.deliveries.waits",
}
"""The classes, each with the one module that may write its attributes."""
CLASSES = (Delivery, Step, WaitClock)
SLOTS = {c.__name__: {*c.__slots__} - {"__weakref__"} for c in CLASSES}
CALLED = {
    "delivery": "Delivery", "victim": "Delivery", "useless": "Delivery", "made": "Delivery",
    "before": "Delivery", "origin": "Delivery", "other": "Delivery", "clock": "WaitClock",
    "step": "Step", "each": "Step",
}  # fmt: skip
"""What the names of variables and attributes say where no annotation does."""
SETTERS = {"setattr", "delattr", "object.__setattr__", "object.__delattr__"}


# -- in the source


class Written(NamedTuple):
    """An attribute of a delivery or a step that is assigned to."""

    line: int
    what: str


def class_in(annotation: ast.expr) -> str | None:
    """The one of the classes that an annotation is of, alone or in a union with None."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    if isinstance(annotation, ast.BinOp):
        return class_in(annotation.left) or class_in(annotation.right)
    return annotation.id if isinstance(annotation, ast.Name) and annotation.id in HOME else None


def variables(function: ast.AST) -> dict[str, str | None]:
    """Names whose class an annotation in a function tells; None: it is another class."""
    known: dict[str, str | None] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.arg) and node.annotation is not None:
            known[node.arg] = class_in(node.annotation)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            known[node.target.id] = class_in(node.annotation)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            made = node.value.func
            if isinstance(made, ast.Name) and made.id in HOME:
                known |= {t.id: made.id for t in node.targets if isinstance(t, ast.Name)}
    return known


def holder(value: ast.expr, known: dict[str, str | None]) -> str | None:
    """The class of what stands before the dot, as far as the source tells."""
    if isinstance(value, ast.Name):
        return known[value.id] if value.id in known else CALLED.get(value.id)
    if isinstance(value, ast.Attribute):
        return CALLED.get(value.attr)
    if isinstance(value, ast.Subscript):
        several = ast.unparse(value.value).rsplit(".")[-1]
        return {"steps": "Step", "queue": "Delivery", "_deliveries": "Delivery"}.get(several)
    return None


def targets(node: ast.AST) -> Iterator[ast.Attribute]:
    """The attributes that a statement assigns to, deletes, or binds as it loops or enters."""
    match node:
        case ast.Assign(targets=several) | ast.Delete(targets=several):
            roots: list[ast.expr] = several
        case ast.AugAssign(target=one) | ast.AnnAssign(target=one) | ast.NamedExpr(target=one):
            roots = [one]
        case ast.For(target=one) | ast.AsyncFor(target=one) | ast.comprehension(target=one):
            roots = [one]
        case ast.withitem(optional_vars=ast.expr() as one):
            roots = [one]
        case _:
            return
    for root in roots:
        stack = [root]
        while stack:
            target = stack.pop()
            if isinstance(target, ast.Tuple | ast.List):
                stack += target.elts
            elif isinstance(target, ast.Starred):
                stack.append(target.value)
            elif isinstance(target, ast.Attribute):
                yield target


def writes(source: str, module: str) -> list[Written]:
    """Every write to an attribute of one of the classes outside the module where it lives."""
    found: list[Written] = []

    def look(node: ast.AST, known: dict[str, str | None], owner: str | None) -> None:
        if isinstance(node, ast.ClassDef):
            owner = node.name
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            known = known | variables(node)
            if owner is not None:
                known["self"] = owner if owner in HOME else None
        for target in targets(node):
            name = holder(target.value, known)
            if name is not None and target.attr in SLOTS[name] and HOME[name] != module:
                found.append(Written(target.lineno, f"{ast.unparse(target)} ({name})"))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in SETTERS and node.args:
            name = holder(node.args[0], known)
            if name is not None and HOME[name] != module:
                found.append(Written(node.lineno, ast.unparse(node)))
        for child in ast.iter_child_nodes(node):
            look(child, known, owner)

    look(ast.parse(source), {}, None)
    return found


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(CORE.parent).with_suffix("").parts)


def test_no_other_module_writes_it():
    wrong = {
        module_of(path): found
        for path in sorted(CORE.rglob("*.py"))
        if (found := writes(path.read_text(), module_of(path)))
    }
    assert {} == wrong


@pytest.mark.parametrize(
    "statement",
    [
        "delivery.started = True",
        "delivery.crashes += 1",
        "delivery.deadline: int = 0",
        "delivery.priority, delivery.deadline = 'bulk', 0",
        "(now, *(_, delivery.deadline)) = given",
        "del delivery.receipt",
        "for delivery.lane in lanes: pass",
        "with lane as delivery.lane: pass",
        "step.outcome = 'unknown'",
        "delivery.step.outcome = 'unknown'",
        "delivery.steps[0].started = False",
        "lane.queue[0].parked = True",
        "lane.queue[0].step.number += 1",
        "victim.receipt = None",
        "other.cause = 'queue'",
        "delivery._clock = WaitClock(0)",
        "running.delivery.verdict = None",
        "setattr(delivery, 'verdict', None)",
        "object.__setattr__(step, 'verdict', None)",
    ],
)
def test_a_write_elsewhere_is_seen(statement):
    source = f"class Planner:\n    def plan(self, delivery, step, lane):\n        {statement}\n"
    assert 1 <= len(writes(source, "gateway_core.engine.planning"))


@pytest.mark.parametrize(
    ("parameter", "seen"),
    [("it: Delivery", 1), ("it: Delivery | None", 1), ("it: 'Step'", 1), ("it: Lane", 0)],
)
def test_an_annotation_tells_what_a_name_holds(parameter, seen):
    source = f"def plan({parameter}):\n    it.verdict = None\n"
    assert seen == len(writes(source, "gateway_core.engine.planning"))


def test_a_name_says_nothing_where_an_annotation_says_otherwise():
    source = "def count(step: Row, delivery: Delivery):\n    step.outcome = 'sent'\n"
    assert [] == writes(source, "gateway_core.engine.planning")


# -- as it runs


class Watch:
    """Notes who writes: `strangers` are writes from outside the class's module."""

    def __init__(self) -> None:
        self.strangers: list[str] = []
        self.seen: Counter[str] = Counter()

    def _setter(self, owner: type) -> Any:
        whole, home = owner.__setattr__, HOME[owner.__name__]

        def write(it: Any, name: str, value: Any) -> None:
            frame = sys._getframe(1)
            module = frame.f_globals["__name__"]
            self.seen[f"{owner.__name__}.{name}"] += 1
            if module != home:
                place = f"{module}:{frame.f_lineno} {frame.f_code.co_name}"
                self.strangers.append(f"{owner.__name__}.{name} by {place}")
            whole(it, name, value)

        return write

    @contextmanager
    def looking(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        with patch.context() as within:
            for owner in CLASSES:
                within.setattr(owner, "__setattr__", self._setter(owner), raising=False)
            yield


@pytest.fixture
def watch(monkeypatch):
    """Looks at every write during the test, and holds them to the law afterwards."""
    watch = Watch()
    with watch.looking(monkeypatch):
        yield watch
    assert [] == watch.strangers
    assert watch.seen["Delivery.receipt"], "nothing was looked at"


class Words(FakeChannel):
    """Cuts a text into its words: one part each."""

    @hookimpl
    def chunk(self, envelope: Send) -> list[Part]:
        words = re.finditer(r"\S+", envelope.text)
        return [Part(payload={"text": word[0]}, span=word.span()) for word in words]


def failing(*errors: Exception | None) -> Any:
    """The attempts' results, one after the other; then all is well."""
    left = list(errors)

    async def run(_: Any) -> None:
        error = left.pop(0) if left else None
        if error is not None:
            raise error

    return run


def verdict(**fields: Any) -> Failure:
    return Failure(Verdict(**fields))


LIMITED = {"error_class": "retryable", "reason": "rate_limited", "dispatched": "no"}


async def test_a_send_of_several_parts_is_written_by_its_own(watch, autojump_clock):
    async with open_test_gateway(Words()) as gateway:
        assert (await gateway.send("bot", "r", "one two three")).delivered
    assert watch.seen["Step.outcome"] >= 3


async def test_a_refusal_by_a_limit(watch, autojump_clock):
    error = verdict(**LIMITED, scope=Scope.ROOM, retry_after=10.0)
    async with open_test_gateway(Words(script=failing(error, error))) as gateway:
        receipt = await gateway.send("bot", "r", "one two")
    assert receipt.delivered
    assert watch.seen["Step.refusals"] > 2


async def test_an_edit_of_several_parts(watch, autojump_clock):
    async with open_test_gateway(Words()) as gateway:
        sent = await gateway.send("bot", "r", "one two three")
        assert (await gateway.edit(sent.ref, "four five")).delivered
        await gateway.delete(sent.ref)
    assert watch.seen["Delivery.target"]


async def test_what_nobody_knows_and_what_is_changed(watch, autojump_clock):
    errors = [
        verdict(error_class="retryable", reason="outcome_unknown", dispatched="unknown"),
        verdict(error_class="non_retryable", reason="bad_format", transform="plain"),
        verdict(error_class="retryable", reason="room_moved", moved_to="r2"),
    ]
    async with open_test_gateway(Words(script=failing(*errors)), drain_timeout=100) as gateway:
        receipt = await gateway.send("bot", "r", "one two", ttl=1000)
    assert "r2" == receipt.moved_to
    assert watch.seen["Step.maybe_sent"]
    assert watch.seen["Delivery.transforms"]


async def test_a_cancel_a_deadline_a_schedule_and_a_shedding(watch, autojump_clock):
    channel = FakeChannel(latency=5)
    async with open_test_gateway(channel, drain_timeout=100, partition_count=1) as gateway:
        tickets = [
            await gateway.submit(Send(instance_id="bot", external_room_id="r", text="x", **more))
            for more in ({}, {}, {"ttl": 1.0}, {"ttl": 900.0, "priority": "bulk"})
        ]
        await trio.sleep(0.5)
        assert await gateway.cancel(tickets[1])
        ends = [(await ticket.receipt()).disposition for ticket in tickets]
    assert [Disposition.DELIVERED, Disposition.CANCELLED, Disposition.EXPIRED] == ends[:3]
    assert watch.seen["Delivery.started"]


async def test_a_recovery(watch, autojump_clock):
    """A gateway closes in the middle of a message; the next one goes on there."""
    outbox = MemoryOutbox()
    async with open_test_gateway(Words(latency=5), outbox=outbox, drain_timeout=7) as gateway:
        ticket = await gateway.submit(
            Send(instance_id="bot", external_room_id="r", text="one two three")
        )
        await trio.sleep(0.1)
    async with open_test_gateway(Words(), outbox=outbox, drain_timeout=100) as gateway:
        await trio.sleep(100)
        assert (await gateway.status(ticket.id)).receipt.delivered
    assert watch.seen["Delivery.restored"]
    assert watch.seen["Step.maybe_sent"]


@pytest.mark.parametrize("owner", [Delivery, Step], ids=lambda owner: owner.__name__)
def test_a_write_of_a_stranger_is_noted(owner, monkeypatch):
    watch = Watch()
    it = (
        Step("send", 0)
        if owner is Step
        else Delivery("id", Send(instance_id="bot", external_room_id="r", text="x"), ())
    )
    with watch.looking(monkeypatch):
        it.started = True
    assert [f"{owner.__name__}.started"] == [said.split(" by ")[0] for said in watch.strangers]
