"""Finds free ports of this machine, and reads the metrics that are served for Prometheus."""

import os
import socket
from contextlib import suppress
from itertools import count
from urllib.request import urlopen

_PORTS = range(20_000, 32_000)
"""Below the ports that the system gives out, so that no other program gets one of these ports."""
_turn = count(os.getpid() * 61)


def free_port():
    """A port that is free now; test processes that run side by side begin at different ports."""
    while True:
        port = _PORTS[next(_turn) % len(_PORTS)]
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def scraped(port):
    """The page of metrics. Raises `URLError` while no server listens."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
        return page.read().decode()
