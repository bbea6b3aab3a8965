"""Lists the modules that are mutated, and the tests of each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

CORE, CONTRIB = "core/src/gateway_core", "contrib/src/gateway_contrib"
ENGINE, ON_DISK = "tests/core/engine", "tests/contrib/sqlite"
STREAMS, ANSWERING, TEXT = "tests/core/streams", "tests/core/answering", "tests/core/text/growing"

TESTS: dict[str, tuple[str, ...]] = {
    f"{CORE}/ratelimits": (
        "tests/core/ratelimits",
        f"{ENGINE}/test_limits.py",
        "tests/core/testing/test_paces.py",
        "tests/core/accounts/test_outages.py",
        f"{STREAMS}/test_pace.py",
    ),
    f"{CORE}/scheduling": (
        "tests/core/scheduling",
        f"{ENGINE}/test_groups.py",
        f"{ENGINE}/test_lanes.py",
        f"{ENGINE}/test_deadlines.py",
        f"{ENGINE}/test_classes.py",
        f"{ENGINE}/test_bounds.py",
        f"{STREAMS}/test_pace.py",
        f"{STREAMS}/test_native.py",
    ),
    f"{CORE}/deliveries": (
        "tests/core/deliveries",
        f"{ENGINE}/test_keys.py",
        f"{ENGINE}/test_verdicts.py",
        f"{ENGINE}/test_edits.py",
        f"{ENGINE}/test_recovery.py",
        "tests/core/telemetry/test_waits.py",
    ),
    f"{CORE}/outboxes": (
        "tests/core/outboxes",
        "tests/core/contract",
        "tests/core/testing/test_memory_outbox.py",
        f"{ENGINE}/test_recovery.py",
        f"{ON_DISK}/test_sqlite_contract.py",
    ),
    f"{CORE}/backlog": (
        "tests/core/backlog",
        f"{ENGINE}/test_outside.py",
        f"{ENGINE}/test_recovery.py",
        f"{ENGINE}/test_followers.py",
        f"{ENGINE}/test_classes_at_the_door.py",
        f"{ON_DISK}/test_sqlite_gateway.py",
        f"{ON_DISK}/test_sqlite_requests.py",
    ),
    f"{CORE}/groups": ("tests/core/groups", f"{ON_DISK}/test_sqlite_broadcast.py"),
    f"{CORE}/text/growing": (f"{TEXT}/test_heal.py", f"{TEXT}/test_settled.py", TEXT),
    f"{CORE}/deliveries/growing": (
        "tests/core/deliveries/test_growth.py",
        f"{STREAMS}/test_streams.py",
        STREAMS,
    ),
    f"{CORE}/scheduling/natively": (f"{STREAMS}/test_native.py", STREAMS),
    f"{CORE}/streams": (f"{STREAMS}/test_streams.py", STREAMS, ANSWERING),
    f"{CORE}/answering": (ANSWERING, f"{STREAMS}/test_answers.py", "tests/core/telemetry"),
    f"{CORE}/engine/consequences.py": (
        f"{ENGINE}/test_verdicts.py",
        f"{ENGINE}/test_crashes.py",
        f"{ENGINE}/test_limits.py",
        f"{ENGINE}/test_moves.py",
        "tests/core/accounts/test_instances.py",
        "tests/core/accounts/test_outages.py",
    ),
    **{
        f"{CONTRIB}/{name}.py": (
            f"{ON_DISK}/test_sqlite_statements.py",
            f"{ON_DISK}/test_sqlite_contract.py",
            f"{ON_DISK}/test_sqlite_requests.py",
            f"{ON_DISK}/test_sqlite_failures.py",
            f"{ON_DISK}/test_sqlite_filing.py",
            f"{ON_DISK}/test_sqlite_queue.py",
            f"{ON_DISK}/test_sqlite_gateway.py",
        )
        for name in ("sqlite/operators/requests", "durable/rows", "sqlite/writing")
    },
}
"""The tests of each folder or module, the quickest first: the first failing test ends the run."""


def modules(root: Path) -> Iterator[tuple[str, str]]:
    """Each module, with the key of its tests in `TESTS`."""
    for place in TESTS:
        path = root / place
        for module in [path] if path.is_file() else sorted(path.glob("*.py")):
            yield str(module.relative_to(root)), place
