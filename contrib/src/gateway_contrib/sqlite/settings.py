"""The settings of an outbox in a file."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import optional

from gateway_core.settings import CheckedSettings, flag, number, one_of, whole

_SECONDS = number(least=0)


@attrs.frozen(kw_only=True)
class SqliteSettings(CheckedSettings):
    """How the file is used.

    synchronous        `FULL`: accepted envelopes survive a power cut; `NORMAL`: a killed process
    integrity_check    look through the whole file when it is opened
    owner_wait         seconds to wait for the current owner to leave, before an error is raised
    slots              how many files there are, one for each process; a gateway takes the first
                       free one, and `{slot}` stands for its number in the path; None: one file
    history_for        seconds for which ended envelopes are remembered
    history_size       bytes that the file may take before ended envelopes are forgotten earlier,
                       the oldest first
    large_bytes        a message's file of more bytes is stored beside the database; others in it
    refs_for           seconds for which an edited message's newest ref is remembered after the
                       edit; for that time, older refs lead to it
    key_window         seconds for which an ended envelope's idempotency key is remembered; None:
                       as the gateway's `idempotency_window`
    queue              changes that may wait for the disk; further appends wait
    linger             seconds that changes may wait for further ones if no caller waits for them
    in_thread          commit in a worker thread; else on trio's thread, for virtual worlds
    """

    synchronous: Literal["FULL", "NORMAL"] = attrs.field(
        default="FULL", validator=one_of("FULL", "NORMAL")
    )
    integrity_check: bool = attrs.field(default=False, validator=flag)
    owner_wait: float = attrs.field(default=0.0, validator=_SECONDS)
    slots: int | None = attrs.field(default=None, validator=optional(whole(least=1, most=1_000)))
    history_for: float = attrs.field(default=604_800.0, validator=_SECONDS)
    history_size: int = attrs.field(default=1 << 30, validator=whole(least=0, most=1 << 50))
    large_bytes: int = attrs.field(default=1 << 18, validator=whole(least=0, most=1 << 28))
    refs_for: float = attrs.field(default=7_776_000.0, validator=_SECONDS)
    key_window: float | None = attrs.field(default=None, validator=optional(_SECONDS))
    queue: int = attrs.field(default=4_096, validator=whole(least=1))
    linger: float = attrs.field(default=0.02, validator=_SECONDS)
    in_thread: bool = attrs.field(default=True, validator=flag)
