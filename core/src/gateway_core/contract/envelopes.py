"""Defines envelopes, their parts, message references and receipts: immutable values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import attrs
import msgspec

from gateway_core.contract.addresses import Address, Interaction
from gateway_core.contract.beside.buttons import Rows, rows_of
from gateway_core.contract.beside.polls import Poll
from gateway_core.contract.files import File, Upload
from gateway_core.contract.validators import copied, one_of
from gateway_core.contract.verdicts import Verdict

Json: TypeAlias = Any
"""Plain JSON: None, bool, int, float, str, lists and mappings of these."""

Priority = Literal["urgent", "normal", "bulk"]
Order = Literal["room", "none"]
Format = Literal["plain", "markdown", "native"]
OnUnknown = Literal["retry", "give_up"]
OnConflict = Literal["raise", "replay"]
OnFileError = Literal["fail", "send_text"]
"""What happens to a message if the platform refuses its files."""
OnCancel = Literal["withdraw", "detach"]
"""What a caller's cancellation does to the envelope whose end the caller waits for."""

Mentions: TypeAlias = bool | Sequence[str]
"""Whom a text may notify: everybody whom it mentions, nobody, or the people with these ids."""

Mode = Literal["as_asked", "stricter", "plain"]
"""How `chunk` plans: as the envelope asks, with a smaller limit, or as plain text."""

ANSWER, REVISE = "answer", "revise"
"""The operations of a send and of an edit that use an interaction's reply token; the token has
limits of its own."""
BY_TOKEN = (ANSWER, REVISE)
UPLOAD = "upload"
"""The operation in `rate_limit` for a send with files, which some platforms limit separately."""

REF_VERSION = 1
"""The format version that `MessageRef` is written with."""


class Disposition(StrEnum):
    """How an accepted envelope ended; every envelope ends in exactly one of these."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    FATAL = "fatal"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    SUPERSEDED = "superseded"
    SHED = "shed"
    CANCELLED = "cancelled"
    CRASHED = "crashed"


@attrs.frozen(kw_only=True)
class PartRef:
    """What one request of an envelope made: mostly one platform message.

    digest  the digest of what was sent
    files   the message's files, with the platform's ids
    more    ids of further messages from the same request: the rest of an album, in the order of the
            files
    fixed   no edit can change the message, for example a poll, or the rest of an album that a call
            made
    payload  for a `repeated` part: the platform's own fields for its content. None: the part is not
             `repeated`, or the fields are not known
    """

    message_id: str
    digest: str = ""
    files: tuple[File, ...] = ()
    more: tuple[str, ...] = ()
    fixed: bool = False
    payload: Mapping[str, Json] | None = None


@attrs.frozen(kw_only=True)
class MessageRef:
    """What an application stores to edit or delete a message later. Serialisable.

    envelope_id         the `Send` that made the message: its identity over all revisions
    parts               the platform messages in order; empty in a ticket's ref, which is
                        resolved when the edit starts
    revision            0 for the message as sent, one more with each edit
    extra               the platform's own fields on the message's last part; None: none, or not
                        known
    possible_duplicate  the room may have more copies than `parts` names; changes do not reach those
    version             the format version that it was written with
    """

    instance_id: str
    external_room_id: str
    envelope_id: str
    thread_id: str | None = None
    parts: tuple[PartRef, ...] = ()
    revision: int = 0
    extra: Mapping[str, Json] | None = None
    possible_duplicate: bool = False
    version: int = REF_VERSION

    @classmethod
    def at(cls, instance_id: str, address: Address | None) -> MessageRef | None:
        """A ref to the message that an event is or concerns: of a press, the one with the button.

        None: the event has no address, or its address names no message.
        """
        if address is None or address.message_id is None:
            return None
        return cls(
            instance_id=instance_id,
            external_room_id=address.external_room_id,
            envelope_id="",  # perhaps no envelope made it
            thread_id=address.thread_id,
            parts=(PartRef(message_id=address.message_id),),
        )


@attrs.frozen(kw_only=True)
class KeyRef:
    """A message named by the idempotency key that it was sent with."""

    instance_id: str
    external_room_id: str
    key: str


Target: TypeAlias = MessageRef | KeyRef


def _not_negative(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Refuse numbers below zero; a later check reports a value that is no number."""
    if value is not None and isinstance(value, int | float) and value < 0:
        raise ValueError(f"'{attribute.name}' must be 0 or more, not {value!r}")


@attrs.frozen(kw_only=True)
class _Envelope:
    """The fields that every envelope has.

    key          idempotency key, unique in (instance, room, operation); None: none
    ttl          seconds after the call at which the envelope ends `expired`, even while it waits
                 for a slot. None: the ttl of its class, counted from `not_before` if that is later
                 (the envelope's own, or that of the message that it changes)
    deadline     POSIX time at which the envelope ends `expired`, in place of `ttl`; None: `ttl`
                 decides
    not_before   POSIX time before which the envelope is not sent; None: it may be sent at once
    priority     the class: `urgent`, `normal` or `bulk`
    order        `room`: first in, first out within its lane; `none`: a lane of its own
    on_unknown   what to do when nobody knows whether a part arrived
    on_conflict  what to do when the key was used for another payload
    """

    instance_id: str
    external_room_id: str
    key: str | None = None
    ttl: float | None = attrs.field(default=None, validator=_not_negative)
    not_before: float | None = None
    priority: Priority = attrs.field(default="normal", validator=one_of(*get_args(Priority)))
    order: Order = attrs.field(default="room", validator=one_of(*get_args(Order)))
    on_unknown: OnUnknown = attrs.field(default="retry", validator=one_of(*get_args(OnUnknown)))
    on_conflict: OnConflict = attrs.field(default="raise", validator=one_of(*get_args(OnConflict)))
    deadline: float | None = None


@attrs.frozen(kw_only=True)
class Grows:
    """How a stream's message grows: its text is not complete when the gateway accepts it.

    broken_off  text that is added at the message's end if nobody finishes it, for example because
                its program was killed; empty: nothing
    stored_as   the number of the text at acceptance, if that text was the last; 0: the text grows
    elsewhere   another process writes the text, and reports its growth to the process that
                delivers the message

    The other fields come from the event's `Address`; showing the stream natively may need them.
    """

    broken_off: str = ""
    stored_as: int = 0
    elsewhere: bool = False
    message_id: str | None = None
    user_id: str | None = None
    team_id: str | None = None
    direct: bool = False


@attrs.frozen(kw_only=True)
class Send(_Envelope):
    """A message to a room.

    thread_id      the thread or topic; None: the room itself
    reply_to       the platform's id of the message that the first part answers
    format         how `text` is read: `plain`, `markdown`, or the platform's `native` markup
    extra          the platform's own fields (embeds, blocks, keyboards), on the last part
    mentions       let the text notify people; False: nobody. Ids of people: only these, if the text
                   mentions them
    link_previews  let the platform show link previews
    silent         deliver without a sound, where the platform can
    collapse       while this message waits, a newer one with the same `collapse`, room and thread
                   replaces it, and this one ends `superseded`. None: no message replaces it
    grows          set by a stream for its message; None: the text is complete
    ephemeral      only the interaction's user sees it; refused if the platform cannot do that
    interaction    the interaction that the message answers with its reply token; once the token has
                   expired, the message goes to the room. None: it answers no interaction
    files          pictures and other files, in order. With files, the text may be empty
    on_file_error  what to do if the platform refuses the files for good: `fail` ends the envelope,
                   `send_text` sends its text, if any, without them
    buttons        one row of buttons, or several rows, below the last part. At acceptance they
                   become fields of the platform, beside those of `extra`
    poll           a poll in the last message; with a poll, the text may be empty. None: none
    """

    text: str
    thread_id: str | None = None
    reply_to: str | None = None
    format: Format = attrs.field(default="markdown", validator=one_of(*get_args(Format)))
    extra: Mapping[str, Json] = attrs.field(factory=dict, converter=copied)
    mentions: Mentions = False
    link_previews: bool = False
    silent: bool = False
    collapse: str | None = None
    grows: Grows | None = None
    ephemeral: bool = False
    interaction: Interaction | None = None
    files: tuple[File, ...] = ()
    on_file_error: OnFileError = attrs.field(
        default="fail", validator=one_of(*get_args(OnFileError))
    )
    buttons: Rows = attrs.field(factory=tuple, converter=rows_of)
    poll: Poll | None = None

    operation = "send"
    target: ClassVar[None] = None


@attrs.frozen(kw_only=True)
class _Change(_Envelope):
    """A change to a message that was sent."""

    target: Target

    @property
    def thread_id(self) -> str | None:
        """The target's thread, if the target names one."""
        return self.target.thread_id if isinstance(self.target, MessageRef) else None


@attrs.frozen(kw_only=True)
class Edit(_Change):
    """A new text for a message that was sent, new buttons, or both.

    target   the message: a ref (from a receipt, from a ticket, or stored), or its key
    text     the new text. Empty, with `buttons` and without `extra` and `files`: the text does not
             change
    extra    the platform's own fields, on the new last part: None keeps the message's fields, an
             empty mapping removes them, any other replaces them and the message's buttons
    buttons  the new buttons, on the new last part; an empty tuple removes them, None keeps them
    interim  the edit is an intermediate state of a stream, which ranks below final texts
    interaction  the interaction whose reply token edits the answer, until the token expires
    files    the new files; a file with an `id` that the message already has stays. None keeps the
             files; an empty tuple removes them, if the platform can
    """

    text: str = ""
    format: Format = attrs.field(default="markdown", validator=one_of(*get_args(Format)))
    extra: Mapping[str, Json] | None = attrs.field(default=None, converter=copied)
    mentions: Mentions = False
    link_previews: bool = False
    interim: bool = False
    interaction: Interaction | None = None
    files: tuple[File, ...] | None = None
    buttons: Rows | None = attrs.field(default=None, converter=rows_of)

    operation = "edit"

    @property
    def only_buttons(self) -> bool:
        """Whether the edit changes only the buttons; the message keeps its text and files."""
        alone = self.extra is None and self.files is None
        return alone and self.buttons is not None and not self.text


@attrs.frozen(kw_only=True)
class Delete(_Change):
    """Delete a message with all of its parts."""

    operation = "delete"


@attrs.frozen(kw_only=True)
class Call(_Envelope):
    """Any other method of the platform: a callback's answer, a reaction, typing, pinning.

    target       the message that the call concerns. The message's id is filled in like the room's
                 when the call's turn comes; if the message has several parts, the first part's id.
                 None: the call concerns no message
    repeat_safe  the call is safe to repeat: if nobody knows whether it arrived, it is made again,
                 even if the channel does not declare the method safe
    """

    method: str
    arguments: Mapping[str, Json] = attrs.field(factory=dict, converter=copied)
    thread_id: str | None = None
    target: Target | None = None
    repeat_safe: bool = False

    @property
    def operation(self) -> str:
        """`call:` and the method: the operation for which `rate_limit` is asked."""
        return f"call:{self.method}"


Envelope: TypeAlias = Send | Edit | Delete | Call

MESSAGES = (Send, Edit)
"""Envelopes that make or change a message with a text. A tuple, as the next one."""
CHANGES = (Edit, Delete)
"""Changes of messages. A tuple: `isinstance` with a union takes longer."""

_CANONICAL = msgspec.json.Encoder(order="deterministic")
"""Writes the canonical JSON from which digests are made."""


def digest_of(payload: Json) -> str:
    """A digest of plain JSON, the same in every process; edits compare parts by it."""
    try:
        octets = _CANONICAL.encode(payload)
    except (TypeError, ValueError):  # lone surrogates, strings of a class of their own, other keys
        written = json.dumps(payload, sort_keys=True)
        try:
            octets = _CANONICAL.encode(json.loads(written))
        except (TypeError, ValueError):
            octets = written.encode()
    return hashlib.blake2b(octets, digest_size=16).hexdigest()


@attrs.frozen(kw_only=True)
class Part:
    """A piece of content that fits one platform message.

    payload   the platform's own fields for the content, as plain JSON (no room, thread, reply,
              key or `extra`: the attempt carries those)
    span      its place in the envelope's text, in code points: (start, end). The spans of a plan do
              not overlap
    digest    the digest of what would be sent; by default the digest of `payload`. An edit leaves a
              part with an equal digest alone. So whoever changes the payload with `attrs.evolve`
              gives `digest=digest_of(payload)` as well
    degraded  which parts of the requested look were lost, in words; empty: none
    files     which of the envelope's files the part has, by their positions; each file is in one
              part
    cost      for a part with files: how many tokens of each limit it needs, such as one for each
              item of an album
    fixed     no edit can change the message that the part becomes: a poll, a sticker, a location
    captioned  if each file is a message of its own (an album): which of them shows the text
    repeated  the platform can change fields beside the content, such as buttons, only together with
              the content. The ref of a message with such fields therefore has the payload as well
    """

    payload: Mapping[str, Json]
    span: tuple[int, int] = (0, 0)
    digest: str = attrs.Factory(lambda self: digest_of(self.payload), takes_self=True)
    degraded: tuple[str, ...] = ()
    files: tuple[int, ...] = ()
    cost: int = 1
    fixed: bool = False
    repeated: bool = False
    captioned: int = 0


@attrs.frozen(kw_only=True)
class PartReceipt:
    """The outcome of one part (of a send or edit) or one step (of a delete or call).

    outcome     `delivered`, `deleted`, `unchanged`, `failed`, `unknown` or `not_sent`
    attempts    how many attempts were made
    verdict     the last error's meaning, if there was an error
    more        ids of further messages from the same request: the rest of an album
    files       which of the envelope's files the part has, by their positions
    """

    index: int
    outcome: Literal["delivered", "deleted", "unchanged", "failed", "unknown", "not_sent"]
    message_id: str | None = None
    attempts: int = 0
    span: tuple[int, int] = (0, 0)
    degraded: tuple[str, ...] = ()
    verdict: Verdict | None = None
    more: tuple[str, ...] = ()
    files: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class Receipt:
    """How an envelope ended, as the caller learns it.

    parts               each part's own outcome
    ref                 the message that arrived, for edits and deletes; None: nothing arrived, or
                        no id is known. For a `Call`: the messages in the platform's answer
    attempts            how many attempts were made, over all steps
    verdict             the error that ended the envelope, or its last error before the end; None:
                        there was no error
    possible_duplicate  the room may have a part of the message more than once; for an edit or a
                        deletion: the room may have copies of the message that were not changed
    degradations        looks lost on the way (plain instead of formatted, reply dropped, …)
    transforms          changes made before another attempt at a part
    moved_to            the room's new id, if the room moved meanwhile
    accepted_at         POSIX time of acceptance; `ended_at` is the POSIX time of the end
    replayed            the receipt is that of an earlier envelope with the same key
    result              the platform's answer to a `Call`, as plain JSON
    """

    envelope_id: str
    instance_id: str
    external_room_id: str
    disposition: Disposition
    parts: tuple[PartReceipt, ...] = ()
    ref: MessageRef | None = None
    attempts: int = 0
    verdict: Verdict | None = None
    possible_duplicate: bool = False
    degradations: tuple[str, ...] = ()
    transforms: tuple[str, ...] = ()
    moved_to: str | None = None
    accepted_at: float = 0.0
    ended_at: float = 0.0
    replayed: bool = False
    result: Json = None

    @property
    def delivered(self) -> bool:
        """True if the whole message arrived."""
        return self.disposition is Disposition.DELIVERED


@attrs.frozen(kw_only=True, eq=False)
class Delivered(Receipt):
    """The receipt of a message that arrived, from `send` and `edit`; its `ref` is never None.

    ref  the message as it is now; if a newer edit superseded this edit, the message as this edit
         named it. If the platform gave no id, the ref's parts are empty, and a change to the
         message ends `rejected`

    A `Delivered` equals a `Receipt` that has the same fields.
    """

    ref: MessageRef

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Receipt) and _plain(self) == _plain(other)

    def __hash__(self) -> int:
        return hash(_plain(self))


def _plain(receipt: Receipt) -> Receipt:
    """The receipt as a plain `Receipt`, with the same fields."""
    if type(receipt) is Receipt:
        return receipt
    return Receipt(**{name: getattr(receipt, name) for name in attrs.fields_dict(Receipt)})


@attrs.frozen
class Undelivered:
    """An envelope that was not delivered when a gateway or an instance ended, and its receipt."""

    envelope: Envelope
    receipt: Receipt


@attrs.frozen(kw_only=True)
class Attempt:
    """One attempt at one step, as the async hooks of an adapter get it.

    operation    `send`, `edit`, `delete`, or `call:<method>`; `answer` and `revise` are a send and
                 an edit by an interaction's reply token, and then `interaction` is not None; for a
                 stream that is shown natively also `draft`, `start`, `append` and `stop`
    envelope_id  the envelope that the attempt is for
    room         the room's current address (a moved room has a new one)
    thread       the thread or topic; None: the room itself
    reply        the message to answer, on the first part of a send only
    without_reply  the platform has refused the message's reply: this part is sent without it, even
                 if its payload says where it would stand
    part         the content, for send and edit. For `start`, `append` and `stop` its payload has
                 `text`, a piece of the source. None, for an edit: the message keeps its text, and
                 gets the fields of `extra`
    extra        the platform's own fields, on the last part; None: nothing is known about them;
                 empty, in an edit: the message loses the fields that it has
    message_id   the platform message, for edit, delete, append and stop; for a call, its target
    method       a call's method, with its arguments; what is shown natively has the arguments of
                 its `Streaming`
    number       1 for the first attempt at this step
    key          stable over retries and restarts, so that the platform can deduplicate by it.
                 Letters, digits and dots; the keys of an envelope's parts differ only at the end.
                 Each change of a stream's message has another key than the message; its drafts
                 have the same
    mode         how `part` was planned
    interaction  the interaction whose token is used; its `answer` is 0 only for the very first part
    ephemeral    only the interaction's user sees the answer
    files        the files of `part`, in its order; for an edit the files that the message has
                 afterwards, for a deletion the files that it has now
    loses_files  for an edit: the message loses all files that it has
    keeps_files  for an edit that names no files: the message keeps all that it has. Some of `files`
                 may be wrong, if the outcome of an earlier edit is unknown
    more         for an edit of the text alone: ids of the further messages of the part: the rest of
                 an album
    place        for an edit of an album's files, of which each is an attempt of its own: which of
                 the part's files `files` has; None: all of them
    """

    operation: str
    envelope_id: str
    instance_id: str
    room: str
    thread: str | None = None
    reply: str | None = None
    part: Part | None = None
    extra: Mapping[str, Json] | None = None
    message_id: str | None = None
    method: str | None = None
    arguments: Mapping[str, Json] = attrs.field(factory=dict)
    number: int = 1
    key: str = ""
    mode: Mode = "as_asked"
    interaction: Interaction | None = None
    ephemeral: bool = False
    files: tuple[Upload, ...] = ()
    loses_files: bool = False
    keeps_files: bool = False
    more: tuple[str, ...] = ()
    place: int | None = None
    without_reply: bool = False

    @property
    def payload(self) -> Mapping[str, Json]:
        """The part's content; empty if there is no part, as in a deletion or a call."""
        return self.part.payload if self.part is not None else {}


repeated: ContextVar[bool] = ContextVar("repeated", default=False)
"""True while the running code repeats an attempt, or finds out whether an account works. Then
`http` opens a new connection, since an old one may have caused the failure."""
