"""Checks an envelope's values, in the same way for every channel. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from math import isfinite
from typing import Any, get_args

import attrs

from gateway_core.contract.addresses import Asked, Interaction
from gateway_core.contract.beside.faults import button_problems
from gateway_core.contract.beside.poll_problems import poll_problems
from gateway_core.contract.envelopes import (
    Call,
    Delete,
    Edit,
    Envelope,
    Grows,
    KeyRef,
    MessageRef,
    PartRef,
    Send,
)
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.files import MOST_FILES, too_many
from gateway_core.contract.instances import Secret
from gateway_core.contract.validators import (
    DEEPEST,
    LONGEST,
    LONGEST_NAME,
    MANY,
    UNSENDABLE,
    WIDEST,
    is_finite,
    is_sendable,
    name_fault,
    shown,
    time_fault,
)
from gateway_core.files.checks import are_plain, file_problems
from gateway_core.plugins.plain import plain

ENVELOPES = (Send, Edit, Delete, Call)
LONGEST_TEXT = 1_000_000
"""Characters of one envelope: bounds the work of cutting, as `max_parts` is checked only later."""
MOST = 100
"""The most problems that are reported for one envelope, and the most mentions in one."""
_NO_EXTRA: dict[str, object] = {}
FLAGS = ("link_previews", "silent", "interim", "ephemeral", "repeat_safe")


def problems_of(envelope: object) -> list[Problem]:
    """Every mistake: wrong types, texts that cannot be sent, values that are not plain JSON."""
    if type(envelope) is Send and _is_plain(envelope):
        return []
    return list(islice(_problems(envelope), MOST))


def checked(envelope: Envelope) -> Envelope:
    """The envelope, made of plain values only. Raises `Invalid` with every mistake."""
    if type(envelope) is Send and _is_plain(envelope):
        return envelope
    problems = list(islice(_problems(envelope), MOST))
    if problems:
        raise Invalid(problems)
    envelope = plain(envelope)
    if isinstance(envelope, Send | Edit):  # lists become tuples, which nobody can change
        if isinstance(envelope.mentions, list):
            envelope = attrs.evolve(envelope, mentions=tuple(envelope.mentions))
        files: object = envelope.files
        if isinstance(files, list):
            envelope = attrs.evolve(envelope, files=tuple(files))
    return envelope


def check_envelope(value: object) -> None:
    """Raises `Invalid` for a value that is not even an envelope."""
    if not isinstance(value, ENVELOPES):
        raise Invalid(problems_of(value))


def _is_plain(send: Any) -> bool:
    """Whether a few comparisons show that the full check would find nothing: the common case."""
    text, room, instance = send.text, send.external_room_id, send.instance_id
    return (
        send.collapse is None
        and (send.key is None or _is_plain_name(send.key))
        and (send.thread_id is None or _is_plain_name(send.thread_id))
        and (send.reply_to is None or _is_plain_name(send.reply_to))
        and send.ttl is send.not_before is send.deadline is None
        and send.grows is None
        and send.mentions is send.link_previews is send.silent is False
        and send.interaction is None
        and (send.files == () or are_plain(send.files))
        and send.buttons == ()
        and send.poll is None
        and send.ephemeral is False
        and send.extra == _NO_EXTRA
        and type(text) is str
        and (text != "" or send.files != ())
        and len(text) <= LONGEST_TEXT
        and text.isascii()
        and "\x00" not in text
        and not text.isspace()
        and type(room) is type(instance) is str
        and type(send.priority) is str
        and type(send.order) is str
        and type(send.format) is str
        and type(send.on_unknown) is str
        and type(send.on_conflict) is str
        and type(send.on_file_error) is str
        and 0 < len(room) <= LONGEST_NAME
        and 0 < len(instance) <= LONGEST_NAME
        and (names := room + instance).isascii()
        and names.isprintable()
    )


def _is_plain_name(value: object) -> bool:
    """Whether a few comparisons show that a name is valid: the common case."""
    return (
        type(value) is str
        and 0 < len(value) <= LONGEST_NAME
        and value.isascii()
        and value.isprintable()
    )


def _problems(envelope: object) -> Iterator[Problem]:
    if not isinstance(envelope, ENVELOPES):
        yield Problem("envelope", f"must be a Send, Edit, Delete or Call, not {envelope!r}")
        return
    yield from _names(envelope)
    yield from _seconds("ttl", envelope.ttl)
    yield from _time("not_before", envelope.not_before)
    yield from _time("deadline", envelope.deadline)
    if envelope.ttl is not None and envelope.deadline is not None:
        yield Problem("deadline", "cannot be given together with ttl")
    for name in FLAGS:
        value = getattr(envelope, name, False)
        if not isinstance(value, bool):
            yield Problem(name, f"must be true or false, not {shown(value)}")
    if isinstance(envelope, Send | Edit):
        yield from _text(envelope.text, alone=not _has_more(envelope))
        yield from _poll(envelope)
        yield from _files(envelope)
        rows: object = envelope.buttons
        if rows is not None or not isinstance(envelope, Edit):
            yield from button_problems(rows)
        yield from _mentions(envelope.mentions)
        yield from _table("extra", envelope.extra, optional=isinstance(envelope, Edit))
    if isinstance(envelope, Edit | Delete) or envelope.target is not None:
        yield from _target(envelope)
    if isinstance(envelope, Call):
        yield from _table("arguments", envelope.arguments)


def _has_more(envelope: Send | Edit) -> bool:
    """Whether the message has content besides its text."""
    if envelope.files or envelope.extra:
        return True
    if isinstance(envelope, Send):
        return bool(envelope.poll)
    return envelope.buttons is not None and envelope.only_buttons


def _names(envelope: Envelope) -> Iterator[Problem]:
    """Check the ids and keys. A call may have no room: some methods concern no room."""
    yield from _name("instance_id", envelope.instance_id)
    no_room = "" if isinstance(envelope, Call) else ...
    yield from _name("external_room_id", envelope.external_room_id, absent=no_room)
    yield from _name("key", envelope.key, absent=None)
    if isinstance(envelope, Send | Call):
        yield from _name("thread_id", envelope.thread_id, absent=None)
    if isinstance(envelope, Send):
        yield from _name("reply_to", envelope.reply_to, absent=None)
        yield from _name("collapse", envelope.collapse, absent=None)
        yield from _grows(envelope.grows)
    if isinstance(envelope, Send | Edit):
        yield from _interaction(envelope)
    if isinstance(envelope, Call):
        yield from _name("method", envelope.method)


def _grows(grows: object) -> Iterator[Problem]:
    if grows is None:
        return
    if not isinstance(grows, Grows):
        yield Problem("grows", f"must be left out, not {shown(grows)}: only streams set it")
    elif not isinstance(grows.broken_off, str) or not is_sendable(grows.broken_off):
        text = f"must be a text that can be sent, not {shown(grows.broken_off)}"
        yield Problem("broken_off", text)  # `stream` takes it by this name
    else:
        for name in ("message_id", "user_id", "team_id"):
            yield from _name(f"grows.{name}", getattr(grows, name), absent=None)
        for name in ("direct", "elsewhere"):
            flag: object = getattr(grows, name)
            if not isinstance(flag, bool):
                yield Problem(f"grows.{name}", f"must be true or false, not {shown(flag)}")


def _interaction(message: Send | Edit) -> Iterator[Problem]:
    """Check the reply token, which comes from `gateway.address`, or from `reply` itself."""
    asked: object = message.interaction
    if asked is None:
        if isinstance(message, Send) and message.ephemeral is True:
            text = "must be false: only the answer to an interaction can be for one person alone"
            yield Problem("ephemeral", text)
        return
    if not isinstance(asked, Interaction):
        yield Problem("interaction", f"must be an Interaction, not {type(asked).__name__}")
        return
    token: object = asked.token
    if not isinstance(token, Secret) or not is_sendable(token.reveal()):
        yield Problem("interaction.token", "must be a Secret of a text that can be sent")
    yield from _name("interaction.id", asked.id, absent="")
    yield from _name("interaction.app_id", asked.app_id, absent="")
    if not is_finite(asked.ends):
        yield Problem("interaction.ends", f"must be a POSIX time, not {shown(asked.ends)}")
    yield from _seconds("interaction.lasts", asked.lasts)
    if type(asked.answer) is not int or not 0 <= asked.answer <= WIDEST:
        yield Problem("interaction.answer", "must be a whole number, 0 or more")
    if asked.asked not in get_args(Asked):
        yield Problem("interaction.asked", f"must be one of {', '.join(get_args(Asked))}")


def _name(place: str, value: object, *, absent: object = ...) -> Iterator[Problem]:
    """Check an id or a key; `absent` is the value that an optional one has if it is left out."""
    if value == absent or _is_plain_name(value):
        return
    if fault := name_fault(value):
        yield Problem(place, fault)


def _text(text: object, *, alone: bool) -> Iterator[Problem]:
    """Check a text; `alone`: the message has nothing else, so the text must not be empty."""
    if not isinstance(text, str):
        yield Problem("text", f"must be a text, not {type(text).__name__}")
    elif not text.strip():
        if alone:
            yield Problem("text", "is empty")
    elif len(text) > LONGEST_TEXT:
        yield Problem("text", f"has {len(text)} characters, at most {LONGEST_TEXT}")
    elif not (text.isascii() and "\x00" not in text) and not is_sendable(text):
        yield Problem("text", UNSENDABLE)


def _poll(message: Send | Edit) -> Iterator[Problem]:
    if not isinstance(message, Send) or message.poll is None:
        return
    yield from poll_problems(message.poll)
    if message.grows is not None:
        yield Problem("poll", "must be left out: a stream carries no poll")


def _files(message: Send | Edit) -> Iterator[Problem]:
    files: object = message.files
    if files is None and isinstance(message, Edit):
        return
    if not isinstance(files, list | tuple):
        yield Problem("files", f"must be a sequence of Files, not {type(files).__name__}")
        return
    if len(files) > MOST_FILES:
        yield Problem("files", too_many(files))
        return
    if files and isinstance(message, Send) and message.grows is not None:
        yield Problem("files", "must be left out: a stream carries no files")
    for place, file in enumerate(files):
        yield from file_problems(f"files.{place}", file)


def _mentions(value: object) -> Iterator[Problem]:
    if isinstance(value, bool):
        return
    if not isinstance(value, list | tuple):
        yield Problem("mentions", f"must be true, false or a list of ids, not {shown(value)}")
    elif len(value) > MOST:
        yield Problem("mentions", f"names {len(value)} people, at most {MOST}")
    else:
        for index, each in enumerate(value):
            yield from _name(f"mentions.{index}", each)


def _table(place: str, value: object, *, optional: bool = False) -> Iterator[Problem]:
    if not (isinstance(value, Mapping) or (optional and value is None)):
        yield Problem(place, f"must be a table, not {type(value).__name__}")
    elif len([*islice(_held(value), MANY + 1)]) > MANY:
        yield Problem(place, f"holds more than {MANY} values")
    else:
        yield from _json(place, value)


def _held(value: object, depth: int = 0) -> Iterator[object]:
    """The value, and all values inside it."""
    yield value
    if depth <= DEEPEST and isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _held(item, depth + 1)


def _seconds(place: str, value: object) -> Iterator[Problem]:
    if value is None:
        return
    if not is_finite(value):
        yield Problem(place, f"must be a finite number of seconds, not {shown(value)}")
    elif abs(value) > LONGEST:
        yield Problem(place, f"must be at most {LONGEST:.0f} seconds, not {shown(value)}")


def _time(place: str, value: object) -> Iterator[Problem]:
    if value is not None and (fault := time_fault(value)):
        yield Problem(place, fault)


def _target(envelope: Edit | Delete | Call) -> Iterator[Problem]:
    target: object = envelope.target
    if not isinstance(target, MessageRef | KeyRef):
        yield Problem("target", f"must be a MessageRef or a KeyRef, not {type(target).__name__}")
        return
    for name in ("instance_id", "external_room_id"):
        if getattr(target, name) != getattr(envelope, name):
            yield Problem(f"target.{name}", "differs from the envelope's")
    if isinstance(target, KeyRef):
        yield from _name("target.key", target.key)
    else:
        yield from _ref(target)


def _ref(ref: MessageRef) -> Iterator[Problem]:
    if not ref.parts and not ref.envelope_id:
        yield Problem("target", "names no message")
    else:
        yield from _name("target.envelope_id", ref.envelope_id, absent="")
    yield from _name("target.thread_id", ref.thread_id, absent=None)
    if type(ref.revision) is not int:
        yield Problem("target.revision", f"must be a whole number, not {ref.revision!r}")
    twice: object = ref.possible_duplicate
    if not isinstance(twice, bool):
        yield Problem("target.possible_duplicate", f"must be true or false, not {twice!r}")
    yield from _table("target.extra", ref.extra, optional=True)
    parts: object = ref.parts
    if not isinstance(parts, tuple):
        yield Problem("target.parts", f"must be a tuple, not {type(parts).__name__}")
        return
    for index, part in enumerate(parts):
        yield from _part(f"target.parts.{index}", part)


def _part(place: str, part: object) -> Iterator[Problem]:
    if not isinstance(part, PartRef):
        yield Problem(place, f"must be a PartRef, not {type(part).__name__}")
        return
    yield from _name(f"{place}.message_id", part.message_id)
    yield from _name(f"{place}.digest", part.digest, absent="")
    yield from _table(f"{place}.payload", part.payload, optional=True)


def _json(  # noqa: C901 - one branch for each kind of JSON value
    place: str, value: object, depth: int = 0
) -> Iterator[Problem]:
    """Check that the value is plain JSON; each problem names its place."""
    if depth > DEEPEST:
        yield Problem(place, f"is nested deeper than {DEEPEST}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or not is_sendable(key):
                yield Problem(place, f"has the key {key!a}, which is not a text that can be sent")
            else:
                yield from _json(f"{place}.{key}", item, depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _json(f"{place}.{index}", item, depth + 1)
    elif isinstance(value, str):
        if not is_sendable(value):
            yield Problem(place, UNSENDABLE)
    elif isinstance(value, float) and not isfinite(value):
        yield Problem(place, "must be a finite number")
    elif isinstance(value, int) and abs(value) > WIDEST:
        yield Problem(place, "must be a number of at most 64 bits")
    elif value is not None and not isinstance(value, bool | int | float):
        hint = "; send a file with `files`" if isinstance(value, bytes | bytearray) else ""
        yield Problem(place, f"must be plain JSON, not {type(value).__name__}{hint}")
