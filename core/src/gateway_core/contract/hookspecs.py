"""The contract with adapters and policies: what core asks, and what each answer does.

An *adapter* serves one channel: a module of hookimpls, found through the entry-point group
`gateway_plugin` whose entry name is the channel. A *policy* changes or observes decisions on
every channel: group `gateway_policy`, or an object given to `open_gateway(plugins=…)`.

Sync hooks are asked in the order: given policies, installed policies, the adapter, core's
defaults; the first answer that is not None counts, unless the hook says otherwise. Async hooks
take exactly one impl, the adapter's. A hookimpl lists only the arguments that it uses. Sync hooks
marked *pure* must answer the same for the same arguments, without waiting, clock or network.
"""

# mypy: disable-error-code="empty-body"
# A hookspec has no body: its docstring is the contract.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, TypeAlias, get_args

import attrs
import pluggy
from attrs.validators import optional
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from gateway_core.contract.addresses import Address
from gateway_core.contract.beside.buttons import Rows
from gateway_core.contract.envelopes import (
    Attempt,
    Envelope,
    Json,
    Mode,
    Part,
    Priority,
    Receipt,
)
from gateway_core.contract.errors import Problem
from gateway_core.contract.instances import Instance, Secret
from gateway_core.contract.validators import SHORTEST, flag, number, one_of, whole
from gateway_core.contract.verdicts import BucketReport, Verdict

CONTRACT_VERSION = 1
"""The contract version that this release serves; a plugin names its own as `GATEWAY_CONTRACT`."""

ADAPTER_GROUP = "gateway_plugin"
POLICY_GROUP = "gateway_policy"

hookspec = pluggy.HookspecMarker("gateway")
hookimpl = pluggy.HookimplMarker("gateway")
"""Marks a function as an implementation of the hook of its name."""

Session: TypeAlias = Any
"""What an adapter's `open_session` yields; core only passes it on."""

Level = Literal["nominal", "elevated", "high", "saturated"]


@attrs.frozen
class Delay:
    """A vote in `admit`: hold the envelope until then, a POSIX time."""

    until: float = attrs.field(validator=number(least=0, most=8e9))


Vote = Literal["shed"] | Priority | Delay


@attrs.frozen
class Traits:
    """What a channel can do.

    edit, delete         whether the channel has the operation
    independent_threads  threads of a room are lanes of their own (limits stay the room's)
    deduplicates_for     seconds for which a repeated send of the same key is one message; 0: never.
                         It is 0 for an account whose settings have a false `deduplicates`
    repeat_safe_calls    methods that may be called again when nobody knows whether they arrived
    mentions_by_id       its texts can notify just the people that an envelope names; elsewhere
                         `mentions` is true or false
    polls                it has them: a plan shows the `poll` of its envelope in the last part
    sends_known_files    a part whose files all have a `known` id goes as an ordinary `send`, within
                         the limits of one; False: every part with files is an `upload`
    names_limits         its 429s say whose limit was met; otherwise several rooms that are limited
                         within two seconds count as the account's limit
    """

    edit: bool = attrs.field(default=True, validator=flag)
    delete: bool = attrs.field(default=True, validator=flag)
    independent_threads: bool = attrs.field(default=False, validator=flag)
    deduplicates_for: float = attrs.field(default=0.0, validator=number(least=0))
    repeat_safe_calls: frozenset[str] = frozenset()
    mentions_by_id: bool = attrs.field(default=False, validator=flag)
    polls: bool = attrs.field(default=False, validator=flag)
    sends_known_files: bool = attrs.field(default=False, validator=flag)
    names_limits: bool = attrs.field(default=False, validator=flag)


@attrs.frozen
class Limit:
    """At most `count` attempts per `per` seconds from the bucket named `bucket`.

    pace  `even`: one every `per / count` seconds, counted from the starts of attempts, and with
          a count of one strictly from the platform's answers; `window`: any `count` in any
          `per` seconds, where an attempt counts from its start until `per` after its answer;
          `learned`: a window that the platform reports in its answers; the first attempt goes
          alone, since its answer says what the limit is
    start  with `even`: attempts per `per` to begin with, where `count` is more than is documented.
           The pace quickens with each answer that is no refusal, up to `count`
    most  with `even`: attempts in any `per`, counted as in a window: keeps a pace near the
          platform's limit within it, although answers take unequally long, and what a stall held
          back, which arrives at once. Every pace of more than one should have it
    of    whose limit it is: `instance`, the whole account's, or `room`, one conversation's. A
          refusal of a room slows down the room's own limits, and no other's. `gateway`: of all
          accounts together whose limits name this bucket (a tenant's); nothing slows it down.
          `interaction`, of `answer` and `revise`: each interaction has a bucket of its own, since
          the platform counts by its token
    """

    bucket: str
    count: int = attrs.field(default=1, validator=whole(least=1))
    per: float = attrs.field(default=1.0, validator=number(least=SHORTEST))
    pace: Literal["even", "window", "learned"] = attrs.field(
        default="even", validator=one_of("even", "window", "learned")
    )
    start: int | None = attrs.field(default=None, validator=optional(whole(least=1)))
    most: int | None = attrs.field(default=None, validator=optional(whole(least=1)))
    of: Literal["room", "instance", "gateway", "interaction"] = attrs.field(
        default="instance",
        validator=one_of("room", "instance", "gateway", "interaction"),
        kw_only=True,
    )


MarkKind = Literal["react", "unreact", "pin", "unpin"]


@attrs.frozen(kw_only=True)
class Mark:
    """What is put on a message, or taken off it: the account's reaction, or a pin.

    what    `react`, `unreact`, `pin` or `unpin`
    emoji   of a reaction: the character, or what the platform calls one of its own; else empty
    silent  of a pin: notify nobody, where the platform can
    """

    what: MarkKind = attrs.field(validator=one_of(*get_args(MarkKind)))
    emoji: str = ""
    silent: bool = False


@attrs.frozen(kw_only=True)
class Sign:
    """A call that leaves no message: of typing, that an interaction was noticed, or of a mark.

    method, arguments  as of a `Call` to the room and thread of the address, or of the message
    every              seconds after which it is made again, a little less than it is shown for;
                       None: once is enough
    clear              the arguments of the call that takes it away; None: it goes by itself
    """

    method: str
    arguments: Mapping[str, Json] = attrs.field(factory=dict)
    every: float | None = attrs.field(default=None, validator=optional(number(least=0.1)))
    clear: Mapping[str, Json] | None = None


@attrs.frozen(kw_only=True)
class Answer:
    """The platform said yes.

    message_id  the platform's id of the message, in the attempt's room; None where there is none
                or it could not be read. One that no edit could name (over 1,024 characters, control
                characters, NUL, a lone surrogate) counts as unknown. A `Call` that is answered with
                one has a ref in its receipt
    buckets     what the platform reported of its buckets
    result      the platform's answer to a `Call`, as plain JSON: at most 32 levels, 100,000 values
                and 4,194,304 characters; it is copied
    more        ids of further messages that the same request made: the rest of an album
    files       the platform's ids of the attempt's files, in their order. Empty: there are none, or
                they are not known
    reusable    the next message of the same bytes may name these ids (`Upload.known`); False: they
                are this message's alone
    """

    message_id: str | None = None
    buckets: tuple[BucketReport, ...] = ()
    result: Json = None
    more: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    reusable: bool = True


@attrs.frozen(kw_only=True)
class Streaming:
    """How a conversation shows a message natively while it grows, in place of edits.

    how        `draft`: a preview, which leaves nothing; each part is sent once it is whole.
               `append`: a message that is started, only grows, and is stopped; then it is an
               ordinary one
    repeat     of a draft, seconds after which it is shown again although there is nothing new
    lasts      of an append, seconds after which it is stopped, and edited from then on
    most       of an append, characters that it may have; a longer text goes on by edits
    extra      the platform's own fields that `stop` takes; with others an edit follows it
    arguments  what `start`, `append`, `stop` or `draft` find in `attempt.arguments`, as plain JSON
    """

    how: Literal["draft", "append"] = attrs.field(validator=one_of("draft", "append"))
    repeat: float = attrs.field(default=20.0, validator=number(above=0))
    lasts: float = attrs.field(default=240.0, validator=number(above=0))
    most: int = attrs.field(default=12_000, validator=whole(least=1))
    extra: frozenset[str] = frozenset()
    arguments: Mapping[str, Json] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Identity:
    """Who an instance is on its platform, as `probe` found out."""

    id: str
    name: str


@attrs.frozen(kw_only=True)
class Pressure:
    """How full a partition is when an envelope asks to be admitted, itself not counted.

    `depth` counts every class. Each has the whole of `bound`, so it may be more than that.
    """

    partition: int
    level: Level
    depth: int
    bound: int

    @property
    def occupancy(self) -> float:
        """Unfinished envelopes as a share of the bound; above 1 where several classes fill it."""
        return self.depth / self.bound


@attrs.frozen(kw_only=True)
class AttemptReport:
    """What became of an attempt, for observers: an answer, or a verdict; `seconds` it took."""

    answer: Answer | None = None
    verdict: Verdict | None = None
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class Providers:
    """Who takes spans and metrics; None: whatever OpenTelemetry has been set up with, if at all.

    several  the histograms of `meters` take many values in one record (`telemetry.Several`), which
             costs a message a fifth of what one record for each value does
    """

    tracers: TracerProvider | None = None
    meters: MeterProvider | None = None
    several: bool = False


@hookspec(firstresult=True)
def settings_type() -> type | None:
    """The frozen attrs class of an instance's settings on this channel.

    `gateway.toml` is structured into it; fields of type `Secret` never print. Asked once, when
    plugins are bound. Required of an adapter.
    """


@hookspec(firstresult=True)
def traits() -> Traits | None:
    """What the channel can do; asked once, when plugins are bound.

    None leaves core's default: it can do what it has hooks for, one lane a room, no deduplication.
    """


@hookspec(firstresult=True)
def open_session(instance: Instance) -> AbstractAsyncContextManager[Session] | None:
    """What attempts need per instance, as an async context manager. Does not wait itself.

    It is entered at first use by a task of its own, shared by the instance's attempts, and closed
    when idle or at the end. None: the adapter needs no session and gets None as `session`.
    """


@hookspec(firstresult=True)
async def credentials(instance: Instance, session: Session) -> Secret | None:
    """A fresh secret, where the platform's tokens expire.

    Asked once after a verdict of reason `unauthorized` at instance scope, before the instance is
    suspended. A `Secret`: the adapter uses it from now on, and the attempt is made again.
    None: there is none, and the instance is suspended.
    """


@hookspec(firstresult=True)
async def probe(instance: Instance, session: Session) -> Identity | None:
    """Who am I, does it work? Raises what an attempt would raise.

    An `Identity` or None closes a half-open circuit and ends a suspension; an exception is
    classified like an attempt's (with an attempt of operation `probe`) and keeps it open.
    """


@hookspec
def rewrite(envelope: Envelope) -> Envelope | None:
    """What is sent in place of a `Send`, an `Edit` or a `Call`; None: the envelope as it is. Pure.

    Asked once, at the door: before `validate`, `chunk` and `admit`, which see the answer, as limits
    and an outbox do. Every impl is asked in turn, each with what the one before it made. Of a
    stream each state is asked about that is shown; of a group each member. Its answer must be the
    same if it is asked about that again.

    It may change the room (`thread_id`, `reply_to` and `interaction` of the former one go with it,
    if they are left as they were) and the content: `text`, `extra`, `format`, `files`, `buttons`,
    `poll`, a
    call's `arguments`. Nothing else, as `attrs.evolve` leaves it. An edit stays in the room of its
    message. The idempotency key stands for what the caller handed in, in the room that it named.

    One that raises, or changes anything else, refuses the envelope with a `HookContractError`.
    """


@hookspec
def validate(instance: Instance, envelope: Envelope) -> Sequence[Problem] | None:
    """What is wrong with the envelope, before acceptance: room ids, fields, sizes. Pure.

    Every impl is asked and the problems are joined. None, or none of them: nothing is wrong.
    Any problem refuses the envelope with `Invalid`.
    """


@hookspec(firstresult=True)
def address(event: Any) -> Address | None:
    """Room, thread, reply and natural key of an incoming event of the platform. Pure.

    `event` is the platform's JSON as plain Python values. None: not an event of a conversation.
    """


@hookspec(firstresult=True)
def acknowledge(instance: Instance, address: Address, ephemeral: bool) -> Sign | None:
    """What tells the platform that the interaction of `address` was noticed. Pure.

    Made at once as `reply` or `typing` is called, and before the answer. `ephemeral`: the answer is
    for the interaction's user alone. None: nothing needs to be told, or the application does it.
    """


@hookspec(firstresult=True)
def typing(instance: Instance, address: Address) -> Sign | None:
    """What shows at `address` that an answer is being written. Pure.

    Limits are asked for with the operation `typing`. It is made only while their tokens are free
    and nobody waits for them. None: the channel, or this room of it, shows no such sign.
    """


@hookspec(firstresult=True)
def mark(instance: Instance, mark: Mark) -> Sign | Problem | None:
    """How a reaction or a pin is called. Pure; not required.

    A `Sign`: its method is called with its arguments and the message's id, which `call` fills in
    from `attempt.message_id`. Made twice it must change nothing, and be no error: a reaction that
    is there already, or is not there, is `done`.
    A `Problem`: the mark is refused as `Invalid`, such as for an emoji that the platform lacks.
    None: the channel has no such marks, and they are refused.
    """


@hookspec(firstresult=True)
def buttons(
    instance: Instance, rows: Rows, extra: Mapping[str, Json]
) -> Mapping[str, Json] | Sequence[Problem] | None:
    """The platform's own fields of a message that has these rows of buttons. Pure; not required.

    `extra` are the fields that it has beside them, perhaps with buttons of before: `rows` take the
    place of those, and no rows take them off. What it answers is the message's `extra` from then
    on. A sequence of `Problem` refuses the buttons as `Invalid`: one at `buttons.0.1.text` is of
    the first row's second button. None: the channel has no buttons, and they are refused.

    Asked before acceptance, and of an edit once more as it starts. Of an edit of buttons alone
    `attempt.part` is None.
    """


@hookspec(firstresult=True)
def chunk(instance: Instance, envelope: Envelope, mode: Mode) -> Sequence[Part] | None:
    """The plan of a `Send` or an `Edit`: its ordered parts, each fitting one message. Pure.

    `mode` is `as_asked`, `stricter` (a smaller measure: the platform called a part too long) or
    `plain` (the platform refused its formatting). Asked before acceptance with `as_asked`, and
    after a verdict with a transform for the refused part alone, with its span as the text.
    An empty plan is refused as `Invalid`.
    """


@hookspec
def rate_limit(
    instance: Instance, room: str, thread: str | None, operation: str, priority: Priority
) -> Sequence[Limit] | None:
    """Every limit that such an attempt draws on. Pure; asked once per lane and operation.

    `thread` is None where threads are no lanes of their own. `operation` is `send`, `edit`,
    `delete`, `call:<method>`, `answer` and `revise` (a send and an edit by an interaction's token),
    `typing` (its sign), or `acknowledge`; of streams that are shown natively also `draft`, `start`,
    `append` and `stop`. `priority` is the envelope's class, as policies left it; an impl
    that lists it is asked once per class as well, and may answer differently: a bucket that
    is named for bulk alone paces bulk alone.
    An attempt takes a token of each bucket named, all at once.
    Buckets of one name are one bucket within the instance, or within all of the gateway's that
    name it, as the limit's `of` says. The answers of all impls are joined, so that a policy's
    limits hold beside the adapter's; of several limits of one bucket the first impl's holds, so
    that a policy replaces a limit by naming its bucket. An empty sequence or None: no limit.
    """


@hookspec(firstresult=True)
async def send(instance: Instance, session: Session, attempt: Attempt) -> Answer:
    """Make a message of `attempt.part` in `attempt.room`, and say its id. Required.

    Any exception is given to `classify_error`. `TransportError` says whether the platform may
    have got it. Cancellation must pass through.
    """


@hookspec(firstresult=True)
async def edit(instance: Instance, session: Session, attempt: Attempt) -> Answer:
    """Give the message `attempt.message_id` the content of `attempt.part`; None: leave it as it is.

    `attempt.extra` has the platform's own fields for it; an empty mapping: remove those that it
    has, even if the platform keeps what a request does not name; None: nothing is known of any.
    Must be safe to repeat. An adapter without it says so in its traits.
    """


@hookspec(firstresult=True)
async def delete(instance: Instance, session: Session, attempt: Attempt) -> Answer:
    """Delete the message `attempt.message_id`. Must be safe to repeat."""


@hookspec(firstresult=True)
def streaming(instance: Instance, envelope: Envelope) -> Streaming | None:
    """How the stream of `envelope`, a `Send` that grows, is shown natively. Pure; not required.

    Asked once, as it has something to show, if the adapter has the hook `stream`. None: its message
    is sent and edited, as on every channel. `envelope.grows` has what the event's address says of
    the person who is answered. With `append` it is asked only while a token of each limit of
    `start` is free, and of `stop` one more than the open streams owe: others go by edits.
    """


@hookspec(firstresult=True)
async def stream(instance: Instance, session: Session, attempt: Attempt) -> Answer:
    """Show a state of a stream natively, by `attempt.operation`. Not required.

    draft   show `attempt.part`, as `chunk` made it; the part's message is sent later. One that is
            refused for its room's limit closes drafts and edits of the room, and no messages
    start   make a message of `attempt.payload["text"]`, a piece of the Markdown source, and say its
            id; `attempt.thread` and `attempt.reply` as in `send`
    append  add `attempt.payload["text"]` to the message `attempt.message_id`
    stop    add the text, which may be empty, and `attempt.extra`: it grows no more

    A draft or a start that is refused is followed by `send`: nothing is lost. After an append or a
    stop that was refused, or whose outcome is unknown, the stream is stopped and its message
    edited. A verdict's reason `stopped` says that the reader has stopped it, `stream_ended` that
    the platform has.
    """


@hookspec(firstresult=True)
async def call(instance: Instance, session: Session, attempt: Attempt) -> Answer:
    """Call the platform's method `attempt.method` with `attempt.arguments`.

    Room and thread are filled in where the method takes them, and so is the message
    `attempt.message_id` of a call that concerns one.
    """


@hookspec(firstresult=True)
def classify_error(instance: Instance, attempt: Attempt, error: Exception) -> Verdict | None:
    """Say what `error` means for the attempt that raised it. Pure.

    retryable      the step is tried again, after `retry_after` or the core's backoff; with reason
                   `rate_limited`, what the scope names is closed meanwhile and no attempt counts;
                   a step that is refused again and again waits longer than asked
    non_retryable  the envelope ends `rejected`; at room scope the room's backlog ends as well; with
                   `files_refused` the text may go alone, as its sender wants it
    fatal          at instance scope the instance is suspended and the envelope waits or ends as
                   configured; else the envelope ends `fatal`
    done           nothing was wrong: the step counts as acknowledged

    None: the next impl is asked; core's default keeps the error's own words, treats a
    `TransportError` as retryable and anything else as non-retryable.
    """


@hookspec(firstresult=True)
def open_outbox(url: str, keys: Sequence[Secret]) -> Any:
    """The outbox that `url` (the setting `outbox`) names, not yet entered. For policies.

    keys  what it seals the texts with that it stores; none: nothing. An outbox that seals with them
          has a true attribute `sealed`: another one is refused where there are keys.

    None: the URL is of another plugin's scheme. Raises `ConfigError` where it is of this one and
    wrong. Asked when a configuration is read, for its mistakes, and when a gateway opens without
    an outbox given in code: it must do nothing before it is entered.
    """


@hookspec(firstresult=True)
def open_telemetry(settings: Mapping[str, Any]) -> AbstractAsyncContextManager[Providers] | None:
    """Where spans and metrics go by `settings` (the table `telemetry.export`). For policies.

    An async context manager, entered before the gateway works and left after it, that gives the
    providers. None: the table is another plugin's. Raises `ConfigError` with what is wrong in it.
    Asked when a configuration is read, for its mistakes, and when a gateway opens whose
    configuration has the table.
    """


@hookspec
def admit(envelope: Envelope, pressure: Pressure) -> Vote | None:
    """A vote on an envelope that asks to be admitted: shed it, change its class, delay it, or None.

    Asked before the envelope waits for a slot, which it may not get. Where an outbox has the
    accounts of several processes, the owner of the account is asked, as it takes the envelope on.
    Every policy is asked. Any `"shed"` ends it in the disposition `shed`; else the first class
    named is the class it gets. An exception in a vote counts as None, logged.

    `Delay(until)` holds it until that time, the latest of several, at most 30 days from when it was
    due. Of one with a `not_before` this is asked when that has come, and of a delayed one again at
    `until`; then only a `Delay` counts. With `order="room"` what comes later in its room waits for
    it. The ttl of its class counts from `until`; an own one, or a deadline, is what it was. Closing
    does not wait for it: a durable outbox has it, else it ends.
    """


@hookspec
def after_attempt(instance: Instance, attempt: Attempt, report: AttemptReport) -> None:
    """An attempt ended. An observer: what it raises is logged and counted."""


@hookspec
def after_disposition(envelope: Envelope, receipt: Receipt) -> None:
    """An accepted envelope ended; called once for each. An observer."""


@hookspec
def after_refusal(envelope: Envelope, error: Exception) -> None:
    """An envelope was not accepted: its caller gets `error`. An observer.

    Mostly a `Refused`: `Invalid`, `Overloaded`, `IdempotencyConflict`, `InstanceSuspended`,
    `DeadlinePassed`, `GatewayClosed`; an `OutboxError` where it could not be stored, a
    `HookContractError` where a hook failed. Of an instance that is not there the observers of
    every channel hear, each once.
    """


@hookspec
def pressure_changed(pressure: Pressure, previous: Level) -> None:
    """A partition's pressure level changed; called before refusals begin. An observer."""


@hookspec
def instance_suspended(instance: Instance, verdict: Verdict) -> None:
    """An instance was suspended; its envelopes wait or end, as configured. An observer."""


@hookspec
def room_moved(instance: Instance, room: str, moved_to: str) -> None:
    """A room has a new id: later sends to the old one go there. An observer."""
