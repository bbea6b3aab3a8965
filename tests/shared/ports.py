"""Ports of this machine, and what is served there for Prometheus."""

import socket
from urllib.request import urlopen


def free_port():
    """One that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def scraped(port):
    """The page of metrics. Raises `URLError` while nobody listens."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        return page.read().decode()
