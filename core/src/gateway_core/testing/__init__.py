"""Fakes and contracts for tests of plugins and applications; may import every package."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gateway_core.testing.driven_time import DrivenTime
from gateway_core.testing.fake_channel import (
    Failure,
    FakeChannel,
    FakeSettings,
    Made,
    event,
    failing,
)
from gateway_core.testing.gateways import EPOCH, open_test_gateway, virtual_wall
from gateway_core.testing.memory_outbox import MemoryOutbox
from gateway_core.testing.seeded_schedule import Checkpoints, run_seeded, seeded_schedule
from gateway_core.testing.sent import Sent

if TYPE_CHECKING:
    from gateway_core.testing.channel_contract import ChannelContract
    from gateway_core.testing.network import Network, open_network
    from gateway_core.testing.outbox_contract import OutboxContract
    from gateway_core.testing.records_contract.contract import RecordsContract

__all__ = [
    "EPOCH",
    "ChannelContract",
    "Checkpoints",
    "DrivenTime",
    "Failure",
    "FakeChannel",
    "FakeSettings",
    "Made",
    "MemoryOutbox",
    "Network",
    "OutboxContract",
    "RecordsContract",
    "Sent",
    "event",
    "failing",
    "open_network",
    "open_test_gateway",
    "run_seeded",
    "seeded_schedule",
    "virtual_wall",
]


_LAZY = {
    "ChannelContract": ("channel_contract", "pytest pytest-trio"),
    "OutboxContract": ("outbox_contract", "pytest pytest-trio"),
    "RecordsContract": ("records_contract.contract", "pytest pytest-trio"),
    "Network": ("network", "'gateway-core[testing]'"),
    "open_network": ("network", "'gateway-core[testing]'"),
}
"""Names that need more packages than core does: the module of each, and what to install."""


def __getattr__(name: str) -> Any:
    """Imports a name of `_LAZY` when it is first used."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, install = _LAZY[name]
    try:
        if name.endswith("Contract"):
            _show_values(module)
        return getattr(import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        text = f"{name} needs {error.name}: install {install}"
        raise ModuleNotFoundError(text, name=error.name) from error


def _show_values(module: str) -> None:
    """Let pytest show what the asserts of a contract compare, as in tests of one's own."""
    package = f"{__name__}.{module.partition('.')[0]}"
    if package not in sys.modules:
        import_module("pytest").register_assert_rewrite(package)
