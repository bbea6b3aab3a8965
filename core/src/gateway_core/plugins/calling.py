"""Calls the impls of a hook, and measures how long each impl holds the event loop.

It measures real time, which alone shows that other tasks had to wait. Each step of an async impl is
measured separately, since an impl that awaits holds nobody up.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from inspect import iscoroutinefunction
from operator import itemgetter
from time import perf_counter
from types import TracebackType, coroutine
from typing import Any, TypeAlias

from gateway_core.contract.envelopes import repeated
from gateway_core.plugins import defaults
from gateway_core.plugins.boundary import wrapped

Frozen: TypeAlias = Callable[[Mapping[str, Any]], Any]
Report: TypeAlias = Callable[[Any, float], None]
"""Called with the plugin that held the loop, and for how many seconds."""

SLOW = 0.1
"""Seconds from which a slow impl is reported: people notice a tenth of a second."""
REMEMBERED = 64
"""Most collections that are remembered; a call during which more ran was slow by itself."""
LONG = 0.001
"""Seconds from which a collection is remembered."""


@contextmanager
def repeating() -> Iterator[None]:
    """Mark the block's code as repeating an attempt, or finding out whether an account works."""
    token = repeated.set(True)
    try:
        yield
    finally:
        repeated.reset(token)


def impls_of(caller: Any) -> list[Any]:
    """The impls of a bound hook, in the order in which they are called."""
    found: list[Any] = caller.get_hookimpls()
    return found[::-1]


def freeze(caller: Any, slow: Report) -> Frozen:
    """A function that calls a bound hook, its impls read once; pluggy's call if it has wrappers."""
    impls = impls_of(caller)
    if any(impl.wrapper or impl.hookwrapper for impl in impls):
        return _wrapped(caller, impls[0].plugin, slow)
    steps = [(impl.function, _arguments(impl.argnames), impl.plugin) for impl in impls]
    if not caller.spec.opts["firstresult"]:
        return lambda kwargs: _answers(steps, kwargs, slow)
    if steps and (iscoroutinefunction(steps[0][0]) or steps[0][2] is defaults):
        # no measuring: the call of an async impl runs nothing yet, core's own is fast; both answer
        function, named, _ = steps[0]
        return lambda kwargs: function(*named(kwargs))

    def first(kwargs: Mapping[str, Any]) -> Any:
        answers = _answers(steps, kwargs, slow, only_first=True)
        return answers[0] if answers else None

    return first


def _answers(
    steps: Sequence[tuple[Callable[..., Any], Any, Any]],
    kwargs: Mapping[str, Any],
    slow: Report,
    *,
    only_first: bool = False,
) -> list[Any]:
    answers, begun = [], perf_counter()
    for function, named, plugin in steps:
        try:
            answer = function(*named(kwargs))
        finally:
            now = perf_counter()
            if now - begun >= SLOW:
                slow(plugin, now - begun)
            begun = now
        if answer is not None:
            answers.append(answer)
            if only_first:
                break
    return answers


def _wrapped(caller: Any, outermost: Any, slow: Report) -> Frozen:
    def call(kwargs: Mapping[str, Any]) -> Any:
        begun = perf_counter()
        try:
            return caller(**kwargs)
        finally:
            took = perf_counter() - begun
            if took >= SLOW:
                slow(outermost, took)

    return call


def timed(plugin: Any, function: Callable[..., Any], arguments: Sequence[Any], slow: Report) -> Any:
    """Call one impl, and report it if it was slow."""
    begun = perf_counter()
    try:
        return function(*arguments)
    finally:
        took = perf_counter() - begun
        if took >= SLOW:
            slow(plugin, took)


def _arguments(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """A function that picks the arguments with these names, in this order."""
    if len(names) > 1:
        return itemgetter(*names)
    if not names:
        return lambda _kwargs: ()
    name = names[0]
    return lambda kwargs: (kwargs[name],)


class Collections:
    """Remembers when the garbage collector ran lately, for whatever garbage: one of `gc.callbacks`.

    Its time does not count against the impl that was running: the collector starts after a number
    of allocations, and its time depends on all objects of the program. Calling an impl costs
    nothing extra for this.
    """

    def __init__(self) -> None:
        self._begun = 0.0
        self._ran: tuple[tuple[float, float], ...] = ()  # never changed in place

    def __call__(self, phase: str, _info: Mapping[str, int]) -> None:
        """The collector starts or stops."""
        now = perf_counter()
        if phase == "start":
            self._begun = now
        elif now - self._begun >= LONG:
            self._ran = (*self._ran[1 - REMEMBERED :], (self._begun, now))

    def within(self, seconds: float) -> float:
        """How many of the last `seconds` the collector took."""
        since = perf_counter() - seconds
        return sum(end - max(begun, since) for begun, end in self._ran if end > since)


@coroutine
def in_steps(performing: Any, slow: Callable[[float], None]) -> Generator[Any, Any, Any]:
    """Await `performing`; call `slow` for each of its steps that held the loop."""
    value: Any = None
    thrown: BaseException | None = None
    while True:
        begun = perf_counter()
        try:
            asked = performing.send(value) if thrown is None else performing.throw(thrown)
        except StopIteration as done:
            return done.value
        except GeneratorExit as own:  # nobody closes the coroutine here
            raise wrapped(own) from own
        finally:
            value = thrown = None
            took = perf_counter() - begun
            if took >= SLOW:
                slow(took)
        try:
            value = yield asked
        except GeneratorExit:
            performing.close()
            raise
        except BaseException as error:  # noqa: BLE001 - it is the one awaited that gets it
            thrown = error


class SessionInSteps(AbstractAsyncContextManager[Any]):
    """A session that is opened and closed step by step.

    raised  called with each error of its opening and closing
    """

    def __init__(
        self,
        session: AbstractAsyncContextManager[Any],
        slow: Callable[[float], None],
        raised: Callable[[BaseException], None],
    ) -> None:
        self._session = session
        self._slow = slow
        self._raised = raised

    async def __aenter__(self) -> Any:
        return await self._step_by_step(self._session.__aenter__())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        handled: bool | None = await self._step_by_step(self._session.__aexit__(kind, error, trace))
        return handled

    async def _step_by_step(self, awaited: Any) -> Any:
        """Await step by step, or at once if it is an awaitable other than a coroutine."""
        try:
            return await (in_steps(awaited, self._slow) if hasattr(awaited, "send") else awaited)
        except BaseException as error:
            self._raised(error)
            raise
