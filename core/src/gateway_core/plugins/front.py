"""Calls one channel's hooks through typed methods: every call of a hook goes through here.

Each method says what the engine gets, and checks whether a plugin's answer can be used. `guarding`
asks the hooks and handles their errors.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from fractions import Fraction
from functools import partial
from typing import Any, Literal, NamedTuple

import attrs
import trio

from gateway_core.clock import SECOND
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
from gateway_core.contract.errors import GatewayError, HookContractError, Problem
from gateway_core.contract.hookspecs import (
    Answer,
    AttemptReport,
    Delay,
    Identity,
    Level,
    Limit,
    Mark,
    Pressure,
    Session,
    Sign,
    Streaming,
    Traits,
)
from gateway_core.contract.instances import Instance, Secret, hidden
from gateway_core.contract.validators import LONGEST_NAME
from gateway_core.contract.verdicts import BucketReport, ErrorClass, Reason, Verdict
from gateway_core.plugins import defaults, usable
from gateway_core.plugins.calling import (
    Frozen,
    SessionInSteps,
    freeze,
    impls_of,
    in_steps,
    repeating,
    timed,
)
from gateway_core.plugins.guarding import PERFORMED_BY, SEQUENCES, GuardedHooks
from gateway_core.plugins.plain import plain
from gateway_core.plugins.rewriting import REWRITTEN, in_its_room, rewriting_fault
from gateway_core.plugins.sharing import WHOLE, shared_limit, shared_report

VOTES = ("shed", "urgent", "normal", "bulk")
PLANNED_AT_ONCE = 2
"""Threads that plan long texts. With more threads one interpreter plans no faster, and the event
loop would have to share it with all of them."""


class Voted(NamedTuple):
    """What policies voted.

    vote   shed the envelope, or the class that it gets; None: it keeps its class
    until  POSIX time until which the envelope is delayed; None: it is not delayed
    """

    vote: Literal["shed"] | Priority | None = None
    until: float | None = None


UNCHANGED = Voted()


@attrs.define(eq=False, kw_only=True)
class ChannelHooks(GuardedHooks):
    """The hooks that serve one channel, and the answers that they give only once.

    can       the async hooks that the adapter has
    policies  the labels of the policies that are asked too
    share     this process's part of every limit
    by_class  whether limits may differ with the envelope's class
    deduplicates_for  nanoseconds for which the platform recognises the key of a send
    longest_part  most visible characters of a part, if only the adapter plans; else None
    """

    can: frozenset[str]
    policies: tuple[str, ...] = ()
    share: Fraction = WHOLE
    traits: Traits = attrs.field(init=False)
    settings_type: type | None = attrs.field(init=False)
    by_class: bool = attrs.field(init=False)
    deduplicates_for: int = attrs.field(init=False)
    longest_part: int | None = attrs.field(init=False)
    _absent: frozenset[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.traits = self._ask("traits", Traits, {})
        if "traits" not in self.served:  # core's default: what there are hooks for
            edit, delete = "edit" in self.can, "delete" in self.can
            self.traits = attrs.evolve(self.traits, edit=edit, delete=delete)
        self._absent = frozenset(it for it in ("edit", "delete") if not self.has(it))
        self.settings_type = self._ask("settings_type", type, {})
        self.deduplicates_for = round(self.traits.deduplicates_for * SECOND)
        planning = [impl for impl in impls_of(self.callers["chunk"]) if impl.plugin is not defaults]
        self.longest_part = self.traits.longest_part if len(planning) == 1 else None
        self.by_class = any(
            "priority" in impl.argnames for impl in impls_of(self.callers["rate_limit"])
        )

    def of(self, instance: Instance) -> ChannelHooks:
        """These hooks for the instance; without deduplication if the instance's settings say so.

        They say so by a property `deduplicates` that is false.
        """
        if getattr(instance.settings, "deduplicates", True):
            return self
        own = copy.copy(self)  # both share the counters
        own.deduplicates_for = 0
        return own

    def has(self, operation: str) -> bool:
        """Whether the channel has the operation: it has the hook, and its traits do not deny it."""
        return operation in self.can and bool(getattr(self.traits, operation, True))

    def unfit(self, instance: Instance) -> str:
        """What is wrong with the instance's settings on this channel; empty: nothing."""
        expected = self.settings_type
        if expected is None or isinstance(instance.settings, expected):
            return ""
        wanted = f"{expected.__module__}.{expected.__qualname__}"
        return f"settings must be {wanted}, not {type(instance.settings).__qualname__}"

    # -- before acceptance

    def rewrite(self, envelope: Envelope) -> Envelope:
        """The envelope to send instead: every impl is asked, each with the previous impl's answer.

        Raises `HookContractError` if an impl fails. None is skipped, since it may hide secrets.
        """
        if "rewrite" not in self.served or not isinstance(envelope, REWRITTEN):
            return envelope
        slow = partial(self._was_slow, "rewrite")
        for impl in impls_of(self.callers["rewrite"]):
            plugin, kwargs = self._label(impl.plugin), {"envelope": envelope}
            try:
                given = [kwargs[key] for key in impl.argnames]
                answer = timed(impl.plugin, impl.function, given, slow)
                fault = None if answer is None else rewriting_fault(envelope, answer)
                if answer is not None and fault is None:
                    envelope = in_its_room(envelope, answer)
            except BaseException as raised:  # noqa: BLE001 - the boundary stands here
                error = self._stopped("rewrite", plugin, raised, kwargs)
                raise self._raised("rewrite", plugin, error, kwargs) from error
            if fault is not None:
                raise self._wrong("rewrite", fault, answer, plugin)
        return envelope

    def validate(self, instance: Instance, envelope: Envelope) -> list[Problem]:
        """Every impl's problems, joined."""
        if "validate" not in self.served:
            return []
        kwargs = {"instance": instance, "envelope": envelope}
        answers = self._ask("validate", list, kwargs)
        self._check_each("validate", Sequence, answers)
        problems = [problem for answer in answers for problem in answer]
        self._check_each("validate", Problem, problems)
        return problems

    def chunk(
        self, instance: Instance, envelope: Envelope, mode: Mode, most: int | None = None
    ) -> tuple[Part, ...]:
        """The envelope's plan: its parts, in order.

        most  how many parts the caller can use; later ones are not checked, only counted
        """
        return self._plan({"instance": instance, "envelope": envelope, "mode": mode}, most)

    async def chunk_apart(
        self, instance: Instance, envelope: Envelope, mode: Mode, most: int | None = None
    ) -> tuple[Part, ...]:
        """Like `chunk`, in a worker thread, so that a long text does not hold up other tasks."""
        kwargs = {"instance": instance, "envelope": envelope, "mode": mode}
        ask = freeze(self.callers["chunk"], _holds_nobody)
        planned = await trio.to_thread.run_sync(
            _outcome_of, ask, kwargs, abandon_on_cancel=True, limiter=_planning()
        )
        return self._plan(kwargs, most, planned)

    def _plan(
        self, kwargs: Mapping[str, Any], most: int | None, asked: Frozen | None = None
    ) -> tuple[Part, ...]:
        answers: tuple[Part, ...] = self._ask_each("chunk", Part, kwargs, asked)
        if "chunk" not in self.served:  # core's own plan only has the text, which was checked
            return answers
        envelope, parts, places = kwargs["envelope"], [], list[int]()
        for answer in answers[:most]:
            part, fault = usable.usable_part(answer, len(envelope.text))
            if fault is not None:
                raise self._wrong("chunk", fault, answer)
            parts.append(part)
            places += part.files
        if len(parts) < len(answers):
            return (*parts, *answers[most:])
        if places and sorted(places) != [*range(files := len(envelope.files or ()))]:
            expected = f"each of the {files} files in one part, not `Part.files` {places}"
            raise self._wrong("chunk", expected, answers)
        if len(parts) > 1 and (fault := usable.overlap_fault(parts)) is not None:
            raise self._wrong("chunk", fault, answers)
        return tuple(parts)

    def buttons(
        self, instance: Instance, rows: Rows, extra: Mapping[str, Json]
    ) -> Mapping[str, Json] | tuple[Problem, ...] | None:
        """The platform's own fields with the buttons, the buttons' problems, or None."""
        if "buttons" not in self.served:
            return None
        kwargs = {"instance": instance, "rows": rows, "extra": extra}
        answer = self._ask("buttons", (Mapping, *SEQUENCES, type(None)), kwargs)
        if answer is None:
            return None
        if isinstance(answer, Mapping):
            self._look("buttons", usable.fields_fault, (answer,))
            return plain(answer)
        self._check_each("buttons", Problem, answer)
        return tuple(answer)

    def address(self, instance: Instance, event: Any) -> Address | None:
        """Room, thread, reply and key of an incoming event."""
        kwargs = {"instance": instance, "event": event}
        answer: Address | None = self._ask("address", (Address, type(None)), kwargs)
        if answer is None:
            return None
        address, fault = usable.usable_address(answer)
        if fault is not None:
            raise self._wrong("address", fault, answer)
        return address

    def acknowledge(self, instance: Instance, address: Address, *, ephemeral: bool) -> Sign | None:
        """The call that acknowledges an interaction, if there is one."""
        kwargs = {"instance": instance, "address": address, "ephemeral": ephemeral}
        return self._sign("acknowledge", kwargs)  # type: ignore[no-any-return]  # checked

    def typing(self, instance: Instance, address: Address) -> Sign | None:
        """The call that shows that an answer is being written, if there is one."""
        return self._sign("typing", {"instance": instance, "address": address})  # type: ignore[no-any-return]  # checked

    def mark(self, instance: Instance, mark: Mark) -> Sign | Problem | None:
        """The call that sets or removes a reaction or a pin, its problem, or None: no marks."""
        return self._sign("mark", {"instance": instance, "mark": mark}, Problem)  # type: ignore[no-any-return]  # checked

    def _sign(self, name: str, kwargs: Mapping[str, Any], *kinds: type) -> Any:
        """The hook's answer: a sign that can be used, None, or a value of one of `kinds`."""
        if name not in self.served or "call" not in self.can:
            return None
        sign = self._ask(name, (Sign, type(None), *kinds), kwargs)
        if isinstance(sign, Sign):
            self._look(name, usable.sign_fault, (sign,))
        return sign

    def admit(self, envelope: Envelope, pressure: Pressure) -> Voted:
        """The policies' votes: any shed wins, else the first class named; and the latest delay."""
        if "admit" not in self.served:
            return UNCHANGED
        votes: list[Any] = []
        until = None
        for plugin, vote in self._each("admit", {"envelope": envelope, "pressure": pressure}):
            if isinstance(vote, str) and vote in VOTES:
                votes.append(vote)
            elif isinstance(vote, Delay):
                until = max(vote.until, until or 0.0)
            elif vote is not None:
                self._note("admit", plugin, f"answered with an unusable vote: {_shown(vote)}")
        return Voted("shed" if "shed" in votes else next(iter(votes), None), until)

    # -- around attempts

    def rate_limit(
        self, instance: Instance, room: str, thread: str | None, operation: str, priority: Priority
    ) -> tuple[Limit, ...]:
        """Every limit that such an attempt uses: those of policies, then the adapter's."""
        if "rate_limit" not in self.served:
            return ()
        kwargs = {
            "instance": instance,
            "room": room,
            "thread": thread,
            "operation": operation,
            "priority": priority,
        }
        answers = self._ask("rate_limit", list, kwargs)
        limits: list[Limit] = []
        for answer in answers:
            if not isinstance(answer, SEQUENCES):
                raise self._wrong("rate_limit", "Sequence", answer)
            if answer:
                self._check_each("rate_limit", Limit, answer)
                self._look("rate_limit", usable.limit_fault, answer)
                if usable.same_buckets(answer):
                    raise self._wrong("rate_limit", "Limits of different buckets", answer)
                named = {limit.bucket for limit in limits}
                limits += [limit for limit in answer if limit.bucket not in named]
        if self.share is not WHOLE:
            return tuple(shared_limit(limit, self.share) for limit in limits)
        return tuple(limits)

    def streaming(self, instance: Instance, envelope: Envelope) -> Streaming | None:
        """How a stream is shown natively; None: by edits, also if the hook fails."""
        if "stream" not in self.can:
            return None
        kwargs = {"instance": instance, "envelope": envelope}
        try:
            answer: Streaming | None
            answer = self._ask("streaming", (Streaming, type(None)), kwargs)
        except HookContractError:  # it is logged and counted
            return None
        return answer

    def open_session(self, instance: Instance) -> AbstractAsyncContextManager[Session] | None:
        """The session that an instance's attempts share, not entered yet; None: no session."""
        kinds = (AbstractAsyncContextManager, type(None))
        session = self._ask("open_session", kinds, {"instance": instance})
        if session is None:
            return None
        ends = partial(self._note_exit, "open_session", self.adapter, kwargs={"instance": instance})
        return SessionInSteps(session, self._slow_of["open_session"], ends)

    async def perform(self, instance: Instance, session: Session, attempt: Attempt) -> Answer:
        """Make the attempt with the hook `send`, `edit`, `delete`, `call` or `stream`.

        Raises what the adapter raised, and `_Absent` for an operation that the channel lacks. If
        the hook succeeded with a wrong answer, it raises a `HookContractError`, which must not lead
        to another attempt.
        """
        operation = self._performed(attempt)
        if operation in self._absent:
            raise _Absent(f"channel {self.channel!r} has no {operation}")
        frozen, slow = self._frozen[operation], self._slow_of[operation]
        kwargs = {"instance": instance, "session": session, "attempt": attempt}
        try:
            if attempt.number == 1:
                performing = frozen(kwargs)
                del kwargs  # while many attempts are under way, each object counts
                answer = await in_steps(performing, slow)
            else:
                with repeating():
                    answer = await in_steps(frozen(kwargs), slow)
        except BaseException as raised:
            self._note_exit(_hook_of(operation), self.adapter, raised, {"instance": instance})
            raise
        if not isinstance(answer, Answer):
            raise self._wrong(_hook_of(operation), "Answer", answer)
        if usable.is_plain(answer):
            return answer
        return self._usable(_hook_of(operation), answer, len(attempt.files))

    def _performed(self, attempt: Attempt) -> str:
        operation = attempt.operation if attempt.method is None else "call"
        # what is not there is an operation of a stream that is shown natively
        return operation if operation in self._frozen else "stream"

    def _usable(self, operation: str, answer: Answer, files: int) -> Answer:
        """The answer without values that cannot be used; these are logged and counted.

        files  how many files its attempt has
        """
        if (fault := usable.answer_fault(answer)) is not None:
            raise self._wrong(operation, fault, answer)
        self._check_each(operation, BucketReport, answer.buckets)
        answer, faults = usable.usable_answer(answer, files)
        answer, unread = usable.own_result(answer)
        for fault in [*faults, *unread]:
            self._note(operation, self.adapter, f"answered with an unusable value: {fault}")
        if self.share is not WHOLE and answer.buckets:
            answer = attrs.evolve(answer, buckets=self._shared(answer.buckets))
        return answer

    def _shared(self, reports: Sequence[BucketReport]) -> tuple[BucketReport, ...]:
        return tuple(shared_report(report, self.share) for report in reports)

    async def probe(self, instance: Instance, session: Session) -> Identity | None:
        """Who the instance is; raises what an attempt would raise."""
        with repeating():
            answer = await self._asked("probe", instance, session)
        if not isinstance(answer, Identity | None):
            raise self._wrong("probe", "Identity", answer)
        if answer is not None and (fault := usable.identity_fault(answer)) is not None:
            raise self._wrong("probe", fault, answer)
        return answer

    async def credentials(self, instance: Instance, session: Session) -> Secret | None:
        """A fresh secret, if the adapter can get one."""
        if "credentials" not in self.can:
            return None
        with repeating():
            answer = await self._asked("credentials", instance, session)
        if not isinstance(answer, Secret | None):
            raise self._wrong("credentials", "Secret", answer)
        return answer

    async def _asked(self, name: str, instance: Instance, session: Session) -> Any:
        kwargs = {"instance": instance, "session": session}
        try:
            return await in_steps(self._frozen[name](kwargs), self._slow_of[name])
        except BaseException as raised:
            self._note_exit(name, self.adapter, raised, kwargs)
            raise

    def classify_error(self, instance: Instance, attempt: Attempt, error: Exception) -> Verdict:
        """What the error means, in the error's own words if the hook gives none.

        If the hook fails, core's own answer.
        """
        if isinstance(error, HookContractError | _Absent):
            return _given_up(error)
        kwargs = {"instance": instance, "attempt": attempt, "error": error}
        verdict: Verdict
        try:
            verdict = self._ask("classify_error", Verdict, kwargs)
        except HookContractError as failure:
            if failure.text.startswith("answered"):
                return _given_up(failure)
            verdict = attrs.evolve(defaults.classify_error(error), reason=Reason.HOOK_ERROR)
        verdict, faults = usable.usable_verdict(verdict)
        for fault in faults:
            self._note("classify_error", self.adapter, f"answered with an unusable value: {fault}")
        if self.share is not WHOLE and verdict.buckets:
            verdict = attrs.evolve(verdict, buckets=self._shared(verdict.buckets))
        raw = hidden(verdict.raw or defaults.classify_error(error).raw, instance)
        return attrs.evolve(verdict, raw=raw) if raw != verdict.raw else verdict

    # -- reported

    def failed(
        self, instance: Instance, attempt: Attempt, error: Exception, verdict: Verdict
    ) -> None:
        """Count and log an error of the attempt's hook if no plugin knew what the error means."""
        if verdict.reason is not Reason.UNCLASSIFIED or isinstance(error, GatewayError):
            return
        own = defaults.classify_error(error)
        if verdict != attrs.evolve(own, raw=hidden(own.raw, instance)):
            return  # the adapter knows the error: the platform has said something new
        kwargs = {"instance": instance, "attempt": attempt}
        self._note_raised(_hook_of(self._performed(attempt)), self.adapter, error, kwargs)

    def after_attempt(self, instance: Instance, attempt: Attempt, report: AttemptReport) -> None:
        """Report an attempt to the observers."""
        self._each("after_attempt", {"instance": instance, "attempt": attempt, "report": report})

    def after_disposition(self, envelope: Envelope, receipt: Receipt) -> None:
        """Report to the observers how an envelope ended."""
        self._each("after_disposition", {"envelope": envelope, "receipt": receipt})

    def after_refusal(self, envelope: Envelope, error: Exception, told: set[int]) -> None:
        """Report a refusal to the observers that are not in `told` yet, and add them to it."""
        if "after_refusal" in self.served:
            self._each("after_refusal", {"envelope": envelope, "error": error}, told=told)

    def pressure_changed(self, pressure: Pressure, previous: Level, told: set[int]) -> None:
        """Report a new level to the observers that are not in `told` yet, and add them to it."""
        kwargs = {"pressure": pressure, "previous": previous}
        self._each("pressure_changed", kwargs, told=told)

    def instance_suspended(self, instance: Instance, verdict: Verdict) -> None:
        """Report a suspension to the observers."""
        self._each("instance_suspended", {"instance": instance, "verdict": verdict})

    def room_moved(self, instance: Instance, room: str, moved_to: str) -> None:
        """Report a room's new id to the observers."""
        self._each("room_moved", {"instance": instance, "room": room, "moved_to": moved_to})


_LIMITER: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("planning long texts")


def _planning() -> trio.CapacityLimiter:
    """The limiter of this event loop's threads that plan long texts."""
    try:
        return _LIMITER.get()
    except LookupError:
        limiter = trio.CapacityLimiter(PLANNED_AT_ONCE)
        _LIMITER.set(limiter)
        return limiter


def _outcome_of(ask: Frozen, kwargs: Mapping[str, Any]) -> Frozen:
    """Ask now; return a function that gives the same answer, or raises the same error."""
    try:
        answer = ask(kwargs)
    except BaseException as raised:  # noqa: BLE001 - it is raised where the boundary stands
        error = raised

        def fail(_: Mapping[str, Any]) -> Any:
            raise error

        return fail
    return lambda _: answer


def _holds_nobody(_plugin: object, _seconds: float) -> None:
    """Report nothing: no task waits for a worker thread."""


def _hook_of(operation: str) -> str:
    """The hook that performs the operation."""
    return PERFORMED_BY.get(operation, operation)


def _shown(vote: object) -> str:
    """The vote as the log shows it: a text, else only its class, since its repr may raise."""
    return repr(vote[:LONGEST_NAME]) if isinstance(vote, str) else type(vote).__name__


class _Absent(GatewayError):
    """The channel has no such operation, although a step needs it."""


def _given_up(error: GatewayError) -> Verdict:
    """The verdict on an error of core's own: another attempt would fail as this one did."""
    absent = isinstance(error, _Absent)
    return Verdict(
        error_class=ErrorClass.NON_RETRYABLE,
        reason=Reason.UNSUPPORTED if absent else Reason.HOOK_CONTRACT,
        dispatched="no" if absent else "unknown",
        raw=str(error),
    )
