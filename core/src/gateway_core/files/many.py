"""The files of many envelopes: each is looked at once, and stored once. Waits for the disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import attrs

from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.files import File
from gateway_core.files.keeper import KeptFiles, files_in
from gateway_core.files.looking import MESSAGES, FoundFile, look_at

_E = TypeVar("_E", bound=Envelope)


@attrs.define(eq=False)
class ManyFiles:
    """The files of the members of a group that is to be accepted."""

    _files: KeptFiles
    _found: dict[File, FoundFile] = attrs.field(factory=dict, init=False)
    _digests: dict[str, FoundFile] = attrs.field(factory=dict, init=False)

    async def look_at(self, envelope: _E) -> _E:
        """The envelope as it is stored. Raises `Invalid`, with the place of a file in it."""
        if not isinstance(envelope, MESSAGES) or not files_in(envelope):
            return envelope
        files = [await self._look(place, file) for place, file in enumerate(envelope.files or ())]
        return attrs.evolve(envelope, files=tuple(files))

    async def _look(self, place: int, file: File) -> File:
        found = self._found.get(file)
        if found is None:
            try:
                [found] = await look_at([file], self._files.allowance)
            except Invalid as error:
                told = [Problem(f"files.{place}", problem.text) for problem in error.problems]
                raise Invalid(told) from None
            self._found[file] = found
            if found.file.is_stored:
                self._digests.setdefault(found.file.digest, found)
        return found.file

    def unknown(self, envelope: Envelope) -> list[Problem]:
        """Those of its files that were not looked at: policies gave it them."""
        files = envelope.files if isinstance(envelope, MESSAGES) else None
        return [
            Problem(f"files.{place}", "a policy gives a group's members no other files")
            for place, file in enumerate(files or ())
            if file.is_stored and file.digest not in self._digests
        ]

    async def store(self) -> tuple[str, ...]:
        """Keep the bytes of all, for one use. Raises `Invalid` and `OutboxError`."""
        return tuple(await self._files.store(list(self._digests.values())))

    async def release(self, digests: Sequence[str]) -> None:
        """The group was not accepted."""
        await self._files.release(digests)


def digests_of(envelope: Envelope) -> tuple[str, ...]:
    """Of the bytes that it needs."""
    files = envelope.files if isinstance(envelope, MESSAGES) else None
    return tuple(dict.fromkeys(file.digest for file in files or () if file.is_stored))
