"""Envelopes, their parts, message references and receipts: immutable values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import attrs
import msgspec

from gateway_core.contract.addresses import Interaction
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
"""What becomes of a message whose files the platform refuses."""
OnCancel = Literal["withdraw", "detach"]
"""What a caller's cancellation does to the envelope whose end it waits for."""

Mentions: TypeAlias = bool | Sequence[str]
"""Whom a text may notify: everybody that it mentions, nobody, or those of these ids."""

Mode = Literal["as_asked", "stricter", "plain"]
"""How `chunk` plans: as the envelope asks, with the stricter measure, or as plain text."""

ANSWER, REVISE = "answer", "revise"
"""The operations of a send and of an edit by an interaction's reply token, which has limits of its
own."""
BY_TOKEN = (ANSWER, REVISE)
UPLOAD = "upload"
"""What limits are asked for of a send with files, which has limits of its own on some platforms."""

REF_VERSION = 1
"""The format version that `MessageRef` is written with."""


class Disposition(StrEnum):
    """How an accepted envelope ended; every one ends in exactly one of these."""

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

    digest  of what was sent
    files   those that it has, with the platform's ids
    more    ids of further messages that came of the same request: the rest of an album
    fixed   no edit changes it: it is a poll, or what else a platform leaves as it is
    payload  of a part that must be `repeated`: the platform's own fields for its content. None: it
            need not be, or is not known
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
    extra               the platform's own fields on its last part; None: none, or not known
    possible_duplicate  more of it may stand in the room than `parts` names; no change reaches that
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


@attrs.frozen(kw_only=True)
class KeyRef:
    """A message named by the idempotency key that it was sent with."""

    instance_id: str
    external_room_id: str
    key: str


Target: TypeAlias = MessageRef | KeyRef


def _not_negative(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Not below zero; a value that is no number is refused by name later."""
    if value is not None and isinstance(value, int | float) and value < 0:
        raise ValueError(f"'{attribute.name}' must be 0 or more, not {value!r}")


@attrs.frozen(kw_only=True)
class _Envelope:
    """The fields that every envelope has.

    key          idempotency key, unique in (instance, room, operation); None: none
    ttl          seconds from the call after which it ends `expired`, waiting for a slot included;
                 None: by its class, counted from `not_before` if that is later (its own, or that
                 of the message that it changes)
    deadline     POSIX time at which it ends `expired`, in place of `ttl`; None: by that
    not_before   POSIX time before which it is not sent; None: at once
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
    """How a message grows whose text is not all there when it is accepted: that of a stream.

    broken_off  what stands at its end if nobody finishes it, since its program was killed or left
                it; empty: nothing
    stored_as   the number of its text as it was accepted, if that was its last; 0: it grows
    elsewhere   another process writes it, and says how it grows to the one that delivers it

    The others are those of the event's `Address`, which showing it natively may take.
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
    mentions       let the text notify people; False: nobody is pinged. Ids of people: just these,
                   as far as the text mentions them
    link_previews  let the platform unfold links
    silent         deliver without a sound, where the platform can
    collapse       a newer message of the same `collapse`, room and thread takes the place of this
                   one while it waits: this one ends `superseded`. None: nothing does
    grows          it is a stream's, which sets this; None: its text is all there
    ephemeral      for the eyes of the interaction's user alone; refused where that cannot be
    interaction    what the message answers by its reply token, as long as that lives; afterwards
                   it goes to the room. None: it is no such answer
    files          pictures and other files, in their order. With some the text may be empty
    on_file_error  where the platform refuses the files for good: `fail` ends it, `send_text` sends
                   its text without them, if it has one
    buttons        under the last part: one row of them, or rows. As it is accepted they become
                   fields of the platform's own, beside those of `extra`
    poll           a poll, in the last message; beside it the text may be empty. None: none
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
    """A change of a message that was sent."""

    target: Target

    @property
    def thread_id(self) -> str | None:
        """The target's thread, if the target names one."""
        return self.target.thread_id if isinstance(self.target, MessageRef) else None


@attrs.frozen(kw_only=True)
class Edit(_Change):
    """A new text for a message that was sent, new buttons, or both.

    target   the message: a ref (of a receipt, of a ticket, or stored), or its key
    text     what it says from now on. Empty, with `buttons` and without `extra` and `files`: it
             says what it said
    extra    the platform's own fields, on the new last part: None keeps what the message has, an
             empty mapping removes it, any other replaces it, and with it the message's buttons
    buttons  those that it has from now on, on the new last part; none: they are taken off. None
             keeps them
    interim  one of a stream's passing states: it ranks below finals
    interaction  by whose reply token the message is edited that answered it, as long as that lives
    files    what the message has from now on: those with an `id` that it has already stay. None:
             it keeps its files, and an empty tuple takes them off, where the platform can
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
        """Whether its message keeps text and files, and gets other buttons, or none."""
        alone = self.extra is None and self.files is None
        return alone and self.buttons is not None and not self.text


@attrs.frozen(kw_only=True)
class Delete(_Change):
    """Take a message back, all of its parts."""

    operation = "delete"


@attrs.frozen(kw_only=True)
class Call(_Envelope):
    """Any other method of the platform: a callback's answer, a reaction, typing, pinning.

    target       the message that it concerns, whose id is filled in as the room is; found when its
                 turn comes, as an edit's. Of one in several parts it is the first. None: none
    repeat_safe  made twice, it changes nothing: it is made again where nobody knows whether it
                 arrived, also if the channel does not say so of the method
    """

    method: str
    arguments: Mapping[str, Json] = attrs.field(factory=dict, converter=copied)
    thread_id: str | None = None
    target: Target | None = None
    repeat_safe: bool = False

    @property
    def operation(self) -> str:
        """`call:` and the method: what limits are asked for."""
        return f"call:{self.method}"


Envelope: TypeAlias = Send | Edit | Delete | Call

CHANGES = (Edit, Delete)
"""Changes of messages. A tuple: `isinstance` with a union takes longer."""

_CANONICAL = msgspec.json.Encoder(order="deterministic")
"""Writes the canonical JSON that digests are made of."""


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
    span      where in the envelope's text it came from, in code points: (start, end)
    digest    of what would be sent; by default that of `payload`
    degraded  what was lost of the asked-for look, in words; empty: nothing
    files     which of the envelope's files go with it, by their places: each goes with one part
    cost      of one with files: how many tokens of each limit it takes, such as one for each item
              of an album
    fixed     no edit changes the message that it becomes: a poll, a sticker, a location
    repeated  the platform changes what stands beside it, buttons say, together with it alone: the
              ref of a message that has such fields has the payload as well
    """

    payload: Mapping[str, Json]
    span: tuple[int, int] = (0, 0)
    digest: str = attrs.Factory(lambda self: digest_of(self.payload), takes_self=True)
    degraded: tuple[str, ...] = ()
    files: tuple[int, ...] = ()
    cost: int = 1
    fixed: bool = False
    repeated: bool = False


@attrs.frozen(kw_only=True)
class PartReceipt:
    """The outcome of one part (of a send or edit) or one step (of a delete or call).

    outcome     `delivered`, `deleted`, `unchanged`, `failed`, `unknown` or `not_sent`
    attempts    how many were made
    verdict     the last error's meaning, if there was one
    more        ids of further messages that came of it: the rest of an album
    files       which of the envelope's files it has, by their places
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
    ref                 what arrived, for edits and deletes; None: nothing did, or no id is known.
                        Of a `Call`: the messages that the platform answered with
    attempts            how many were made over all steps
    verdict             the error that ended it, or the last one on the way; None: there was none
    possible_duplicate  a part of it may stand in the room more than once; of an edit or a deletion
                        also: more of its message may stand there than was changed
    degradations        looks lost on the way (plain instead of formatted, reply dropped, …)
    transforms          what was changed before another attempt at a part
    moved_to            the room's new id, if it moved meanwhile
    accepted_at         POSIX time of acceptance; ended_at likewise of the end
    replayed            this answers an earlier envelope of the same key
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
        """True when all of it arrived."""
        return self.disposition is Disposition.DELIVERED


@attrs.frozen(kw_only=True, eq=False)
class Delivered(Receipt):
    """What `send` and `edit` return of a message that arrived: a receipt whose `ref` is never None.

    ref  the message as it is now; where a newer edit superseded this one, as this one named it.
         Its parts are empty where the platform told no id: then a change of it ends `rejected`

    It equals a `Receipt` that has the same fields.
    """

    ref: MessageRef

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Receipt) and _plain(self) == _plain(other)

    def __hash__(self) -> int:
        return hash(_plain(self))


def _plain(receipt: Receipt) -> Receipt:
    """The same as a plain receipt."""
    if type(receipt) is Receipt:
        return receipt
    return Receipt(**{name: getattr(receipt, name) for name in attrs.fields_dict(Receipt)})


@attrs.frozen
class Undelivered:
    """An envelope that the end of a gateway or an instance left undelivered, and its receipt."""

    envelope: Envelope
    receipt: Receipt


@attrs.frozen(kw_only=True)
class Attempt:
    """One attempt at one step, as the async hooks of an adapter get it.

    operation    `send`, `edit`, `delete`, or `call:<method>`; `answer` and `revise`: a send and an
                 edit by the reply token of an interaction, whose `interaction` then is not None;
                 of a stream that is shown natively also `draft`, `start`, `append` and `stop`
    envelope_id  the envelope that it is for
    room         the room's present address (a moved room has a new one)
    thread       the thread or topic; None: the room itself
    reply        the message to answer: on the first part of a send only
    part         the content, for send and edit; `payload` is what it holds, else empty. Of `start`,
                 `append` and `stop` it holds `text`, a piece of the source. None, of an edit: the
                 message keeps its text, and gets what `extra` has
    extra        the platform's own fields, on the last part; None: nothing is known of them;
                 empty, in an edit: the message loses those that it has
    message_id   the platform message, for edit, delete, append and stop, and of a call's target
    method       of a call, with its arguments; what is shown natively has those of its `Streaming`
    number       1 for the first attempt at this step
    key          stable over retries and restarts: the platform deduplicates by it. Letters,
                 digits and a dot; parts of an envelope differ at the end of theirs only
    mode         how `part` was planned
    interaction  whose token answers; its `answer` is 0 for the very first part alone
    ephemeral    the answer is for the interaction's user alone
    files        of `part`, in its order; in an edit what the message has from then on, in a
                 deletion what it has
    loses_files  an edit: the message loses all files that it has
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

    @property
    def payload(self) -> Mapping[str, Json]:
        """The part's content; empty where there is no part, as in a deletion or a call."""
        return self.part.payload if self.part is not None else {}


repeated: ContextVar[bool] = ContextVar("repeated", default=False)
"""Whether what runs repeats an attempt, or finds out whether an account works: then `http` takes a
new connection, since an old one may be the reason of the failure."""
