"""Records every envelope that ended or was refused, for example as lines of JSON."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import attrs

from gateway_contrib.policies.arguments import function
from gateway_core import Call, Envelope, File, Receipt
from gateway_core.authors import hookimpl
from gateway_core.settings import flag

Write = Callable[[Mapping[str, Any]], None]
"""Takes a record. It is called on the gateway's thread, which it blocks, so it must be quick."""


@attrs.define(eq=False)
class AuditLog:
    """Writes a record of each envelope that ended or was refused.

    write  called with each record, a table of plain JSON
    texts  include texts, calls' arguments, and names and descriptions of files; otherwise only the
           length and a digest of texts
    clock  gives the POSIX time of a refusal

    A record has `what` (`ended` or `refused`), `at`, `instance`, `room`, `thread`, `operation`,
    `key` and `class`, the `length` and `digest` of the text, and `files`: the `media_type`, `size`
    and `digest` of each file, as far as they are known. An ending also has `envelope`,
    `disposition`, `reason`, `attempts` and `messages` (the platform's ids); a refusal has `error`,
    and its text in `why`. Text and room are those that were sent, after policies changed them.
    """

    write: Write = attrs.field(validator=function)
    texts: bool = attrs.field(default=False, kw_only=True, validator=flag)
    clock: Callable[[], float] = attrs.field(default=time.time, kw_only=True, validator=function)

    @classmethod
    @contextmanager
    def to_file(cls, path: str | os.PathLike[str], *, texts: bool = False) -> Iterator[AuditLog]:
        """An `AuditLog` that appends each record to a file as a line.

        Use it as a context manager around the gateway. Only the file's owner may read the file.
        Raises OSError if the file cannot be opened. Each line is handed to the operating system at
        once, and the system decides when the line is on the disk.
        """
        opened = os.open(Path(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(opened, "a", encoding="utf-8") as file:
            yield cls(_Lines(file), texts=texts)

    @hookimpl
    def after_disposition(self, envelope: Envelope, receipt: Receipt) -> None:
        """Record how the envelope ended."""
        verdict = receipt.verdict
        ended = {
            "what": "ended",
            "at": receipt.ended_at,
            "envelope": receipt.envelope_id,
            "disposition": str(receipt.disposition),
            "reason": "" if verdict is None else str(verdict.reason),
            "attempts": receipt.attempts,
            "messages": _messages(receipt),
        }
        self.write(ended | self._about(envelope))

    @hookimpl
    def after_refusal(self, envelope: Envelope, error: Exception) -> None:
        """Record why the envelope was refused."""
        refused = {"what": "refused", "at": self.clock(), "error": type(error).__name__}
        self.write(refused | {"why": str(error)} | self._about(envelope))

    def _about(self, envelope: Envelope) -> dict[str, Any]:
        content = getattr(envelope, "text", "")
        if isinstance(envelope, Call):
            content = json.dumps(envelope.arguments, ensure_ascii=False, default=str)
        content = str(content)
        octets = content.encode("utf-8", "surrogatepass")
        told: dict[str, Any] = {"length": len(content)}
        told["digest"] = hashlib.blake2b(octets, digest_size=16).hexdigest()
        if self.texts:
            told["text"] = content
        return {
            "instance": envelope.instance_id,
            "room": envelope.external_room_id,
            "thread": envelope.thread_id,
            "operation": envelope.operation,
            "key": envelope.key,
            "class": envelope.priority,
            **told,
            "files": self._files(envelope),
        }

    def _files(self, envelope: Envelope) -> list[dict[str, Any]]:
        """The files; an envelope that is refused may have anything in their place."""
        files = getattr(envelope, "files", None)
        known = files if isinstance(files, list | tuple) else ()
        names = ("media_type", "size", "digest", *(("name", "alt") if self.texts else ()))
        return [{n: getattr(file, n) for n in names} for file in known if isinstance(file, File)]


def _messages(receipt: Receipt) -> list[str]:
    """The platform's ids of all messages, in their order; an album has several in one part."""
    parts = [part for part in receipt.parts if part.message_id is not None]
    return [name for part in parts for name in (part.message_id or "", *part.more)]


@attrs.define(eq=False)
class _Lines:
    """Writes each record to a file, as a line of JSON."""

    _file: TextIO

    def __call__(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(record, default=str) + "\n")
        self._file.flush()
