"""The seeded order of tasks, and the private names that it stands on."""

from __future__ import annotations

import hashlib

import pytest
import trio
from trio._core import _run

from gateway_core.testing import Checkpoints, run_seeded, seeded_schedule
from gateway_core.testing.seeded_schedule import GENERATOR, SWITCH


async def crowd() -> str:
    """Eight tasks of five steps each; who came when, as a digest."""
    order: list[str] = []

    async def task(name: int) -> None:
        for step in range(5):
            order.append(f"{name}.{step}")
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for name in range(8):
            nursery.start_soon(task, name)
    return hashlib.sha256(" ".join(order).encode()).hexdigest()[:16]


def test_the_order_of_a_seed_is_the_same_in_every_process():
    """The digest was taken elsewhere: if this fails, trio has changed how it draws."""
    assert "7b6fc0503248" == run_seeded("one", crowd)[:12]


def test_another_seed_is_another_order():
    digests = {run_seeded(f"seed {number}", crowd) for number in range(20)}
    assert 20 == len(digests)


def test_the_names_have_not_moved():
    """Fails loudly with a release of trio that calls them otherwise."""
    assert isinstance(getattr(_run, SWITCH), bool)
    assert callable(getattr(_run, GENERATOR).shuffle)


@pytest.mark.parametrize("name", [SWITCH, GENERATOR])
def test_a_moved_name_is_told(monkeypatch, name):
    monkeypatch.delattr(_run, name)
    with pytest.raises(RuntimeError, match="any more"), seeded_schedule("x"):
        pass


def test_what_was_drawn_before_goes_on_afterwards():
    generator = getattr(_run, GENERATOR)
    state = generator.getstate()
    with seeded_schedule("x"):
        generator.random()
    assert state == generator.getstate()


async def visits(seed: str) -> list[bool]:
    """For each of 100 visits to a port, whether another task ran meanwhile."""
    port, steps, seen = Checkpoints(seed), [0], []

    async def count() -> None:
        while True:
            steps[0] += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        for _ in range(100):
            before = steps[0]
            await port()
            seen.append(steps[0] > before)
        nursery.cancel_scope.cancel()
    return seen


def test_checkpoints_are_drawn_from_the_seed():
    """Some visits let others run, some do not; the same ones for the same seed."""
    first, again, other = (run_seeded("schedule", visits, seed) for seed in ("a", "a", "b"))
    assert 0 < sum(first) < 100
    assert first == again
    assert first != other
