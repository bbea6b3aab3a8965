"""The files of many envelopes: each is looked at once, and stored once. Waits for the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs

from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.errors import Problem
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

    async def look_at(self, envelope: _E, fits: Callable[[_E], Sequence[Problem]]) -> _E:
        """The envelope as it is stored. Raises `Invalid`, with the place of a file in it.

        fits  why the channel would refuse it: asked before large files are read
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
