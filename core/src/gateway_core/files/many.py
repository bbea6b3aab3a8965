"""Fetches, looks at and stores the files of many envelopes, each file once. Waits for the disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import attrs

from gateway_core.contract.envelopes import MESSAGES, Envelope
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.files import File
from gateway_core.files.fetching import FetchedFiles
from gateway_core.files.keeper import KeptFiles, files_in
from gateway_core.files.looking import FoundFile, look_at

_E = TypeVar("_E", bound=Envelope)


@attrs.define(eq=False)
class ManyFiles:
    """The files of the members of a group that is to be accepted.

    fetched  the files that the gateway has fetched for the group, in a folder that exists until the
             group is accepted; None: it fetches nothing
    failed   a fetch has failed: nobody is asked for more files
    """

    _files: KeptFiles
    _fetched: FetchedFiles | None = None
    failed: bool = attrs.field(default=False, init=False)
    _found: dict[File, FoundFile] = attrs.field(factory=dict, init=False)
    _digests: dict[str, FoundFile] = attrs.field(factory=dict, init=False)

    async def fetch(self, envelope: _E, fits: Callable[[_E], Sequence[Problem]]) -> _E:
        """The envelope with files in place of URLs that its channel refuses, as in `Fetching`."""
        fetching = self._files.fetching
        if self._fetched is None or fetching is None or not fetching.may_fetch(envelope):
            return envelope
        try:
            return await fetching.fetched(envelope, fits, self._fetched)
        except Invalid:
            self.failed = True
            raise

    def lasting(self, envelope: Envelope, problems: Sequence[Problem]) -> Sequence[Problem]:
        """The problems that a fetch cannot end; all of them if nothing is fetched."""
        return problems if self._fetched is None else self._files.lasting(envelope, problems)

    async def look_at(self, envelope: _E, fits: Callable[[_E], Sequence[Problem]]) -> _E:
        """The envelope as it is stored. Raises `Invalid`, with the file's place in the envelope.

        fits  says why the channel would refuse the envelope; called before large files are read
        """
        if not isinstance(envelope, MESSAGES) or not files_in(envelope):
            return envelope
        asked = tuple(envelope.files or ())

        def with_files(files: Sequence[File]) -> _E:
            return attrs.evolve(envelope, files=tuple(files))

        found = await look_at(
            asked, self._files.allowance, lambda files: fits(with_files(files)), self._found
        )
        for file, each in zip(asked, found, strict=True):
            self._found[file] = each
            if each.file.is_stored:
                self._digests.setdefault(each.file.digest, each)
        return with_files([each.file for each in found])

    async def store(self) -> tuple[str, ...]:
        """Store all files' bytes, for one use. Raises `Invalid` and `OutboxError`."""
        return tuple(await self._files.store(list(self._digests.values())))

    async def contents(self, digests: Collection[str]) -> dict[str, bytes]:
        """The bytes of these digests, for a process that stores them. Raises like `store`."""
        some = [each for digest, each in self._digests.items() if digest in digests]
        stored = await self._files.store(some)
        try:
            return await self._files.contents(stored)
        finally:
            await self._files.release(stored)

    async def release(self, digests: Sequence[str]) -> None:
        """Give back a use of the stored bytes, since the group was not accepted."""
        await self._files.release(digests)


def digests_of(envelope: Envelope) -> tuple[str, ...]:
    """The digests of the bytes that the envelope needs."""
    files = envelope.files if isinstance(envelope, MESSAGES) else None
    return tuple(dict.fromkeys(file.digest for file in files or () if file.is_stored))
