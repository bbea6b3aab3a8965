"""The settings of an outbox in PostgreSQL."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import attrs
from attrs.validators import optional

from gateway_core.settings import CheckedSettings, number, one_of, whole

_SECONDS = number(least=0)
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,40}")


def _schema(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not _SCHEMA.fullmatch(value) or value.startswith("pg_"):
        text = (
            "must be a name of at most 41 lower-case letters, digits and _, which does not begin "
            "with a digit, nor with pg_, which PostgreSQL reserves"
        )
        raise ValueError(f"{field.name!r} {text}, not {value!r}")


@attrs.frozen(kw_only=True)
class PostgresSettings(CheckedSettings):
    """How the database is used.

    schema         the schema that has the outbox's tables; made at first use
    lease          seconds that an owner may be silent before others take over
    owner_wait     seconds to stand by while another process owns the outbox; 0: fail at once; inf:
                   stand by for as long as it takes
    poll           seconds between two looks for requests that applications handed over, while
                   requests come in; ten times as long if none came lately
    history_for    seconds for which ended envelopes are remembered
    refs_for       seconds for which an edited message's newest ref is remembered after the edit
    key_window     seconds for which an ended envelope's idempotency key is remembered; None: as
                   the gateway's `idempotency_window`
    queue          changes that may wait for the database; further appends wait
    linger         seconds that changes may wait for further ones if no caller waits for them
    connect_for    seconds that opening a connection may take
    accounts       `whole`: one process owns all accounts, and others stand by; `spread`: each
                   process owns some accounts, and takes over accounts that another one leaves
    weight         this process's share of spread accounts, relative to the other processes'
                   weights; 0: it owns only accounts that no other process can own
    """

    schema: str = attrs.field(default="gateway", validator=_schema)
    lease: float = attrs.field(default=10.0, validator=number(least=5, most=60))
    owner_wait: float = attrs.field(default=math.inf, validator=number(least=0, most=math.inf))
    poll: float = attrs.field(default=0.025, validator=number(least=0.005, most=10))
    history_for: float = attrs.field(default=604_800.0, validator=_SECONDS)
    refs_for: float = attrs.field(default=7_776_000.0, validator=_SECONDS)
    key_window: float | None = attrs.field(default=None, validator=optional(_SECONDS))
    queue: int = attrs.field(default=4_096, validator=whole(least=1))
    linger: float = attrs.field(default=0.02, validator=_SECONDS)
    connect_for: float = attrs.field(default=10.0, validator=number(least=1, most=300))
    accounts: Literal["whole", "spread"] = attrs.field(
        default="whole", validator=one_of("whole", "spread")
    )
    weight: float = attrs.field(default=1.0, validator=number(least=0, most=1000))

    @property
    def patience(self) -> float:
        """Seconds that a statement, a lock or an idle transaction may take: below a quarter lease.

        So a process that takes over waits no longer than that for the previous owner's transaction.
        """
        return self.lease / 5
