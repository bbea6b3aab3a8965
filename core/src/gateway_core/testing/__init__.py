"""For authors of plugins and for applications' tests: the world in memory."""

from gateway_core.testing.network import Network, open_network

__all__ = ["Network", "open_network"]
