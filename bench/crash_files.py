"""The files of messages that `bench.crashes --files` sends, and what must hold of them.

Some messages have none, some small ones, which stand in the database, and some large ones, beside
it. One picture goes to all rooms, and is stored once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import apsw
import attrs

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.sqlite.beside.byte_files import Folder, folder_of
from gateway_core import File

SMALL, LARGE = (200, 20_000), (300_000, 600_000)
"""Bytes of files that stand in the database, and beside it."""
STEPS = (
    "before the bytes", "a file named", "after the bytes", "during the upload",
    "a file to be removed",
)  # fmt: skip
"""Where a process may be killed beside the steps that texts have."""
SHARED = Random("shared").randbytes(150_000)


def files_of(number: int) -> list[File]:
    """What goes with message `number`: by its number alone, and each by its name."""
    rng = Random(f"files of {number}")
    kind = rng.choice(["none", "small", "large", "two", "shared"])
    if kind == "none":
        return []
    if kind == "shared":
        return [File(SHARED, name=f"m{number}f0.bin")]
    sizes = {"small": [SMALL], "large": [LARGE], "two": [SMALL, LARGE]}[kind]
    return [
        File(rng.randbytes(rng.randint(*size)), name=f"m{number}f{at}.bin")
        for at, size in enumerate(sizes)
    ]


def on_the_way(folder: Folder, at: Callable[[str], None]) -> None:
    """Call `at` with each step of the files in the folder beside a database."""
    name, remove = folder.name, folder.remove

    def named(new: Path, digest: str) -> None:
        name(new, digest)
        at("a file named")

    def removed(digest: str) -> None:
        at("a file to be removed")
        remove(digest)

    folder.name, folder.remove = named, removed  # type: ignore[method-assign]  # to be killed there


@attrs.define
class SeenFiles:
    """What stands in the rooms, of whose message, and how often."""

    _seen: Counter[tuple[int, bytes | None]] = attrs.field(factory=Counter)
    _twice: set[tuple[str, int]] = attrs.field(factory=set)

    def look(
        self, channel: str, message: Message, content_of: Callable[[str | None], bytes | None]
    ) -> None:
        """A message of a channel's platform, which has the bytes of a digest.

        One whose bytes the platform had already keeps the name that they came with: the text beside
        it says whose it is. Of an album only one file has the text; those go once, by their names.
        """
        of_text = re.match(r"m(\d+)w", message.text)
        for file in message.files:
            of_name = re.match(r"m(\d+)f", file.name)
            number = int((of_text or of_name or [0, -1])[1])
            one = number, content_of(file.digest)
            self._seen[one] += 1
            if self._seen[one] > 1:
                self._twice.add((channel, number))

    def missing(self, number: int, receipt: Mapping[str, Any]) -> list[str]:
        """Those of the message that are nowhere, but for parts whose receipt says: unknown."""
        unknown = {
            place
            for part in receipt.get("parts", ())
            if part["outcome"] == "unknown"
            for place in part.get("files") or ()
        }
        return [
            file.name
            for place, file in enumerate(files_of(number))
            if not self._seen[number, file.source] and place not in unknown
        ]

    def twice(self, channel: str) -> set[int]:
        """The messages of which a file stands on that channel more than once."""
        return {number for where, number in self._twice if where == channel}

    def strange(self) -> Iterator[str]:
        """Files that nobody sent so."""
        for number, content in self._seen:
            if content not in [file.source for file in files_of(number)]:
                yield f"m{number}: a file of {len(content or b'')} bytes that it does not have"


def orphans(path: Path) -> list[str]:
    """The bytes that nobody needs any more, in the database and beside it, when nothing waits.

    What ended unknown keeps its own for as long as it is remembered: an operator may send it again.
    """
    connection = apsw.Connection(str(path))
    try:
        uses = connection.execute(_USES).fetchall()
        held = dict(connection.execute("SELECT digest, content IS NULL FROM bytes"))
    finally:
        connection.close()
    needed = {digest for digest, ended in uses if ended == "unknown"}
    folder = folder_of(path)
    names = {each.name for each in folder.iterdir()} if folder.exists() else set()
    beside = {digest for digest in needed if held.get(digest)}
    return [
        *(
            f"a use of {digest}, by what ended {ended}"
            for digest, ended in uses
            if ended != "unknown"
        ),
        *(f"bytes {digest} in the database" for digest in held if digest not in needed),
        *(f"{name} beside it" for name in sorted(names - beside)),
        *(f"no {name} beside it" for name in sorted(beside - names)),
    ]


_USES = """SELECT digest, receipt ->> 'disposition'
    FROM uses LEFT JOIN history USING (seq)"""
