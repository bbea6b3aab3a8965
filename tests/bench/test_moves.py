"""The count of what an envelope passes in core: there is something to count, and always as much."""

from __future__ import annotations

import sys

import pytest

from bench import moves as bench


def test_a_send_passes_as_much_each_time():
    first, again = bench.recorded("send"), bench.recorded("send")
    counted = bench.counts(first)
    assert min(counted.values()) > 0
    assert counted["moves_between_modules"] == len(list(bench.trace(first)))
    assert first == again


@pytest.mark.parametrize(
    ("scenario", "most"), [("send", 60), ("429", 40), ("edit", 75), ("recovery", 200)]
)
def test_what_is_common_passes_few_packages(scenario, most):
    later = sys.version_info >= (3, 12)  # it reports one call more
    assert bench.counts(bench.recorded(scenario))["moves_between_packages"] <= most + later


def test_calls_and_returns_are_moves_and_a_package_is_the_first_name():
    passed = [
        bench.Event(module, "f", back=back)
        for module, back in [
            ("engine.a", False), ("engine.b", False), ("engine.b", True), ("clock", False),
            ("clock", True), ("engine.a", True),
        ]
    ]  # fmt: skip
    assert {
        "modules": 3,
        "packages": 2,
        "moves_between_modules": 3,
        "moves_between_packages": 2,
    } == bench.counts(passed)


def test_the_class_of_an_accepted_envelope_is_found():
    assert bench.writers()["attributes"] > 0
