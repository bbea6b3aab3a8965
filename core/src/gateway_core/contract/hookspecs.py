"""Defines the contract with adapters and policies: what core asks, and what each answer does.

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
from gateway_core.contract.validators import (
    SHORTEST,
    flag,
    number,
    one_of,
    posix_time,
    texts,
    whole,
)
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
    """A vote in `admit`: hold the envelope until this POSIX time."""

    until: float = attrs.field(validator=posix_time())


Vote = Literal["shed"] | Priority | Delay


@attrs.frozen
class Traits:
    """What a channel can do.

    edit, delete         whether the channel has the operation
    independent_threads  each thread of a room is a lane of its own (limits still apply to the room)
    deduplicates_for     seconds for which repeated sends with the same key make one message; 0:
                         never. It is 0 for an account whose settings have `deduplicates` false
    repeat_safe_calls    methods that may be called again when nobody knows whether they arrived
    mentions_by_id       a text can notify only the people whom the envelope names; otherwise
                         `mentions` is true or false
    polls                whether the channel has polls; if so, `chunk` puts the envelope's `poll`
                         into the last part
    sends_known_files    a part whose files all have a `known` id is an ordinary `send` with the
                         limits of a send; False: every part with files is an `upload`
    names_limits         a 429 says whose limit was hit; otherwise, if several rooms are refused
                         within two seconds, the gateway tests whether the account is limited
    longest_part         most visible characters of a part, whatever the settings; a text whose
                         letters alone need more than `max_parts` such parts is refused before it is
                         planned. None: not known, each text is planned
    """

    edit: bool = attrs.field(default=True, validator=flag)
    delete: bool = attrs.field(default=True, validator=flag)
    independent_threads: bool = attrs.field(default=False, validator=flag)
    deduplicates_for: float = attrs.field(default=0.0, validator=number(least=0))
    repeat_safe_calls: frozenset[str] = attrs.field(default=frozenset(), validator=texts)
    mentions_by_id: bool = attrs.field(default=False, validator=flag)
    polls: bool = attrs.field(default=False, validator=flag)
    sends_known_files: bool = attrs.field(default=False, validator=flag)
    names_limits: bool = attrs.field(default=False, validator=flag)
    longest_part: int | None = attrs.field(default=None, validator=optional(whole(least=1)))


@attrs.frozen
class Limit:
    """At most `count` attempts per `per` seconds from the bucket named `bucket`.

    pace  `even`: one every `per / count` seconds, counted from the starts of attempts (with a count
          of one, strictly from the platform's answers); `window`: up to `count` in any `per`
          seconds, where an attempt counts from its start until `per` seconds after its answer;
          `learned`: a window that the platform reports in its answers. The first attempt goes
          alone, since its answer says what the limit is
    start  with `even`: attempts per `per` to begin with, if `count` is above the documented limit.
           Each answer that is no refusal raises the rate, up to `count`. Not below `count`: it has
           no effect
    most  with `even`: most attempts in any `per`, counted as in a window. It keeps a rate near the
          platform's limit below that limit, although answers take unequally long, and although
          requests arrive together after a stall. Every limit with a count above one should have
          it. If it is below `count`, it holds as well
    of    what the limit belongs to. `instance`: the whole account. `room`: one conversation; a
          refusal of a room slows down only the room's own limits. `gateway`: all accounts together
          whose limits name this bucket (a tenant's); nothing slows it down. `interaction`, for
          `answer` and `revise`: each interaction has its own bucket, since the platform counts by
          its token
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
    """A reaction or pin of the account, to be set on a message or removed from it.

    what    `react`, `unreact`, `pin` or `unpin`
    emoji   for a reaction: the character, or the platform's name for an emoji of its own; else
            empty
    silent  for a pin: notify nobody, if the platform can
    """

    what: MarkKind = attrs.field(validator=one_of(*get_args(MarkKind)))
    emoji: str = ""
    silent: bool = False


@attrs.frozen(kw_only=True)
class Sign:
    """A call that leaves no message: typing, the acknowledgement of an interaction, or a mark.

    method, arguments  as in a `Call` to the room and thread of the address or message
    every              seconds after which the call is repeated, a little less than the platform
                       shows the sign; None: once is enough
    clear              the arguments of the call that removes the sign; None: the sign disappears by
                       itself
    """

    method: str
    arguments: Mapping[str, Json] = attrs.field(factory=dict)
    every: float | None = attrs.field(default=None, validator=optional(number(least=0.1)))
    clear: Mapping[str, Json] | None = None


@attrs.frozen(kw_only=True)
class Answer:
    """The platform's answer to a successful attempt.

    message_id  the platform's id of the message, in the attempt's room; None if there is none or it
                could not be read. An id that no edit could name (over 1,024 characters, control
                characters, NUL, a lone surrogate) counts as unknown. If a `Call` is answered with
                an id, its receipt has a ref
    buckets     what the platform said about its buckets
    result      the platform's answer to a `Call`, as plain JSON: at most 32 levels, 100,000 values
                and 4,194,304 characters; it is copied. Any other result is logged and left out
    more        ids of further messages that the same request made: the rest of an album, where each
                file is a message; `message_id` is the first file's
    files       the platform's ids of the attempt's files, one for each, in their order. Empty, or
                any other number of ids: there are none, or they are not known
    reusable    later messages with the same bytes may use these ids (`Upload.known`); False: only
                this message may
    extra       the platform's own fields that the message has, if the adapter left out some of the
                attempt's: later edits do not send these again. None: it has all of them
    """

    message_id: str | None = None
    buckets: tuple[BucketReport, ...] = ()
    result: Json = None
    more: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    reusable: bool = True
    extra: Mapping[str, Json] | None = None


@attrs.frozen(kw_only=True)
class Streaming:
    """How a conversation shows a growing message natively instead of by edits.

    how        `draft`: a preview that leaves no message; each part is sent once it is complete.
               `append`: a message that is started, can only grow, and is stopped; then it is an
               ordinary message
    repeat     for drafts: seconds after which an unchanged draft is shown again
    lasts      for appends: seconds after which the message is stopped; edits continue it
    most       for appends: most characters of the message; a longer text continues by edits
    extra      the platform's own fields that `stop` accepts; if the message has others, an edit
               follows
    arguments  the `attempt.arguments` of `start`, `append`, `stop` or `draft`, as plain JSON
    """

    how: Literal["draft", "append"] = attrs.field(validator=one_of("draft", "append"))
    repeat: float = attrs.field(default=20.0, validator=number(above=0))
    lasts: float = attrs.field(default=240.0, validator=number(above=0))
    most: int = attrs.field(default=12_000, validator=whole(least=1))
    extra: frozenset[str] = attrs.field(default=frozenset(), validator=texts)
    arguments: Mapping[str, Json] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Identity:
    """Who an instance is on its platform, as `probe` found it."""

    id: str
    name: str


@attrs.frozen(kw_only=True)
class Pressure:
    """How full a partition is when `admit` votes on an envelope, not counting that envelope.

    `depth` counts every class. Since each class has the whole of `bound`, `depth` may exceed it.
    """

    partition: int
    level: Level
    depth: int
    bound: int

    @property
    def occupancy(self) -> float:
        """Unfinished envelopes as a share of the bound; above 1 if several classes fill it."""
        return self.depth / self.bound


@attrs.frozen(kw_only=True)
class AttemptReport:
    """The outcome of an attempt, for observers: an answer or a verdict, and how long it took."""

    answer: Answer | None = None
    verdict: Verdict | None = None
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class Providers:
    """The receivers of spans and metrics; None: the process's own OpenTelemetry setup, if any.

    several  the histograms of `meters` accept many values in one record (`telemetry.Several`),
             which costs a fifth of a separate record for each value
    """

    tracers: TracerProvider | None = None
    meters: MeterProvider | None = None
    several: bool = False


@hookspec(firstresult=True)
def settings_type() -> type | None:
    """The frozen attrs class of an instance's settings on this channel.

    `gateway.toml` is converted to it; fields of type `Secret` are never printed. Called once, when
    plugins are bound. An adapter must have it.
    """


@hookspec(firstresult=True)
def traits() -> Traits | None:
    """What the channel can do; called once, when plugins are bound.

    None means core's default: the channel can do what it has hooks for, with one lane per room and
    no deduplication.
    """


@hookspec(firstresult=True)
def open_session(instance: Instance) -> AbstractAsyncContextManager[Session] | None:
    """What an instance's attempts share, as an async context manager. The hook itself never waits.

    A separate task enters the context at the first attempt, and leaves it when the instance is idle
    or the gateway ends. At the gateway's end the task is cancelled, so close in `finally` what must
    be closed. None: the adapter needs no session and gets None as `session`.
    """


@hookspec(firstresult=True)
async def credentials(instance: Instance, session: Session) -> Secret | None:
    """A fresh secret, for platforms whose tokens expire.

    Called once after a verdict with reason `unauthorized` at instance scope, before the instance is
    suspended. A `Secret`: the adapter uses it from now on, and the attempt is made again. None:
    there is no new secret, and the instance is suspended.
    """


@hookspec(firstresult=True)
async def probe(instance: Instance, session: Session) -> Identity | None:
    """Ask the platform who the instance is, and whether it works. Raises what an attempt raises.

    An `Identity` or None closes a half-open circuit and ends a suspension. An exception is
    classified like an attempt's (with an attempt of operation `probe`), and the circuit stays open.
    """


@hookspec
def rewrite(envelope: Envelope) -> Envelope | None:
    """Replace a `Send`, an `Edit` or a `Call` with another; None: leave it as it is. Pure.

    Called once, before `validate`, `chunk` and `admit`. These hooks, limits and the outbox all see
    the new envelope. Each impl gets the previous impl's answer. For a stream the hook is called for
    each state that is shown; for a group, for each member. It must give the same answer if it is
    called with the same envelope again.

    An impl may change the room and the content (`text`, `extra`, `format`, `files`, `buttons`,
    `poll`, a call's `arguments`), but nothing else; use `attrs.evolve`. If it changes the room,
    `thread_id`, `reply_to` and `interaction` are dropped unless it changes them too. An edit stays
    in the room of its message. The idempotency key belongs to the envelope that the caller handed
    in, in its original room.

    If an impl raises or changes anything else, the envelope is refused with a `HookContractError`.
    """


@hookspec
def validate(instance: Instance, envelope: Envelope) -> Sequence[Problem] | None:
    """What is wrong with the envelope, before acceptance: room ids, fields, sizes. Pure.

    Every impl is called and the problems are joined. None, or an empty sequence: nothing is wrong.
    Any problem refuses the envelope with `Invalid`.
    """


@hookspec(firstresult=True)
def address(instance: Instance, event: Any) -> Address | None:
    """Room, thread, reply and natural key of an incoming event of the platform. Pure.

    `event` is the platform's JSON as plain Python values. None: the event belongs to no
    conversation, or the instance can answer no event.
    """


@hookspec(firstresult=True)
def acknowledge(instance: Instance, address: Address, ephemeral: bool) -> Sign | None:
    """The call that acknowledges the interaction of `address`. Pure.

    The call is made as soon as `reply` or `typing` is called, and before the answer. `ephemeral`:
    only the interaction's user will see the answer. None: no acknowledgement is needed, or the
    application acknowledges the interaction itself.
    """


@hookspec(firstresult=True)
def typing(instance: Instance, address: Address) -> Sign | None:
    """The call that shows a typing indicator at `address`. Pure.

    The call uses the limits of the operation `typing`. It is made only while these limits have free
    tokens and no message waits for the tokens. None: the channel or this room has no typing
    indicator.
    """


@hookspec(firstresult=True)
def mark(instance: Instance, mark: Mark) -> Sign | Problem | None:
    """The call that sets or removes a reaction or a pin. Pure; not required.

    A `Sign`: its method is called with its arguments and the message's id, which `call` fills in
    from `attempt.message_id`. A second call must change nothing and must not fail: if the reaction
    is already there, or already gone, the verdict is `done`. A `Problem`: the mark is refused as
    `Invalid`, for example because the platform lacks the emoji. None: the channel has no such
    marks, and they are refused.
    """


@hookspec(firstresult=True)
def buttons(
    instance: Instance, rows: Rows, extra: Mapping[str, Json]
) -> Mapping[str, Json] | Sequence[Problem] | None:
    """The platform's own fields for a message with these rows of buttons. Pure; not required.

    `extra` are the message's other fields, perhaps with its earlier buttons: `rows` replace those,
    and an empty `rows` removes them. The answer becomes the message's `extra`. A sequence of
    `Problem` refuses the buttons as `Invalid`; the place `buttons.0.1.text` means the second button
    of the first row. None: the channel has no buttons, and they are refused.

    Called before acceptance, and for an edit again when it starts. If an edit changes only buttons,
    `attempt.part` is None.
    """


@hookspec(firstresult=True)
def chunk(instance: Instance, envelope: Envelope, mode: Mode) -> Sequence[Part] | None:
    """The plan of a `Send` or an `Edit`: its ordered parts, each fitting one message. Pure.

    `mode` is `as_asked`, `stricter` (a smaller limit, since the platform called a part too long) or
    `plain` (the platform refused its formatting). Called before acceptance with `as_asked`. Called
    again after a verdict with a transform, for the refused part alone: the envelope's text is then
    the part's span. A text of more than 10,000 characters is planned in a worker thread, so that it
    does not hold up the event loop. An empty plan is refused as `Invalid`.
    """


@hookspec
def rate_limit(
    instance: Instance, room: str, thread: str | None, operation: str, priority: Priority
) -> Sequence[Limit] | None:
    """Every limit that an attempt at `operation` uses. Pure; called once per lane and operation.

    `thread` is None if threads are no lanes of their own. `operation` is `send`, `upload` (a send
    with files), `edit`, `delete`, `call:<method>`, `answer` and `revise` (a send and an edit by an
    interaction's token), `typing` (its sign), or `acknowledge`; for streams that are shown natively
    also `draft`, `start`, `append` and `stop`. `priority` is the envelope's class, after policies
    have voted. An impl that lists `priority` is called once per class, and may answer differently:
    a bucket named only for bulk limits only bulk. An attempt takes a token of each bucket named,
    all at once. Limits with the same bucket name share one bucket, within the instance or within
    the whole gateway, as the limit's `of` says. A bucket keeps the numbers of the first limit that
    names it, so give it the same numbers for every operation and class. The answers of all impls
    are joined, so a policy can add limits to the adapter's. If several impls name one bucket, the
    first impl's limit holds, so a policy can replace a limit by naming its bucket. An empty
    sequence or None: no limit.
    """


@hookspec(firstresult=True)
async def send(instance: Instance, session: Session, attempt: Attempt) -> Answer:
    """Send `attempt.part` to `attempt.room` and return the message's id. Required.

    Any exception is given to `classify_error`. A `TransportError` says whether the platform may
    have received the request. Cancellation must pass through.
    """


@hookspec(firstresult=True)
async def edit(instance: Instance, session: Session, attempt: Attempt) -> Answer:
    """Give the message `attempt.message_id` the content of `attempt.part`; None: leave it as it is.

    `attempt.extra` has the platform's own fields for it. An empty mapping: remove the message's
    fields, even if the platform keeps fields that a request does not name. None: nothing is known
    about its fields. Must be safe to repeat. An adapter without this hook says so in its traits.

    The answer's `message_id` replaces the message's id in its ref, and later edits and the deletion
    go to that id. Return `attempt.message_id`, or leave it empty to keep the id. Never return the
    id that the platform gives to the edit itself.
    """


@hookspec(firstresult=True)
async def delete(instance: Instance, session: Session, attempt: Attempt) -> Answer:
    """Delete the message `attempt.message_id`. Must be safe to repeat."""


@hookspec(firstresult=True)
def streaming(instance: Instance, envelope: Envelope) -> Streaming | None:
    """How to show a stream natively; `envelope` is its growing `Send`. Pure; not required.

    Called once, when there is something to show, if the adapter has the hook `stream`. None: the
    message is sent and edited, as on every channel. `envelope.grows` has what the event's address
    says about the person who is answered. A stream uses `append` only if each limit of `start` has
    a free token, and each limit of `stop` has one more than the open streams will need; other
    streams use edits.
    """


@hookspec(firstresult=True)
async def stream(instance: Instance, session: Session, attempt: Attempt) -> Answer:
    """Show a state of a stream natively, by `attempt.operation`. Not required.

    draft   show `attempt.part`, as `chunk` made it; the part's message is sent later. If its room's
            limit refuses a draft, drafts and edits of the room are closed, but messages are not
    start   send `attempt.payload["text"]`, a piece of the Markdown source, as a message, and return
            its id; `attempt.thread` and `attempt.reply` are as in `send`
    append  add `attempt.payload["text"]` to the message `attempt.message_id`
    stop    add the text, which may be empty, and `attempt.extra`; then the message no longer grows

    If a draft or a start is refused, `send` follows, so nothing is lost. If an append or a stop is
    refused or its outcome is unknown, the stream is stopped and its message edited. The verdict's
    reason `stopped` means that the reader has stopped the stream, `stream_ended` that the platform
    has.
    """


@hookspec(firstresult=True)
async def call(instance: Instance, session: Session, attempt: Attempt) -> Answer:
    """Call the platform's method `attempt.method` with `attempt.arguments`.

    The adapter fills in room and thread if the method takes them, and the message's id
    `attempt.message_id` if the call concerns a message.
    """


@hookspec(firstresult=True)
def classify_error(instance: Instance, attempt: Attempt, error: Exception) -> Verdict | None:
    """Say what `error` means for the attempt that raised it. Pure.

    retryable      the step is tried again after `retry_after` or core's backoff. With reason
                   `rate_limited`, the scope is closed meanwhile and no attempt is counted; a step
                   that is refused repeatedly waits longer than the platform asked
    non_retryable  the envelope ends `rejected`; at room scope the room's backlog ends as well; with
                   `files_refused` the text is sent alone if its sender wants that. With reason
                   `outcome_unknown` and `dispatched="unknown"` the step's outcome stays unknown:
                   the platform may still act, and a repeat would make a copy. With reason
                   `message_gone` a deletion of several messages goes on with the others
    fatal          at instance scope the instance is suspended and the envelope waits or ends as
                   configured; else the envelope ends `fatal`
    done           nothing was wrong: the step counts as acknowledged

    None: the next impl is called. Core's default keeps the error's own words; it treats a
    `TransportError` as retryable and anything else as non-retryable.
    """


@hookspec(firstresult=True)
def open_outbox(url: str, keys: Sequence[Secret]) -> Any:
    """The outbox that `url` (the setting `outbox`) names, not yet entered. For policies.

    keys  the keys with which the outbox seals the texts that it stores; none: it does not seal. An
          outbox that seals has a true attribute `sealed`; if there are keys, an outbox without this
          attribute is refused.

    None: the URL's scheme belongs to another plugin. Raises `ConfigError` if the scheme is this
    plugin's but the URL is wrong. Called when a configuration is read, to find mistakes, and when a
    gateway opens without an outbox given in code. So the outbox must do nothing before it is
    entered.
    """


@hookspec(firstresult=True)
def open_telemetry(settings: Mapping[str, Any]) -> AbstractAsyncContextManager[Providers] | None:
    """The exporter of spans and metrics for `settings` (`telemetry.export`). For policies.

    Returns an async context manager, which is entered before the gateway starts and left after it
    ends, and yields the providers. None: the table belongs to another plugin. Raises `ConfigError`
    with the table's mistakes. Called when a configuration is read, to find mistakes, and when a
    gateway opens whose configuration has the table.
    """


@hookspec
def admit(envelope: Envelope, pressure: Pressure) -> Vote | None:
    """Vote on an envelope before it is accepted: shed it, change its class, delay it, or None.

    Called before the envelope waits for a slot, which it may not get. If several processes share
    an outbox's accounts, the account's owner calls its policies when it takes the envelope on.
    Every policy is called. Any `"shed"` ends the envelope `shed`; otherwise the first class named
    becomes its class. An exception counts as None and is logged.

    `Delay(until)` holds the envelope until that time, at most 30 days after it was due; of several
    delays the latest counts. Policies are asked again when an envelope with `not_before` is due,
    and when a delay ends; then only a `Delay` counts. With `order="room"`, later envelopes of the
    room wait for the delayed envelope, until it goes on or ends. The default ttl of its class
    counts from `until`; its own ttl or deadline does not change. Closing does not wait for a
    delayed envelope: a durable outbox stores it for the next start, otherwise it ends.
    """


@hookspec
def after_attempt(instance: Instance, attempt: Attempt, report: AttemptReport) -> None:
    """An attempt ended. An observer: its exceptions are logged and counted."""


@hookspec
def after_disposition(envelope: Envelope, receipt: Receipt) -> None:
    """An accepted envelope ended; called once for each. An observer."""


@hookspec
def after_refusal(envelope: Envelope, error: Exception) -> None:
    """An envelope was not accepted; its caller gets `error`. An observer.

    Usually a `Refused`: `Invalid`, `Overloaded`, `IdempotencyConflict`, `InstanceSuspended`,
    `DeadlinePassed`, `GatewayClosed`. An `OutboxError` if it could not be stored; a
    `HookContractError` if a hook failed. For an unknown instance, the observers of every channel
    are called, each once.
    """


@hookspec
def pressure_changed(pressure: Pressure, previous: Level) -> None:
    """A partition's pressure level changed. Called before refusals begin. An observer."""


@hookspec
def instance_suspended(instance: Instance, verdict: Verdict) -> None:
    """An instance was suspended; its envelopes wait or end, as configured. An observer."""


@hookspec
def room_moved(instance: Instance, room: str, moved_to: str) -> None:
    """A room has a new id; later sends to the old id go to the new one. An observer."""
