"""Tests of files: a file is sent whole and piece by piece, or is refused."""

# ruff: noqa: S101, ARG002 - these are tests, shipped to authors; a clock is asked for by name

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import pytest
import trio

from gateway_core.contract.envelopes import Attempt, Edit, MessageRef, PartRef
from gateway_core.contract.files import File, Upload
from gateway_core.contract.instances import Instance
from gateway_core.deliveries.step_files import left_out
from gateway_core.outboxes.stored_bytes import digest_of_bytes
from gateway_core.plugins.front import ChannelHooks
from gateway_core.submission.preview import planned
from gateway_core.testing.channel_contract.making import Making
from gateway_core.testing.channel_contract.wire import Trial, Unsupported, Wire

PIECE = 1 << 16
"""Bytes that an upload of these tests gives at once."""
PIECES = 24
MOST_PARTS = 100
AHEAD = 1 << 19
"""Bytes that a client may have read but not sent yet."""


@attrs.define(eq=False)
class _Source:
    """Bytes of a file, and how many of them were read."""

    content: bytes
    read: int = 0

    def open(self) -> Any:
        return self._pieces()

    @asynccontextmanager
    async def _pieces(self) -> AsyncIterator[AsyncIterator[bytes]]:
        self.read = 0  # each opening reads from the beginning

        async def pieces() -> AsyncIterator[bytes]:
            while piece := self.content[self.read : self.read + PIECE]:
                await trio.lowlevel.checkpoint()
                self.read += len(piece)
                yield piece

        given = pieces()
        try:
            yield given
        finally:
            await given.aclose()  # type: ignore[attr-defined]  # a generator


def _sources(count: int, pieces: int) -> list[_Source]:
    """So many contents, each different, and each with its own end."""
    return [
        _Source(b"%d" % number * (pieces * PIECE) + b"contractend%d." % number)
        for number in range(count)
    ]


def _file(number: int, source: _Source) -> File:
    content = source.content
    name = f'contract"{number}.txt'
    digest = digest_of_bytes(content)
    return File(name=name, media_type="text/plain", size=len(content), digest=digest)


class FilesContract(Making):
    """Tests of a message's files."""

    async def test_a_file_goes_out_whole_and_in_pieces_or_is_refused(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """Two files with a message; one if the channel takes no more; or one small file."""
        for count, pieces in ((2, PIECES), (1, PIECES), (1, 0)):
            sources = _sources(count, pieces)
            files = tuple(_file(number, source) for number, source in enumerate(sources))
            send = self._send("hello", files=files)
            if not hooks.validate(instance, send):
                break
        else:
            return
        plan = hooks.chunk(instance, send, "as_asked")
        if not any(part.files for part in plan):
            return  # core refuses them
        async with self._trying(hooks, instance) as trial:
            for number, part in enumerate(plan):
                attempt = self._attempt("send", part=part)
                key = f"{attempt.key[:-1]}{number}"
                of_part = {at: (files[at], sources[at]) for at in part.files}
                await _send_files(trial, attrs.evolve(attempt, key=key), of_part)

    @pytest.mark.usefixtures("editing")
    def test_an_edit_of_the_text_keeps_the_files(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """`chunk` names the files that the message has in the plan of an edit as well."""
        file = _file(0, *_sources(1, 0))
        send = self._send("hello", files=(file,))
        if hooks.validate(instance, send) or left_out(
            hooks.chunk(instance, send, "as_asked"), send
        ):
            return  # the channel takes no files
        there = PartRef(message_id="1", files=(attrs.evolve(file, id="1"),))
        edit = self._edit_of(there)
        _, problems = planned(hooks, instance, edit, MOST_PARTS)
        faults = [problem for problem in problems if problem.place == "files"]
        assert not faults, faults

    @pytest.mark.usefixtures("editing")
    async def test_the_files_of_an_edit_go_out_or_are_refused(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """They replace the message's files; if this is impossible, the reason is `unsupported`."""
        [source] = _sources(1, 1)
        file = _file(0, source)
        async with self._trying(hooks, instance) as trial:
            attempt = self._attempt("send", part=self._part(hooks, instance))
            message_id = (await trial.make(attempt, "a message")).message_id
            edit = self._edit_of(PartRef(message_id=message_id or "1"), files=(file,))
            if hooks.validate(instance, edit):
                return
            first, *_ = hooks.chunk(instance, edit, "as_asked")
            if first.files:
                attempt = self._attempt("edit", part=first)
                attempt = attrs.evolve(attempt, message_id=message_id)
                with suppress(Unsupported):
                    await _send_files(trial, attempt, {0: (file, source)})

    def _edit_of(self, part: PartRef, **fields: Any) -> Edit:
        ref = MessageRef(
            instance_id="contract",
            external_room_id=self.room,
            envelope_id="0" * 30,
            parts=(part,),
        )
        return Edit(
            instance_id="contract",
            external_room_id=self.room,
            target=ref,
            text="hello",
            **fields,
        )


async def _send_files(
    trial: Trial, attempt: Attempt, files: Mapping[int, tuple[File, _Source]]
) -> None:
    ahead = 0

    def look() -> None:
        nonlocal ahead
        read = sum(source.read for _, source in files.values())
        ahead = max(ahead, read - (len(trial.wire.sent) - before))

    before = len(trial.wire.sent)
    trial.wire.on_block = look
    uploads = tuple(Upload(file=file, open=source.open) for file, source in files.values())
    answer = await trial.make(attrs.evolve(attempt, files=uploads), "a file")
    for file, source in files.values():
        _check_file(file, source, trial.wire)
    assert ahead <= AHEAD, (
        f"{ahead} bytes of files were in memory before they went out: give `gateway_core.http` the"
        " upload itself, as the content of a `FormField` or as `body`, and it goes out in pieces"
    )
    assert trial.hooks.failures == {}, (
        "`Answer.files` cannot be used, and the log says why: give an id for each file, in their"
        " order, or none"
    )
    for (file, source), file_id in zip(files.values(), answer.files or (), strict=False):
        _check_attached(file, source, file_id, trial.wire)


def _check_attached(file: File, source: _Source, file_id: str | None, wire: Wire) -> None:
    """A file that was uploaded in a request before the message's is named in one after it."""
    end = wire.sent.rfind(source.content[-PIECE:])
    if file_id is None or end < 0 or not wire.addresses(since=end):
        return
    assert wire.says(file_id, since=end), (
        f"{file.name!r} was uploaded as {file_id!r}, and no request after the upload names this"
        " id: the message has to, or it arrives without its file"
    )


def _check_file(file: File, source: _Source, wire: Wire) -> None:
    unread = len(source.content) - source.read
    assert not unread, (
        f"the message is there by its answer, but {unread} of {file.size} bytes of {file.name!r}"
        " were never read: send what `attempt.files` has, or name no files in the plan, and core"
        " refuses them"
    )
    if wire.requests:
        assert wire.has(source.content[-PIECE:]), (
            f"the bytes of {file.name!r} were read, and are not whole in any request"
        )
        broken = f'="{file.name}"'
        assert not wire.has(broken), (
            f"a header has {broken}, where the name's quote ends it: leave it to `Multipart`, or"
            " quote it"
        )
