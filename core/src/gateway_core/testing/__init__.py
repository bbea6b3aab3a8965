"""For authors of plugins and for applications' tests: the world in memory."""

from gateway_core.testing.channel import Failure, FakeChannel, FakeSettings, Made
from gateway_core.testing.gateways import EPOCH, open_test_gateway, virtual_wall
from gateway_core.testing.network import Network, open_network
from gateway_core.testing.scheduling import Checkpoints, run_seeded, seeded_schedule

__all__ = [
    "EPOCH",
    "Checkpoints",
    "Failure",
    "FakeChannel",
    "FakeSettings",
    "Made",
    "Network",
    "open_network",
    "open_test_gateway",
    "run_seeded",
    "seeded_schedule",
    "virtual_wall",
]
