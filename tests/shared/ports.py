"""Ports of this machine, and what is served there for Prometheus."""

import os
import socket
from contextlib import suppress
from itertools import count
from urllib.request import urlopen

_PORTS = range(20_000, 32_000)
"""Below those that whoever asks for any port gets, so that nobody gets one between two of ours."""
_turn = count(os.getpid() * 61)


def free_port():
    """One that is free now; processes that run tests side by side begin at different ones."""
    while True:
        port = _PORTS[next(_turn) % len(_PORTS)]
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def scraped(port):
    """The page of metrics. Raises `URLError` while nobody listens."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
        return page.read().decode()
