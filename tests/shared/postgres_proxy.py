"""A proxy between a client and a PostgreSQL server that loses a COMMIT or its answer on request."""

import socket
import threading
from contextlib import contextmanager, suppress

COMMIT = b"COMMIT\0"
AGAIN = (b"INSERT INTO batches", b"hand_all")
"""Statements with which a client asks again what became of its COMMIT."""


class Proxy:
    """Listens on a loopback port, and passes everything on to the server's socket.

    lose  what is lost of the next COMMIT: `answer` (the server has committed, and the client hears
          nothing), `request` (the COMMIT never arrives), `both` (it arrives only after the client
          has connected again and asks about it), or `silent` (it never arrives, and the client is
          not told so)
    """

    def __init__(self, server):
        self._path = str(server.folder / f".s.PGSQL.{server.port}")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.lose = ""
        self.lost = 0
        self._asked = threading.Event()
        self._closed = False
        self._lines = []
        self._kept = []
        self._threads = []
        self._begin(self._accept)

    def _begin(self, *work):
        target, *args = work
        self._threads.append(threading.Thread(target=target, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._closed:
                    client.close()
                    continue
                there = socket.socket(socket.AF_UNIX)
                there.connect(self._path)
                self._lines += [client, there]
                self._begin(self._up, client, there)
                self._begin(self._down, there, client)

    def _up(self, client, there):
        with suppress(OSError):
            while some := client.recv(1 << 16):
                if any(words in some for words in AGAIN):
                    self._asked.set()
                if COMMIT in some and self.lose:
                    self._lose(some, client, there)
                    return
                there.sendall(some)
        _cut(there)

    def _lose(self, some, client, there):
        how, self.lose = self.lose, ""
        self.lost += 1
        if how == "silent":
            self._kept.append(client)
            while client.recv(1 << 16):
                pass
        elif how == "request":
            _cut(there)
            _cut(client)
        elif how == "answer":
            _cut(client)
            there.sendall(some)
        else:
            self._asked.clear()
            _cut(client)
            self._asked.wait()
            threading.Event().wait(0.5)
            there.sendall(some)

    def _down(self, there, client):
        with suppress(OSError):
            while some := there.recv(1 << 16):
                client.sendall(some)
        if client not in self._kept:
            _cut(client)

    def shut(self):
        """Refuse new connections; existing ones stay."""
        self._closed = True

    def cut(self):
        """Cut every connection, and refuse new ones."""
        self.shut()
        for line in self._lines:
            _cut(line)

    def join(self):
        """Take new connections again."""
        self._closed = False

    def close(self):
        """End the proxy, with every connection, thread and socket."""
        _cut(self._listener)  # wakes the thread that waits for a connection
        self._asked.set()
        self.cut()
        for thread in self._threads:
            thread.join(30)
        for line in (self._listener, *self._lines):
            line.close()


def _cut(line):
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


@contextmanager
def between(server):
    """A proxy, and its URL for a client."""
    proxy = Proxy(server)
    options = "sslmode=disable&gssencmode=disable"
    try:
        yield proxy, f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?{options}"
    finally:
        proxy.close()
