"""Asks the hooks that serve one channel, and stops the errors of plugins here.

If a hookimpl raises or answers with the wrong type, this becomes a `HookContractError` that names
plugin and hook; `Cancelled` and its like pass through. Errors are counted, and so are impls that
hold the event loop; the 1st, 10th, 100th and so on of one cause is logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from gateway_core.contract.envelopes import ANSWER, REVISE, UPLOAD
from gateway_core.contract.errors import HookContractError
from gateway_core.contract.instances import Instance, hidden
from gateway_core.contract.validators import words_of
from gateway_core.plugins import defaults
from gateway_core.plugins.boundary import cause_of, exit_in, place_in_plugin, stopped, wrapped
from gateway_core.plugins.calling import SLOW, Collections, Frozen, freeze, impls_of, timed
from gateway_core.telemetry import HOOK_FAILED, HOOK_SLOW, is_told, log_event
from gateway_core.telemetry.privacy import Privacy, TelemetrySettings

SEQUENCES = (tuple, list, Sequence)
"""For `isinstance`: most sequences are a tuple or a list, which are found fastest."""

MOST_CAUSES = 1_000
"""Causes of failures that are counted separately."""
PERFORMED_BY = {ANSWER: "send", REVISE: "edit", UPLOAD: "send"}
"""The hooks that perform operations without a hook of the same name."""
_BY_DEFAULT = Privacy(TelemetrySettings())


@attrs.define(eq=False, kw_only=True)
class GuardedHooks:
    """The hooks that serve one channel, bound once, each asked so that its errors stop here.

    adapter   the label of the plugin that serves the channel
    served    the hooks that a plugin implements, and not only core itself
    failures  number of errors that were stopped here, by plugin and hook
    slow      how often an impl held the event loop for `SLOW` seconds or more, by plugin and hook
    privacy   what the log may show of an error
    collections  when garbage was collected, which is no impl's fault
    """

    channel: str
    adapter: str
    callers: Mapping[str, Any]
    labels: Mapping[int, str]
    failures: dict[tuple[str, str], int] = attrs.field(factory=dict)
    slow: dict[tuple[str, str], int] = attrs.field(factory=dict)
    _causes: dict[tuple[str, str, str], int] = attrs.field(factory=dict, init=False)
    privacy: Privacy = _BY_DEFAULT
    collections: Collections = attrs.field(factory=Collections)
    _frozen: dict[str, Frozen] = attrs.field(init=False)
    _slow_of: dict[str, Callable[[float], None]] = attrs.field(init=False)
    served: frozenset[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.served = frozenset(
            name
            for name, caller in self.callers.items()
            if any(impl.plugin is not defaults for impl in impls_of(caller))
        )
        self._frozen = {
            name: freeze(caller, partial(self._was_slow, name))
            for name, caller in self.callers.items()
        }
        self._slow_of = {name: partial(self._was_slow, name, None) for name in self.callers}
        for operation, hook in PERFORMED_BY.items():
            self._frozen[operation] = self._frozen[hook]
            self._slow_of[operation] = self._slow_of[hook]

    def bound(self) -> dict[str, tuple[str, ...]]:
        """For each hook, the plugins that are asked, in order."""
        return {
            name: tuple(self._label(impl.plugin) for impl in impls_of(caller))
            for name, caller in self.callers.items()
        }

    # -- asking

    def _ask(
        self, name: str, kind: Any, kwargs: Mapping[str, Any], asked: Frozen | None = None
    ) -> Any:
        """Ask a sync hook that gives one answer, and check the answer's type.

        asked  returns the answer, if the hook was asked already
        """
        try:
            answer = (asked or self._frozen[name])(kwargs)
        except BaseException as raised:  # noqa: BLE001 - the boundary stands here
            plugin = self._culprit(raised)
            error = self._stopped(name, plugin, raised, kwargs)
            raise self._raised(name, plugin, error, kwargs) from error
        if not isinstance(answer, kind) or isinstance(answer, str):
            raise self._wrong(name, _words(kind), answer)
        return answer

    def _each(
        self, name: str, kwargs: Mapping[str, Any], *, told: set[int] | None = None
    ) -> list[tuple[str, Any]]:
        """Ask each impl separately, so that an impl that raises does not stop the others."""
        answers, slow = [], partial(self._was_slow, name)
        for impl in impls_of(self.callers[name]):
            if told is not None:
                if id(impl.plugin) in told:
                    continue
                told.add(id(impl.plugin))
            plugin = self._label(impl.plugin)
            try:
                given = [kwargs[key] for key in impl.argnames]
                answers.append((plugin, timed(impl.plugin, impl.function, given, slow)))
            except BaseException as raised:  # noqa: BLE001 - the boundary stands here
                error = self._stopped(name, plugin, raised, kwargs)
                self._note_raised(name, plugin, error, kwargs)
        return answers

    def _ask_each(
        self, hook: str, kind: type, kwargs: Mapping[str, Any], asked: Frozen | None = None
    ) -> tuple[Any, ...]:
        """Ask a sync hook that answers with a sequence of `kind`."""
        answers = tuple(self._ask(hook, SEQUENCES, kwargs, asked))
        for answer in answers:
            if not isinstance(answer, kind):
                raise self._wrong(hook, kind.__name__, answer)
        return answers

    def _check_each(self, hook: str, kind: type, answers: Iterable[object]) -> None:
        for answer in answers:
            if not isinstance(answer, kind):
                raise self._wrong(hook, kind.__name__, answer)

    def _look(
        self, hook: str, fault_of: Callable[[Any], str | None], values: Iterable[Any]
    ) -> None:
        """Raise for the first value that cannot be used."""
        for value in values:
            if (fault := fault_of(value)) is not None:
                raise self._wrong(hook, fault, value)

    # -- what went wrong

    def _stopped(
        self, hook: str, plugin: str, raised: BaseException, kwargs: Mapping[str, Any]
    ) -> Exception:
        """The error of a sync hook as an `Exception`; one that must pass is raised again."""
        if isinstance(raised, GeneratorExit):  # the hook's own: no coroutine is closed in a call
            return wrapped(raised)
        self._note_exit(hook, plugin, raised, kwargs)
        return stopped(raised)

    def _note_exit(
        self, hook: str, plugin: str, raised: BaseException, kwargs: Mapping[str, Any]
    ) -> None:
        """Log which hook ends the program, and with it the work of all accounts."""
        ends = exit_in(raised)
        if ends is not None:
            self._note_raised(hook, plugin, ends, kwargs)

    def _raised(
        self, hook: str, plugin: str, error: Exception, kwargs: Mapping[str, Any]
    ) -> HookContractError:
        """A `HookContractError` for the plugin's error, which is counted and logged."""
        self._note_raised(hook, plugin, error, kwargs)
        text = _hidden(f"raised {words_of(error)}", kwargs)
        return HookContractError(hook=hook, plugin=plugin, text=text)

    def _wrong(
        self, hook: str, expected: str, answer: object, plugin: str = ""
    ) -> HookContractError:
        asked = [label for label in self.bound()[hook] if label != "gateway_core"]
        plugin = plugin or " or ".join(asked) or "gateway_core"
        text = f"answered with {type(answer).__name__}, expected {expected}"
        self._note(hook, plugin, text)
        return HookContractError(hook=hook, plugin=plugin, text=text)

    def _note_raised(
        self, hook: str, plugin: str, error: BaseException, kwargs: Mapping[str, Any]
    ) -> None:
        text = _hidden(self.privacy.error(cause_of(error)), kwargs)
        self._note(hook, plugin, text, place_in_plugin(error))

    def _note(self, hook: str, plugin: str, text: str, where: str | None = None) -> None:
        """Count a failure; the 1st, 10th, 100th and so on of one cause is logged."""
        self.failures[plugin, hook] = self.failures.get((plugin, hook), 0) + 1
        cause = plugin, hook, where or text
        if cause not in self._causes and len(self._causes) >= MOST_CAUSES:
            self._causes.clear()
        self._causes[cause] = times = self._causes.get(cause, 0) + 1
        if is_told(times):
            log_event(
                HOOK_FAILED,
                channel=self.channel,
                plugin=plugin,
                hook=hook,
                error=text,
                where=where,
                times=times,
            )

    def _was_slow(self, hook: str, plugin: object | None, seconds: float) -> None:
        """Count that a plugin's impl held the event loop; `plugin` None means the adapter's."""
        collected = self.collections.within(seconds)
        if seconds - collected < SLOW:
            return
        label = self.adapter if plugin is None else self._label(plugin)
        self.slow[label, hook] = times = self.slow.get((label, hook), 0) + 1
        if is_told(times):
            log_event(
                HOOK_SLOW,
                channel=self.channel,
                plugin=label,
                hook=hook,
                seconds=round(seconds - collected, 3),
                gc=round(collected, 3),
                times=times,
            )

    def _culprit(self, error: BaseException) -> str:
        """The plugin in whose code the error arose, by the traceback; if none, the adapter."""
        files = {}
        for caller in self.callers.values():
            for impl in impls_of(caller):
                code = getattr(impl.function, "__code__", None)  # compiled ones have none
                files[getattr(code, "co_filename", "")] = self._label(impl.plugin)
        plugin, trace = self.adapter, error.__traceback__
        while trace is not None:
            plugin = files.get(trace.tb_frame.f_code.co_filename, plugin)
            trace = trace.tb_next
        return plugin

    def _label(self, plugin: object) -> str:
        return self.labels.get(id(plugin), str(plugin))


def _words(kind: Any) -> str:
    """What a sentence calls the class, or the classes of a tuple."""
    if not isinstance(kind, tuple):
        return str(kind.__name__)
    named = [each for each in kind if each not in SEQUENCES or each is Sequence]
    return " or ".join("None" if each is type(None) else each.__name__ for each in named)


def _hidden(text: str, kwargs: Mapping[str, Any]) -> str:
    """The text without the secrets of the instance that the hook was asked about."""
    instance = kwargs.get("instance")
    return hidden(text, instance) if isinstance(instance, Instance) else text
