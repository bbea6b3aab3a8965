"""Runs PgBouncer in transaction mode, in front of a server of the tests."""

import os
import shutil
import signal
import subprocess
import threading
from contextlib import contextmanager

import psycopg
import pytest
from postgres_server import free_port

ROLES = ("postgres", "producer_web")


def program():
    """The path of PgBouncer's program; None: this machine has none."""
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


class Pooler:
    """A pooler on a free port of the loopback address, with `sessions` sessions of the server.

    settings  additional lines of the configuration
    """

    def __init__(self, server, sessions, settings):
        self._server = server
        self.port = free_port()
        self.folder = server.folder / f"pooler-{self.port}"
        self.folder.mkdir()
        os.chown(self.folder, server.user, -1)
        (self.folder / "users").write_text("".join(f'"{role}" ""\n' for role in ROLES))
        lines = [
            "[databases]", f"* = host={server.folder} port={server.port}", "[pgbouncer]",
            "listen_addr = 127.0.0.1", f"listen_port = {self.port}", "unix_socket_dir =",
            "auth_type = trust", f"auth_file = {self.folder / 'users'}",
            "pool_mode = transaction", f"default_pool_size = {sessions}", "min_pool_size = 0",
            "max_prepared_statements = 0", "server_round_robin = 1", *settings,
        ]  # fmt: skip
        (self.folder / "settings").write_text("\n".join(lines))
        self._process = None

    def start(self):
        """Start the pooler, and wait until it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._server.as_user, program(), "-q", str(self.folder / "settings")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        while True:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                threading.Event().wait(0.02)
            else:
                return self

    def end(self):
        """Kill the pooler."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def url(self, user="postgres", database="postgres"):
        """The pooler's URL."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def connect(self, **options):
        """An application's connection without prepared statements, as PgBouncer requires."""
        return psycopg.connect(self.url(), prepare_threshold=None, **options)


@contextmanager
def pooled(server, *settings, sessions=2):
    """A pooler in front of the server; skips the test if PgBouncer is not installed."""
    if program() is None:
        pytest.skip("not tried: there is no PgBouncer here (Debian's `pgbouncer`)")
    pooler = Pooler(server, sessions, settings)
    try:
        yield pooler.start()
    finally:
        pooler.end()
