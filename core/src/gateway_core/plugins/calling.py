"""Calls the impls of a hook, and measures for how long each of them holds the event loop.

Real time, since nothing else says that other tasks had to wait. Of an async impl each step is
measured by itself: what it awaits holds nobody up.
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

Frozen: TypeAlias = Callable[[Mapping[str, Any]], Any]
Report: TypeAlias = Callable[[Any, float], None]
"""Told which plugin held the loop, and for how many seconds."""

SLOW = 0.1
"""Seconds from which an impl is reported: a tenth is what people notice."""
REMEMBERED = 64
"""Collections that are remembered: a call of which more are a part has been slow by itself."""
LONG = 0.001
"""Seconds from which a collection is remembered."""


@contextmanager
def repeating() -> Iterator[None]:
    """What runs in the block repeats an attempt, or finds out whether an account works."""
    token = repeated.set(True)
    try:
        yield
    finally:
        repeated.reset(token)


def impls_of(caller: Any) -> list[Any]:
    """The impls of a bound hook in the order in which they are asked."""
    found: list[Any] = caller.get_hookimpls()
    return found[::-1]


def freeze(caller: Any, slow: Report) -> Frozen:
    """The call of a bound hook, its impls read once; of a wrapped hook, pluggy's own call."""
    impls = impls_of(caller)
    if any(impl.wrapper or impl.hookwrapper for impl in impls):
        return _wrapped(caller, impls[0].plugin, slow)
    steps = [(impl.function, _arguments(impl.argnames), impl.plugin) for impl in impls]
    if not caller.spec.opts["firstresult"]:
        return lambda kwargs: _answers(steps, kwargs, slow)
    if steps and (iscoroutinefunction(steps[0][0]) or steps[0][2] is defaults):
        # a call of the one runs none of it, core's own holds nobody up; both answer
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
    """Call one impl."""
    begun = perf_counter()
    try:
        return function(*arguments)
    finally:
        took = perf_counter() - begun
        if took >= SLOW:
            slow(plugin, took)


def _arguments(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """Picks the arguments of these names, in this order."""
    if len(names) > 1:
        return itemgetter(*names)
    if not names:
        return lambda _kwargs: ()
    name = names[0]
    return lambda kwargs: (kwargs[name],)


class Collections:
    """When the garbage collector ran lately, whoever's garbage it was: one of `gc.callbacks`.

    What it takes of a call is none of the impl's: it comes after so many allocations, and takes as
    long as the whole program has objects. Nothing is done for it as an impl is called.
    """

    def __init__(self) -> None:
        self._begun = 0.0
        self._ran: tuple[tuple[float, float], ...] = ()  # changed never: somebody may look at it

    def __call__(self, phase: str, _info: Mapping[str, int]) -> None:
        """It starts, or stops."""
        now = perf_counter()
        if phase == "start":
            self._begun = now
        elif now - self._begun >= LONG:
            self._ran = (*self._ran[1 - REMEMBERED :], (self._begun, now))

    def within(self, seconds: float) -> float:
        """How many of the last `seconds` it took."""
        since = perf_counter() - seconds
        return sum(end - max(begun, since) for begun, end in self._ran if end > since)


@coroutine
def in_steps(performing: Any, slow: Callable[[float], None]) -> Generator[Any, Any, Any]:
    """Await `performing`; `slow` is told of each of its steps that held the loop."""
    value: Any = None
    thrown: BaseException | None = None
    while True:
        begun = perf_counter()
        try:
            asked = performing.send(value) if thrown is None else performing.throw(thrown)
        except StopIteration as done:
            return done.value
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
    """A session that is opened and closed step by step."""

    def __init__(
        self, session: AbstractAsyncContextManager[Any], slow: Callable[[float], None]
    ) -> None:
        self._session = session
        self._slow = slow

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
        """What is no coroutine, but can be awaited as well, has no steps that can be told apart."""
        return await (in_steps(awaited, self._slow) if hasattr(awaited, "send") else awaited)
