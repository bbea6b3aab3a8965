"""Starts a PostgreSQL server for tests, which also listens on the loopback address."""

import psycopg

from gateway_contrib.cli.demo.shared.cluster import Cluster, free_port, programs

__all__ = ["Server", "free_port", "programs"]

_RULES = """local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
"""
_UNSAFE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")


class Server(Cluster):
    """One server with its data.

    safe      whether committed transactions survive a kill of the server
    settings  the server's settings, as `name=value`
    """

    def __init__(self, *settings, safe=False):
        usual = ("listen_addresses=127.0.0.1", "max_connections=60", *(() if safe else _UNSAFE))
        super().__init__(programs(), rules=_RULES, settings=[*usual, *settings])
        self._idle = []

    def start(self):
        """Start the server, and wait until it takes connections."""
        if not (self.folder / "data").exists():
            self.make()
        super().start()
        return self

    def tcp_url(self, user, password, database="postgres", **options):
        """The URL of a database of the server, over the loopback address."""
        asked = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}?{asked}"

    def connect(self, database="postgres", user="postgres"):
        """A connection that commits each statement."""
        return psycopg.connect(self.url(database, user), autocommit=True)

    def ran(self, schema, sql, *bound):
        """The rows that the statement returns, if any, on a connection that is used again.

        The schema is first in its path. It knows the tables, which a new one learns with each.
        """
        while self._idle:
            connection = self._idle.pop()
            try:
                connection.execute(f"SET search_path = {schema}")
            except psycopg.OperationalError:
                connection.close()  # a test ended it
            else:
                break
        else:
            connection = self.connect()
            connection.execute(f"SET search_path = {schema}")
        try:
            cursor = connection.execute(sql, bound or None)
            rows = cursor.fetchall() if cursor.description is not None else []
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return rows

    def end(self, *number):
        """As by `Cluster`; no connection outlives it."""
        while self._idle:
            self._idle.pop().close()
        super().end(*number)

    def execute(self, sql, *bound, database="postgres", user="postgres"):
        """The rows that the statement returns, if any."""
        with self.connect(database, user) as connection:
            cursor = connection.execute(sql, bound)
            return cursor.fetchall() if cursor.description is not None else []
