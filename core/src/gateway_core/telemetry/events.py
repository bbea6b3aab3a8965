"""Declares every log event (its name, level and fields), and logs them by `log_event`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import structlog

from gateway_core.contract.validators import printable
from gateway_core.telemetry.kinds import Event
from gateway_core.telemetry.log_lock import log_lock

log: Any = structlog.get_logger("gateway")


def log_event(event: Event, **fields: Any) -> None:
    """Log the event at its level. If that fails, nothing else is affected.

    Control characters are neutralised, since a platform's words may come from anybody.
    """
    with suppress(Exception):
        for name, value in fields.items():
            if isinstance(value, str) and not value.isprintable():
                fields[name] = printable(value)
        with log_lock:
            getattr(log, event.level)(event, **fields)


def is_told(times: int) -> bool:
    """Whether something is logged that happened so often: the 1st, 10th, 100th time and so on."""
    return str(times).strip("0") == "1"


ENVELOPE_ACCEPTED = Event(
    "envelope_accepted", "debug", "an envelope was accepted",
    "envelope instance partition pressure room operation class",
)  # fmt: skip
ENVELOPE_REFUSED = Event(
    "envelope_refused", "debug", "an envelope was refused; the caller has the exception",
    "instance error",
)  # fmt: skip
ENVELOPE_ENDED = Event(
    "envelope_ended", "debug", "an envelope ended as asked, or in favour of a newer edit",
    "envelope instance partition pressure disposition attempts seconds",
)  # fmt: skip
ENVELOPE_FAILED = Event(
    "envelope_failed", "info", "an envelope ended undelivered, or in doubt",
    "envelope instance partition pressure room disposition attempts seconds reason raw",
)  # fmt: skip
ENVELOPE_CRASHED = Event(
    "envelope_crashed", "error", "an internal error of the gateway on one envelope",
    "envelope instance partition error where",
)  # fmt: skip
REQUEST_CRASHED = Event(
    "request_crashed", "error",
    "an internal error of the gateway on a request from another process; the request is "
    "refused, everything else continues",
    "instance error where",
)  # fmt: skip
REQUEST_REFUSED = Event(
    "request_refused", "info",
    "a message that another process handed over without waiting for it was refused; `where` names "
    "the fields. Its status, by the id that its sender got, has the words",
    "instance error where",
)  # fmt: skip
ATTEMPT_STARTED = Event(
    "attempt_started", "debug", "an attempt began",
    "envelope instance partition pressure operation attempt",
)  # fmt: skip
ATTEMPT_ANSWERED = Event(
    "attempt_answered", "debug", "the platform said yes",
    "envelope instance partition pressure operation attempt seconds",
)  # fmt: skip
SIGN_FAILED = Event(
    "sign_failed", "debug", "a typing sign, or the acknowledgement of an interaction, failed",
    "instance operation reason scope",
)  # fmt: skip
ATTEMPT_FAILED = Event(
    "attempt_failed", "info",
    "an attempt failed: why, what that affects (`scope`), and what follows (`then`) after `wait` s",
    "envelope instance partition pressure room operation attempt reason scope raw then wait",
)  # fmt: skip
INSTANCE_SUSPENDED = Event(
    "instance_suspended", "error", "the instance is suspended: nothing is sent until it is resumed",
    "instance channel reason raw",
)  # fmt: skip
INSTANCE_RESUMED = Event(
    "instance_resumed", "info",
    "the suspension ended; `by` says how, also by `remove_instance`, or because the gateway "
    "closes",
    "instance by",
)  # fmt: skip
SUSPENSION_REFUSED = Event(
    "suspension_refused", "error",
    "`suspend` or `resume` (`asked`) in a process that does not own the instance was refused, and "
    "is not tried again: the process's role may not send as the instance",
    "instance asked error",
)  # fmt: skip
INSTANCE_ADDED = Event(
    "instance_added", "info", "the instance was added at run time", "instance channel"
)
INSTANCE_REPLACED = Event(
    "instance_replaced", "info", "the instance got other settings or another secret",
    "instance channel",
)  # fmt: skip
INSTANCE_REMOVED = Event(
    "instance_removed", "info",
    "the instance was removed; `undelivered`: how many envelopes ended with it",
    "instance undelivered",
)  # fmt: skip
INSTANCE_FOUND = Event(
    "instance_found",
    "debug",
    "the instance source gave the instance when it was needed",
    "instance channel",
)
INSTANCE_FORGOTTEN = Event(
    "instance_forgotten", "debug",
    "the instance had nothing to do for long; the instance source is asked again when it is needed",
    "instance",
)  # fmt: skip
INSTANCE_SOURCE_FAILED = Event(
    "instance_source_failed", "error",
    "the instance source failed for an account that has envelopes in the outbox; it is asked"
    " again. Logged for the 1st, 10th, 100th … of `times` for one account",
    "instance error times",
)  # fmt: skip
CONFIGURATION_RELOADED = Event(
    "configuration_reloaded", "info",
    "the instances of another configuration are served now; `restart` names other settings "
    "that differ, which take effect at the next start",
    "added replaced removed restart",
)  # fmt: skip
PROBE_FAILED = Event(
    "probe_failed", "info",
    "a probe did not show that the instance works again: why (`raw`). Logged for the 1st, 10th, "
    "100th … of `times`; counted anew once a first message waits for the instance",
    "instance channel reason raw times",
)  # fmt: skip
CIRCUIT_OPENED = Event(
    "circuit_opened", "warning", "the platform keeps failing: only probes are sent", "instance"
)
CIRCUIT_CLOSED = Event(
    "circuit_closed", "info", "the platform works again; `by` says who found out", "instance by"
)
HOOK_FAILED = Event(
    "hook_failed", "error",
    "a hookimpl raised, or returned a wrong value, or an attempt's hook raised what "
    "`classify_error` does not know; logged for the 1st, 10th, 100th … of `times` with one cause, "
    "with the innermost line of the plugin (`where`). The error stops there",
    "channel plugin hook error where times",
)  # fmt: skip
HOOK_SLOW = Event(
    "hook_slow", "warning",
    "a hookimpl blocked the event loop for 0.1 s or more; logged for the 1st, 10th, 100th … "
    "of `times`. `seconds` does not include garbage collection, which is in `gc`",
    "channel plugin hook seconds gc times",
)  # fmt: skip
PARTITION_RESTARTED = Event(
    "partition_restarted", "error",
    "a partition's task died and is restarted; `error` has its words with `telemetry.texts`",
    "partition restarts error where",
)  # fmt: skip
PRESSURE_CHANGED = Event(
    "pressure_changed", "warning", "a partition's pressure level changed",
    "partition pressure previous depth bound",
)  # fmt: skip
ROOM_MOVED = Event(
    "room_moved",
    "info",
    "a room has a new id; its queue continues there",
    "envelope instance partition pressure room attempt",
)
SESSION_FAILED = Event(
    "session_failed", "error",
    "an adapter's session did not open, or broke; `where` is the innermost line of the plugin",
    "instance channel plugin error where",
)  # fmt: skip
OUTBOX_IN_MEMORY = Event(
    "outbox_in_memory", "info", "accepted envelopes do not survive the process"
)
OUTBOX_FAILED = Event(
    "outbox_failed", "error",
    "the outbox failed, and is tried again. While nothing can be written, this is logged for "
    "the 1st, 10th, 100th … of `times`",
    "error waiting wait times",
)  # fmt: skip
OUTBOX_WORKS = Event(
    "outbox_works", "info",
    "the outbox works again, after `outbox_failed`; in a process that writes and reads, both do",
    "seconds",
)  # fmt: skip
OUTBOX_RECOVERED = Event(
    "outbox_recovered", "info", "a previous run left envelopes, which continue now", "unfinished"
)
OUTBOX_STANDS_BY = Event(
    "outbox_stands_by", "info",
    "another process owns the outbox; this one waits until that one leaves or dies", "owner",
)  # fmt: skip
OUTBOX_TAKEN_OVER = Event(
    "outbox_taken_over", "info", "this process stood by, and owns the outbox from now on", "seconds"
)  # fmt: skip
OUTBOX_MIGRATION_WAITS = Event(
    "outbox_migration_waits", "warning",
    "the outbox's schema must be made or upgraded, and another session of the database holds the "
    "lock for that; the gateway opens once the lock is free",
)  # fmt: skip
ACCOUNT_LOST = Event(
    "account_lost", "warning",
    "another process owns the account now; this one starts nothing more for it until it owns "
    "it again",
    "instance",
)  # fmt: skip
ACCOUNT_OWNED = Event(
    "account_owned", "info", "this process owns the account from now on", "instance stored",
)  # fmt: skip
ACCOUNT_MOVED = Event(
    "account_moved", "info", "the account goes to another process; nothing of it is left here",
    "instance",
)  # fmt: skip
OUTBOX_UNSERVED = Event(
    "outbox_unserved", "warning", "the outbox has envelopes of an instance that is not configured",
    "instance stored",
)  # fmt: skip
OUTBOX_UNREADABLE = Event(
    "outbox_unreadable", "error", "a row of the outbox cannot be read; it is left alone",
    "envelope error",
)  # fmt: skip
OUTBOX_KEY_MISSING = Event(
    "outbox_key_missing", "error",
    "a row that was handed over is sealed with a key that is not in `outbox.keys` here; it is left"
    " alone, and taken by a process that has the key",
    "instance envelope key error",
)  # fmt: skip
OUTBOX_BROKE = Event(
    "outbox_broke", "error",
    "an outbox's method that must not raise failed; everything else continues",
    "method error where",
)  # fmt: skip
GROUP_ACCEPTED = Event(
    "group_accepted", "info",
    "a group was accepted: its members need `attempts`, which take `seconds` within the limits",
    "group instance members attempts seconds",
)  # fmt: skip
GROUP_PAUSED = Event(
    "group_paused", "info", "its members wait until it is resumed", "group instance"
)
GROUP_RESUMED = Event("group_resumed", "info", "its members go on", "group instance")
GROUP_CANCELLED = Event(
    "group_cancelled", "info",
    "members whose turn had not come are dropped; `withdrawn`: how many of the others had "
    "not begun",
    "group instance withdrawn",
)  # fmt: skip
GROUP_RETRIED = Event(
    "group_retried", "info", "its failed members are tried again", "group instance members"
)
GROUP_ENDED = Event(
    "group_ended", "info", "its last member ended, `seconds` after the group was accepted",
    "group instance members delivered failed seconds",
)  # fmt: skip
GROUP_LEFT = Event(
    "group_left", "warning",
    "the gateway closed before all members had their turn; `stored` of them wait in the outbox",
    "group instance members stored",
)  # fmt: skip
LOOP_STALLED = Event(
    "loop_stalled", "warning", "something blocked the event loop for a second or more", "seconds"
)
TELEMETRY_DROPPING = Event(
    "telemetry_dropping", "warning", "an exporter cannot take everything that it is given",
    "signal dropped",
)  # fmt: skip
DRAINING = Event(
    "draining", "info",
    "the gateway is closing and waits, at most `timeout` seconds in all, for envelopes that are "
    "unfinished; logged once, after a second",
    "unfinished timeout",
)  # fmt: skip
UNFINISHED_AT_CLOSE = Event(
    "unfinished_at_close", "warning",
    "the gateway closed with unfinished envelopes; `stored` of them wait in the outbox",
    "count stored",
)  # fmt: skip

LEFT_AT_CLOSE = Event(
    "left_at_close", "warning",
    "the drain was cut short, for example by a third Ctrl-C, before this envelope ended; "
    "`stored`: it waits in the outbox",
    "envelope instance room stored",
)  # fmt: skip
LOOP_ENDED = Event(
    "loop_ended", "warning",
    "the application's event loop ended, or its process exits, while the gateway is open: it "
    "drains",
    "unfinished",
)  # fmt: skip

EVENTS = tuple(thing for thing in list(vars().values()) if isinstance(thing, Event))
