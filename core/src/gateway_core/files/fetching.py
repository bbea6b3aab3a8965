"""Files by URL that the gateway fetches itself: from hosts that were allowed, and only then.

What the platform fetches is left to it. A file is in a folder of its own until its envelope is
accepted, or refused.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import FileIO
from typing import Any, Self, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit

import attrs

from gateway_core.contract.beside.origins import FetchError, Origin, origin_of, read_origin
from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.errors import Invalid, OutboxError, Problem
from gateway_core.contract.files import File
from gateway_core.deliveries.step_files import changed_file
from gateway_core.files.checks import file_problems
from gateway_core.files.looking import MANY, MESSAGES, in_thread

_E = TypeVar("_E", bound=Envelope)

Fetch: TypeAlias = Callable[
    [str, Origin, Callable[[int | None, str], None], Callable[[bytes], Awaitable[Any]]],
    Awaitable[None],
]
"""As `gateway_core.http.fetching.fetch`: raises `FetchError`."""


@attrs.define(eq=False)
class Fetching:
    """Fetches files from these hosts, with what can."""

    _hosts: tuple[str, ...]
    _fetch: Fetch
    _origins: frozenset[Origin] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._origins = frozenset(map(read_origin, self._hosts))

    def may_fetch(self, envelope: Envelope) -> bool:
        """Whether it has a file of an allowed host."""
        if not isinstance(envelope, MESSAGES):
            return False
        files: object = envelope.files
        return isinstance(files, Sequence) and any(map(self._origin, files))

    def _origin(self, file: object) -> Origin | None:
        url = file.url if isinstance(file, File) else None
        found = None if url is None else origin_of(url)
        return found if found in self._origins else None

    async def fetched(
        self, envelope: _E, fits: Callable[[_E], Sequence[Problem]], known: FetchedFiles
    ) -> _E:
        """The envelope with files that were fetched in place of URLs which its channel refuses.

        known  what was fetched before: no URL is asked for twice

        Raises `Invalid` with what could not be fetched, and why; `OutboxError` for a full disk.
        """
        assert isinstance(envelope, MESSAGES)  # noqa: S101 - others have none
        files = list(envelope.files or ())
        refused = {problem.place for problem in fits(envelope)}
        for place, file in enumerate(files):
            origin = self._origin(file)
            if origin is None or f"files.{place}" not in refused:
                continue

            def check(found: File, place: int = place) -> None:
                there = [*files[:place], found, *files[place + 1 :]]
                told = fits(attrs.evolve(envelope, files=tuple(there)))
                if mine := [each for each in told if _is_of(place, each)]:
                    raise Invalid(mine)

            files[place] = await self._fetched(place, file, origin, known, check)
        return attrs.evolve(envelope, files=tuple(files))

    async def _fetched(
        self,
        place: int,
        file: File,
        origin: Origin,
        known: FetchedFiles,
        check: Callable[[File], None],
    ) -> File:
        url = file.url or ""
        taking = _Taking(file, known.path_of(url), check)
        if problems := list(file_problems(f"files.{place}", taking.found)):
            raise Invalid(problems)
        if (there := known.answers.get(url)) is not None:
            taking.begun(*there)
            return taking.found
        words = ""
        with taking.opened():
            try:
                await self._fetch(url, origin, taking.begun, taking.take)
            except FetchError as error:
                words = str(error)
            else:
                await taking.finish()
        if words:
            raise Invalid([Problem(f"files.{place}", f"{_shown(url)!r} was not fetched: {words}")])
        known.answers[url] = taking.size, taking.media_type
        return taking.found


class FetchedFiles:
    """What was fetched for one acceptance, in a folder that is gone with it.

    answers  the sizes and the media types of files that are there, by their URLs
    """

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._paths: dict[str, str] = {}

    def path_of(self, url: str) -> str:
        """Where the file of that URL is, or may come. Raises `OutboxError`: it cannot."""
        if self._folder is None:
            try:
                self._folder = tempfile.TemporaryDirectory(prefix="gateway-")
            except OSError as error:
                raise _no_room(error) from None
        name = str(len(self._paths))
        return self._paths.setdefault(url, os.path.join(self._folder.name, name))  # noqa: PTH118 - as elsewhere

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()


class _Taking:
    """A file that comes in: on the disk, and no larger than its channel takes.

    found       as it is known so far
    size        bytes that have come
    media_type  what its host calls it
    """

    def __init__(self, file: File, path: str, check: Callable[[File], None]) -> None:
        self.found = changed_file(file, source=path, name=file.name or _name_in(file.url or ""))
        self._check = check
        self._path = path
        self._pieces = bytearray()
        self.size, self.media_type = 0, ""
        self._opened: FileIO | None = None

    @contextmanager
    def opened(self) -> Iterator[None]:
        """While it comes in. Raises `OutboxError` where there is no room for it."""
        try:
            with FileIO(self._path, "x") as self._opened:
                yield
        except OSError as error:
            raise _no_room(error) from None

    def begun(self, announced: int | None, media_type: str) -> None:
        """Look at the size that was announced, before anything is read. Raises `Invalid`."""
        self.media_type = media_type
        if not self.found.media_type and "/" in media_type:
            self.found = _typed(self.found, media_type)
        self._check(changed_file(self.found, size=announced or 0))

    async def take(self, piece: bytes) -> None:
        """Keep a piece. Raises `Invalid` once there are too many."""
        self._pieces += piece
        if len(self._pieces) >= MANY:
            await self._write()

    async def finish(self) -> None:
        """Keep the rest."""
        await self._write()

    async def _write(self) -> None:
        whole = bytes(self._pieces)
        self._pieces.clear()
        self.size += len(whole)
        self._check(changed_file(self.found, size=self.size))
        assert self._opened is not None  # noqa: S101 - while it comes in
        try:
            await in_thread(partial(_write_all, self._opened, whole))
        except OSError as error:  # which is none of the network's
            raise _no_room(error) from None


def _no_room(error: OSError) -> OutboxError:
    return OutboxError(f"a fetched file cannot be stored: {error.strerror}")


def _write_all(opened: FileIO, whole: bytes) -> None:
    view = memoryview(whole)
    while view:
        view = view[opened.write(view) or 0 :]


def _typed(file: File, media_type: str) -> File:
    typed = changed_file(file, media_type=media_type)
    return file if any(file_problems("", typed)) else typed


def _is_of(place: int, problem: Problem) -> bool:
    return f"{problem.place}.".startswith(f"files.{place}.")


def _name_in(url: str) -> str:
    return unquote(urlsplit(url).path).rpartition("/")[2] or "file"


def _shown(url: str) -> str:
    """Without what may be a signature."""
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc}{split.path}"
