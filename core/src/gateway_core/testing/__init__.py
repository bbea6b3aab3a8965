"""For authors of plugins and for applications' tests: the world in memory."""

from typing import TYPE_CHECKING, Any

from gateway_core.testing.channel import Failure, FakeChannel, FakeSettings, Made
from gateway_core.testing.gateways import EPOCH, open_test_gateway, virtual_wall
from gateway_core.testing.network import Network, open_network
from gateway_core.testing.scheduling import Checkpoints, run_seeded, seeded_schedule

if TYPE_CHECKING:
    from gateway_core.testing.channels import ChannelContract
    from gateway_core.testing.outboxes import OutboxContract

__all__ = [
    "EPOCH",
    "ChannelContract",
    "Checkpoints",
    "Failure",
    "FakeChannel",
    "FakeSettings",
    "Made",
    "Network",
    "OutboxContract",
    "open_network",
    "open_test_gateway",
    "run_seeded",
    "seeded_schedule",
    "virtual_wall",
]


def __getattr__(name: str) -> Any:
    """The contract tests need pytest, which applications' worlds do not."""
    if name == "ChannelContract":
        from gateway_core.testing.channels import ChannelContract  # noqa: PLC0415 - see above

        return ChannelContract
    if name == "OutboxContract":
        from gateway_core.testing.outboxes import OutboxContract  # noqa: PLC0415 - see above

        return OutboxContract
    raise AttributeError(name)
