"""An application that follows endings, and a check of the endings that it got, despite kills.

It keeps its rows and its cursor in one file, which it writes after every few endings. Another file
has each ending that it got, and the cursor that it started from; a kill loses nothing of it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import apsw
import attrs

from gateway_core import Ended, Gateway

BATCH = 4
"""How many endings are written together; after a kill before that, they come again."""


class Application:
    """Follows `gateway.endings`, with its files in `folder`.

    at  called with the name of each step at which the process might be killed
    """

    def __init__(self, folder: Path, at: Callable[[str], None] = lambda _: None) -> None:
        self._db = apsw.Connection(str(folder / "application.db"))
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS rows (cursor TEXT, id TEXT)")
        self._log = os.open(folder / "told.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._at = at
        self._batch: list[Ended] = []
        self.number = 0

    def close(self) -> None:
        os.close(self._log)
        self._db.close()

    async def follow(self, gateway: Gateway) -> None:
        """Follow endings until the gateway closes or the process is killed."""
        cursor = self.cursor()
        self._say(f"after {cursor or '-'}")
        async for ended in gateway.endings(after=cursor):
            self.told(ended)
        self.store()

    def told(self, ended: Ended) -> None:
        self._say(f"told {ended.cursor} {ended.receipt.envelope_id}")
        self._at("ending told")
        self.number = number_of(ended.cursor)
        self._batch.append(ended)
        if len(self._batch) == BATCH:
            self.store()
            self._at("cursor stored")

    def store(self) -> None:
        """Write all rows of the batch, or none: the newest row has the cursor to go on from."""
        with self._db:
            for ended in self._batch:
                row = (ended.cursor, ended.receipt.envelope_id)
                self._db.execute("INSERT INTO rows VALUES (?, ?)", row)
        self._batch.clear()

    def cursor(self) -> str | None:
        newest = self._db.execute("SELECT cursor FROM rows ORDER BY rowid DESC LIMIT 1").get
        return str(newest) if newest is not None else None

    def _say(self, line: str) -> None:
        os.write(self._log, f"{line}\n".encode())


def number_of(cursor: str | None) -> int:
    """The number of the cursor's ending; 0: there is no cursor."""
    return int(cursor.rpartition(".")[2]) if cursor else 0


@attrs.frozen
class Life:
    """The endings that one process got, by the application's files.

    stored  the number of the newest row when the process began
    after   the number that it followed from; None: it ended before it followed
    told    endings by number and id, in the order in which they came
    """

    stored: int
    after: int | None
    told: Sequence[tuple[int, str]]


@attrs.frozen
class Followed:
    """The outcome of all processes together.

    told      endings that came, each counted once; `repeated`: how many came again
    missing   endings that never came
    mistaken  other broken promises: a wrong order or row, a repetition that no cursor explains
    """

    told: int
    repeated: int
    missing: Sequence[str]
    mistaken: Sequence[str]

    @property
    def holds(self) -> bool:
        return not (self.missing or self.mistaken)

    def __str__(self) -> str:
        wrong = f", {len(self.mistaken)} MISTAKEN" if self.mistaken else ""
        return (
            f"{self.told} endings told, {self.repeated} repeated,"
            f" {len(self.missing)} missing{wrong}"
        )


NOTHING = Followed(0, 0, (), ())


class Lives:
    """Reads the application's files between two of its processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = self._stored = 0
        self.all: list[Life] = []

    def ended(self) -> None:
        """Read the files after a process has ended or was killed."""
        log = self._folder / "told.log"
        lines = (log.read_text() if log.exists() else "").splitlines()
        after, told = None, []
        for line in lines[self._read :]:
            word, cursor, *names = line.split()
            if word == "after":
                after = number_of(cursor if cursor != "-" else None)
            else:
                told.append((number_of(cursor), names[0]))
        self.all.append(Life(self._stored, after, told))
        self._read = len(lines)
        self._stored = max((number for number, _ in self.rows()), default=0)

    def rows(self) -> list[tuple[int, str]]:
        """The application's rows, in the order in which it wrote them."""
        if not (file := self._folder / "application.db").exists():
            return []
        database = apsw.Connection(str(file))
        try:
            found = database.execute("SELECT cursor, id FROM rows ORDER BY rowid").fetchall()
        except apsw.SQLError:  # killed before it had a table
            return []
        finally:
            database.close()
        return [(number_of(cursor), name) for cursor, name in found]


def followed(
    lives: Sequence[Life], rows: Sequence[tuple[int, str]], endings: Sequence[tuple[int, str]]
) -> Followed:
    """Compare the endings that came, and the application's rows, with all endings.

    Each process must get all endings after its stored cursor, in order. Then the application's rows
    have each ending once.

    endings  all endings, by number and id
    """
    told = Counter(each for life in lives for each in life.told)
    missing = [f"ending {n} of {name} is missing" for n, name in endings if (n, name) not in told]
    mistaken = [text for at, life in enumerate(lives) for text in _mistakes(at, life, endings)]
    for row, ended in zip_longest(rows, endings):
        if row != ended:
            mistaken.append(f"the application has {row} in the place of {ended}")
            break
    return Followed(len(told), told.total() - len(told), missing, mistaken)


def _mistakes(at: int, life: Life, endings: Sequence[tuple[int, str]]) -> Iterator[str]:
    if life.after is not None and life.after != life.stored:
        yield f"life {at}: it followed from {life.after} on, though {life.stored} is stored"
    expected = [each for each in endings if each[0] > life.stored]
    for told, ended in zip_longest(life.told, expected[: len(life.told)]):
        if told != ended:
            yield f"life {at}: told {told} in the place of {ended}"
            return


def endings_in(path: Path) -> list[tuple[int, str]]:
    """All endings, with their numbers in the outbox's file."""
    database = apsw.Connection(str(path))
    try:
        return database.execute("SELECT number, id FROM history ORDER BY number").fetchall()
    finally:
        database.close()
