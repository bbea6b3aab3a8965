"""Makes the files of messages for `bench.crashes --files`, and checks them after the kills.

Some messages have no files, some have small files, which are stored in the database, and some have
large files, which are stored beside it. One picture goes to all rooms, and is stored once.
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
"""Sizes in bytes of files that are stored in the database, and of files beside it."""
STEPS = (
    "before the bytes", "a file named", "after the bytes", "during the upload",
    "a file to be removed",
)  # fmt: skip
"""Further steps at which a process may be killed, besides the steps of texts."""
SHARED = Random("shared").randbytes(150_000)


def files_of(number: int) -> list[File]:
    """The files of message `number`, which depend only on this number; each name has it too."""
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
    """Call `at` with the name of each step when the folder beside a database reaches it."""
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
    """The files that were seen in the rooms: whose message they belong to, and how often."""

    _seen: Counter[tuple[int, bytes | None]] = attrs.field(factory=Counter)
    _twice: set[tuple[str, int]] = attrs.field(factory=set)

    def look(
        self, channel: str, message: Message, content_of: Callable[[str | None], bytes | None]
    ) -> None:
        """Note the files of a platform's message; `content_of` returns the bytes of a digest.

        If the platform had a file's bytes already, the file keeps its first name, so the message's
        text says which message it belongs to. In an album only one file has the text; the others
        are sent only once, so their names say it.
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
        """The message's files that are missing, without those of parts whose outcome is unknown."""
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
        """The messages with a file that is on that channel more than once."""
        return {number for where, number in self._twice if where == channel}

    def strange(self) -> Iterator[str]:
        """Lines about files that their message does not have."""
        for number, content in self._seen:
            if content not in [file.source for file in files_of(number)]:
                yield f"m{number}: a file of {len(content or b'')} bytes that it does not have"


def orphans(path: Path) -> list[str]:
    """Stored bytes that are not needed any more, in the database and beside it, after the last end.

    An envelope that ended `unknown` keeps its bytes while it is remembered, since an operator may
    retry it.
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
