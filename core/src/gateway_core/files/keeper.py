"""Stores the files of envelopes, and gives attempts the files that they send."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    aclosing,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from functools import partial
from typing import Any, Protocol

import attrs
import trio

from gateway_core.contract.envelopes import MESSAGES, Attempt, Envelope
from gateway_core.contract.errors import Invalid, OutboxError, Problem
from gateway_core.contract.fast_init import fast_evolve
from gateway_core.contract.files import File, Upload
from gateway_core.contract.hookspecs import Answer
from gateway_core.contract.validators import printable
from gateway_core.deliveries.step_files import StepFiles
from gateway_core.files.fetching import Fetching
from gateway_core.files.held import PIECE, Allowance, Held
from gateway_core.files.looking import CannotRead, FoundFile, look_at, not_stored
from gateway_core.files.spool import Spool
from gateway_core.outboxes.stored_bytes import BytesLost, Content

LARGE_PIECE = 1 << 22
"""Bytes that are read at once of a file that is handed over."""
LARGE_AT_ONCE = 4
"""How many files too large to be held are stored at the same time (each needs some megabytes of
memory), together with envelopes that are handed over with all of their files in memory."""
REMEMBERED = 1_000
"""Most ids of uploaded files that are remembered, for all accounts together."""
REMEMBERED_FOR = 86_400.0
"""Seconds for which such an id is used again."""


_CHANGED: Mapping[type, Callable[..., Any]] = {kind: fast_evolve(kind) for kind in MESSAGES}
_changed_attempt = fast_evolve(Attempt)


class Store(Protocol):
    """Where bytes are stored: an outbox, or a spool."""

    async def store_bytes(self, digest: str, content: Content) -> None: ...  # noqa: D102 - as in `Outbox`

    async def read_bytes(self, digest: str, offset: int, limit: int) -> bytes: ...  # noqa: D102 - likewise

    async def release_bytes(self, digest: str) -> None: ...  # noqa: D102 - likewise


@attrs.define(eq=False)
class KeptFiles:
    """The files of one gateway.

    fetching   fetches files by their URLs; None: no files are fetched
    spool      stores the bytes, and lets go of them when envelopes end; None: an outbox stores
               them, and lets go of them by itself
    allowance  bounds the bytes in memory, until they are stored or no longer needed
    """

    _store: Store
    spool: Spool | None = None
    fetching: Fetching | None = None
    allowance: Allowance = attrs.field(factory=Allowance, init=False)
    _large: trio.Semaphore = attrs.field(factory=partial(trio.Semaphore, LARGE_AT_ONCE), init=False)
    _known: OrderedDict[tuple[str, str, str, bool, str], tuple[str, float]] = attrs.field(
        factory=OrderedDict, init=False
    )

    # -- in

    async def look_at(
        self, envelope: Envelope, fits: Callable[[Envelope], Sequence[Problem]]
    ) -> tuple[Envelope, list[FoundFile]]:
        """The envelope as it is stored, and its files. Raises `Invalid`.

        fits  says why the channel would refuse the envelope; called before large files are read
        """
        assert isinstance(envelope, MESSAGES)  # noqa: S101 - others have none
        change: Callable[..., Envelope] = _CHANGED.get(type(envelope), attrs.evolve)

        def with_files(files: Sequence[File]) -> Envelope:
            return change(envelope, files=tuple(files))

        looked = await look_at(
            envelope.files or (), self.allowance, lambda files: fits(with_files(files))
        )
        return with_files([each.file for each in looked]), looked

    def lasting(self, envelope: Envelope, problems: Sequence[Problem]) -> Sequence[Problem]:
        """The problems that do not end once the envelope's files are fetched by their URLs."""
        return problems if self.fetching is None else self.fetching.lasting(envelope, problems)

    async def store(self, looked: Sequence[FoundFile]) -> list[str]:
        """Store all files' bytes for one use; their digests. Raises `Invalid` and `OutboxError`."""
        stored: list[str] = []
        try:
            for place, each in enumerate(looked):
                digest = each.file.digest
                if not digest or each.file.id is not None or digest in stored:
                    continue
                try:
                    async with self._turn(each), _closed(each.content()) as content:
                        await self._store.store_bytes(digest, content)
                except ValueError as error:
                    changed = f"{printable(each.file.name)!r} changed while it was read"
                    text = str(error) if isinstance(error, CannotRead) else changed
                    raise Invalid([Problem(f"files.{place}", text)]) from None
                stored.append(digest)
        except BaseException:
            await self.release(stored)
            raise
        return stored

    def _turn(self, found: FoundFile) -> AbstractAsyncContextManager[object]:
        """What a file waits for before it is stored; bytes in memory already wait for nothing."""
        return nullcontext() if isinstance(found.source, Held | None) else self._large

    async def release(self, digests: Sequence[str]) -> None:
        """Give back a use of the stored bytes, since the envelope was not accepted."""
        with trio.CancelScope(shield=True):
            for digest in digests:
                with suppress(OutboxError):  # they are dropped when the process run ends
                    await self._store.release_bytes(digest)

    def release_nowait(self, digests: Sequence[str]) -> None:
        """Like `release`, but at once, and only if no outbox stores the bytes."""
        if self.spool is not None:
            for digest in digests:
                self.spool.let_go(digest)

    @asynccontextmanager
    async def whole(self, digests: Sequence[str]) -> AsyncIterator[Mapping[str, bytes]]:
        """The whole stored bytes of these digests, for a few callers at a time.

        Raises `OutboxError`.
        """
        if not digests:
            yield {}
            return
        async with self._large:
            yield await self.contents(digests)

    async def contents(self, digests: Sequence[str]) -> dict[str, bytes]:
        """The whole stored bytes of these digests, for any number of callers."""
        found: dict[str, bytes] = {}
        for digest in digests:
            pieces: list[bytes] = []
            while piece := await self._store.read_bytes(digest, sum(map(len, pieces)), LARGE_PIECE):
                pieces.append(piece)
            found[digest] = b"".join(pieces)
        return found

    def close(self) -> None:
        """The gateway has ended; bytes that no outbox stores are deleted."""
        if self.spool is not None:
            self.spool.close()

    # -- out

    def attach(self, attempt: Attempt, files: StepFiles, moved: Callable[[], None]) -> Attempt:
        """The attempt with its step's files; `moved` is called whenever bytes of them are read."""
        uploads = tuple(
            self._upload(attempt.instance_id, file, moved, files) for file in files.standing
        )
        if attempt.operation not in ("edit", "revise"):
            return _changed_attempt(attempt, files=uploads)
        return _changed_attempt(attempt, files=uploads, loses_files=not uploads, more=files.more)

    def _upload(
        self, instance_id: str, file: File, moved: Callable[[], None], files: StepFiles
    ) -> Upload:
        known = self._known_id(instance_id, file)

        async def pieces() -> AsyncGenerator[bytes, None]:
            offset = 0
            while offset < file.size:
                moved()
                limit = min(PIECE, file.size - offset)
                try:
                    piece = await self._store.read_bytes(file.digest, offset, limit)
                    if not piece:
                        raise BytesLost(f"the bytes {file.digest} end after {offset}")  # noqa: TRY301 - one case
                except BytesLost as error:
                    files.lost = f"{not_stored(file)}: {error}"
                    raise
                offset += len(piece)
                yield piece

        def opened() -> AbstractAsyncContextManager[AsyncIterator[bytes | memoryview]]:
            there = None if self.spool is None else self.spool.at_hand(file.digest)
            return aclosing(pieces()) if there is None else nullcontext(_AtHand(there, moved))

        return Upload(file=file, open=opened, known=known, held=files.held)

    def _known_id(self, instance_id: str, file: File) -> str | None:
        known, until = self._known.get(_name(instance_id, file), ("", 0.0))
        return known if known and until > trio.current_time() else None

    def are_known(self, instance_id: str, files: StepFiles) -> bool:
        """Whether all of the files can be sent by the ids of earlier uploads."""
        return all(file.digest and self._known_id(instance_id, file) for file in files.files)

    def learn(self, instance_id: str, files: StepFiles, answer: Answer) -> None:
        """Remember the platform's ids of the files, so that later messages can send the ids.

        An edit that keeps its message's files has sent none.
        """
        if files.held or not answer.reusable or len(answer.files) != len(files.files):
            return
        for file, name in zip(files.files, answer.files, strict=True):
            if file.digest:
                place = _name(instance_id, file)
                self._known[place] = (name, trio.current_time() + REMEMBERED_FOR)
                self._known.move_to_end(place)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def forget(self, attempt: Attempt) -> None:
        """Forget the ids that the platform refused in this attempt, unless newer ones are known."""
        for upload in attempt.files:
            place = _name(attempt.instance_id, upload.file)
            if upload.known is not None and self._known.get(place, ("",))[0] == upload.known:
                del self._known[place]


@attrs.define(eq=False)
class _AtHand:
    """An iterator of pieces that are in memory."""

    _pieces: Iterator[memoryview]
    _moved: Callable[[], None]

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        return self

    async def __anext__(self) -> bytes | memoryview:
        for piece in self._pieces:
            self._moved()
            return piece
        raise StopAsyncIteration


@asynccontextmanager
async def _closed(content: Content) -> AsyncIterator[Content]:
    """A block that closes the content afterwards, and so the file that it was reading."""
    try:
        yield content
    finally:
        if isinstance(content, AsyncGenerator):
            with trio.CancelScope(shield=True):
                await content.aclose()


def files_in(envelope: Envelope) -> bool:
    """Whether the envelope has files whose bytes the gateway stores."""
    files: object = getattr(envelope, "files", None)
    return isinstance(files, Sequence) and any(
        isinstance(file, File) and file.is_stored for file in files
    )


def _name(instance_id: str, file: File) -> tuple[str, str, str, bool, str]:
    """The key of an uploaded file's id, which is valid for one account, one kind and one name."""
    return instance_id, file.digest, file.name, file.as_document, file.media_type
