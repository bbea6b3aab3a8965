"""Fetches files by URL from allowed hosts, if the platform does not fetch them itself.

The files of an acceptance are in a folder of their own until the envelope is accepted or refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import FileIO
from typing import Any, Self, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit

import attrs

from gateway_core.contract.beside.origins import FetchError, Origin, origin_of, read_origin
from gateway_core.contract.envelopes import MESSAGES, Envelope
from gateway_core.contract.errors import Invalid, OutboxError, Problem
from gateway_core.contract.files import File
from gateway_core.deliveries.step_files import changed_file
from gateway_core.files.checks import file_problems
from gateway_core.files.looking import MANY, in_thread
from gateway_core.files.temporary import TemporaryFolder, delete_unused_folders

_E = TypeVar("_E", bound=Envelope)

Fetch: TypeAlias = Callable[
    [str, Origin, Callable[[int | None, str], None], Callable[[bytes], Awaitable[Any]]],
    Awaitable[None],
]
"""The type of `gateway_core.http.fetching.fetch`, which raises `FetchError`."""


@attrs.define(eq=False)
class Fetching:
    """Fetches files from these hosts, with a function that can fetch."""

    _hosts: tuple[str, ...]
    _fetch: Fetch
    _origins: frozenset[Origin] = attrs.field(init=False)
    _tidied: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._origins = frozenset(map(read_origin, self._hosts))

    def may_fetch(self, envelope: Envelope) -> bool:
        """Whether the envelope has a file of an allowed host."""
        if not isinstance(envelope, MESSAGES):
            return False
        files: object = envelope.files
        return isinstance(files, Sequence) and any(map(self._origin, files))

    def lasting(self, envelope: Envelope, problems: Sequence[Problem]) -> Sequence[Problem]:
        """The problems that a fetch of the envelope's files cannot end."""
        if not problems or not self.may_fetch(envelope):
            return problems
        assert isinstance(envelope, MESSAGES)  # noqa: S101 - others have none
        places = [f"files.{n}" for n, file in enumerate(envelope.files or ()) if self._origin(file)]
        return [problem for problem in problems if problem.place not in places]

    def _origin(self, file: object) -> Origin | None:
        url = file.url if isinstance(file, File) else None
        found = None if url is None else origin_of(url)
        return found if found in self._origins else None

    async def fetched(
        self, envelope: _E, fits: Callable[[_E], Sequence[Problem]], known: FetchedFiles
    ) -> _E:
        """The envelope with fetched files in place of URLs that its channel refuses.

        known  the files that were fetched before: no URL is fetched twice

        Raises `Invalid` that says which files could not be fetched, and why; `OutboxError` if the
        disk is full.
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
        if not self._tidied:
            self._tidied = True
            await in_thread(delete_unused_folders)
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
                words = "" if taking.size else "its answer is empty"
        if words:
            raise Invalid([Problem(f"files.{place}", f"{_shown(url)!r} was not fetched: {words}")])
        known.answers[url] = taking.size, taking.media_type
        return taking.found


class FetchedFiles:
    """The files that were fetched for one acceptance, in a folder that is deleted after it.

    answers  the sizes and media types of the fetched files, by their URLs
    begun    when the first fetch began, in engine nanoseconds; None: nothing was fetched
    """

    def __init__(self) -> None:
        self.begun: int | None = None
        self.answers: dict[str, tuple[int, str]] = {}
        self._folder: TemporaryFolder | None = None
        self._paths: dict[str, str] = {}

    def begin(self, now: int) -> None:
        """Note that a fetch begins."""
        if self.begun is None:
            self.begun = now

    def path_of(self, url: str) -> str:
        """The path at which the URL's file is or will be. Raises `OutboxError` without a folder."""
        if self._folder is None:
            try:
                self._folder = TemporaryFolder()
            except OSError as error:
                raise _no_room(error) from None
        name = str(len(self._paths))
        return self._paths.setdefault(url, str(self._folder.path / name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.close()


class _Taking:
    """A file that is coming in: it is written to the disk, up to the size that its channel takes.

    found       the file as it is known so far
    size        bytes that have been written
    media_type  the media type that its host gives
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
        """A block in which the file comes in. Raises `OutboxError` if the disk cannot hold it."""
        try:
            with FileIO(self._path, "x") as self._opened:
                yield
        except OSError as error:
            raise _no_room(error) from None

    def begun(self, announced: int | None, media_type: str) -> None:
        """Check the announced size, before anything is read. Raises `Invalid`."""
        self.media_type = media_type
        if not self.found.media_type and "/" in media_type:
            self.found = _typed(self.found, media_type)
        self._check(changed_file(self.found, size=announced or 0))

    async def take(self, piece: bytes) -> None:
        """Take a piece. Raises `Invalid` once the file is too large."""
        self._pieces += piece
        if len(self._pieces) >= MANY:
            await self._write()

    async def finish(self) -> None:
        """Write the rest."""
        await self._write()

    async def _write(self) -> None:
        whole = bytes(self._pieces)
        self._pieces.clear()
        self.size += len(whole)
        self._check(changed_file(self.found, size=self.size))
        assert self._opened is not None  # noqa: S101 - while it comes in
        try:
            await in_thread(partial(_write_all, self._opened, whole))
        except OSError as error:  # of the disk, not of the network
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
    """The URL without its query, which may be a signature."""
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc}{split.path}"
