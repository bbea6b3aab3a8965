"""Connects the world with the engine: adapters that stumble, policies that watch, the time.

The adapters are the real ones; each hook passes through here so that it can be seen, delayed by a
few checkpoints, and made to fail, hang or answer nonsense while trouble is on.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import attrs
import trio
from simulated.connections import REPEATS
from simulated.drawing import Setup
from simulated.ledger import Call, Ledger
from simulated.lives import check

from gateway_core import Instance, Reason, Receipt
from gateway_core.authors import Attempt, Pressure, hookimpl
from gateway_core.plugins import defaults
from gateway_core.testing import Checkpoints
from gateway_plugin_discord import hooks as discord
from gateway_plugin_slack import hooks as slack
from gateway_plugin_telegram import hooks as telegram

REAL = {"telegram": telegram, "slack": slack, "discord": discord}


class Stray(BaseException):
    """An exception that no hook should ever raise, but that some library will."""


class Stumbled(Exception):
    """A hook's own failure."""


def _group() -> BaseException:
    return BaseExceptionGroup("two at once", [Stumbled("one"), Stray("two")])


ERRORS: tuple[Callable[[], BaseException], ...] = (
    lambda: Stumbled("a hook stumbled"),
    lambda: Stray("a stray"),
    _group,
)


class Ports:
    """The state that all ports of a world share: ledger, generators, whether trouble is on."""

    def __init__(self, setup: Setup, ledger: Ledger) -> None:
        self.setup = setup
        self.ledger = ledger
        self.on = True
        self.passed = Checkpoints(f"ports:{setup.seed}", setup.checkpoints)
        self._hooks = setup.generator("hooks")
        self._pure = setup.generator("pure")
        self._sessions = setup.generator("sessions")
        self._breaks = setup.generator("breaks")
        self.disk = setup.generator("disk")

    def wall(self) -> float:
        """The POSIX time of the life's system."""
        check()
        return self.ledger.wall()

    def breaks(self) -> bool:
        """Whether a worker breaks before its attempt begins."""
        broken = self.on and self._breaks.random() < self.setup.trouble.breaks
        self.ledger.faults += broken
        return broken

    def disk_is_full(self) -> bool:
        """Whether nothing can be written now."""
        now = trio.current_time()
        full = self.on and any(start <= now < end for start, end in self.setup.trouble.disk)
        self.ledger.faults += full
        if full:
            self.ledger.unwritten_at = now
        return full

    def disk_is_slow(self) -> bool:
        """Whether a read or a write may take its time.

        If the pace of accounts is judged, a slow disk is a fault, which ends when the others do:
        rooms that are behind are read one after the other, and each page may come from the disk.
        """
        return self.on or self.setup.crowd is None

    def error(self) -> BaseException:
        """One of the things that hooks raise."""
        self.ledger.faults += 1
        return self._hooks.choice(ERRORS)()

    def stumbles(self, where: str) -> str | None:
        """What goes wrong with an async hook, if anything: `raise`, `hang`, `nonsense`."""
        share = self.setup.trouble.hooks
        if not self.on or not share or self._hooks.random() >= share:
            return None
        kinds = ["raise", "hang"] + (["nonsense"] if where == "after" else [])
        return self._hooks.choice(kinds)

    def pure_fails(self) -> bool:
        """Whether a sync hook raises this time."""
        share = self.setup.trouble.pure
        return self.on and bool(share) and self._pure.random() < share

    def session_fails(self) -> str | None:
        """What goes wrong with a session, if anything."""
        share = self.setup.trouble.sessions
        if not self.on or not share or self._sessions.random() >= share:
            return None
        self.ledger.faults += 1
        return self._sessions.choice(["enter", "hang", "leave", "linger"])

    async def perform(self, do: Callable[[], Any], instance: Instance, attempt: Attempt) -> Any:
        """Perform one attempt, and let the ledger see it."""
        check()
        call = self.ledger.begin(instance.id, attempt)
        REPEATS.set(attempt.number > 1)
        try:
            await self.passed()
            await self._stumble("before")
            answer = await do()
            await self.passed()
            answer = await self._stumble("after", answer)
            check()
            if call is not None:
                self.ledger.answered(call, answer)
            return answer
        finally:
            if call is not None:
                self.ledger.end(call)

    async def _stumble(self, where: str, answer: Any = None) -> Any:
        check()
        what = self.stumbles(where)
        if what is None:
            return answer
        self.ledger.note("hook", where, what)
        if what == "raise":
            raise self.error()
        self.ledger.faults += 1
        if what == "hang":
            await trio.sleep_forever()
        return "nonsense"


def adapter(channel: str, ports: Ports) -> Any:
    """The real adapter of a channel behind the ports."""
    real = REAL[channel]
    plugin: Any = ModuleType(f"{channel} in the simulation")
    plugin.GATEWAY_CONTRACT = 1
    for name in ("settings_type", "traits", "validate", "address", "chunk", "rate_limit"):
        setattr(plugin, name, _pure(getattr(real, name), ports))
    for name in ("send", "edit", "delete", "call"):
        setattr(plugin, name, _performed(getattr(real, name), ports))
    if ports.setup.probes:
        plugin.probe = _probed(real.probe, ports)
    plugin.open_session = _session(real.open_session, ports)
    plugin.classify_error = _classified(real.classify_error, ports)
    if hasattr(real, "credentials"):
        plugin.credentials = _asked(real.credentials, ports)
    return plugin


def taken(function: Any) -> tuple[str, ...]:
    """The names of the arguments that a hookimpl lists."""
    return tuple(inspect.signature(function).parameters)


def _pure(function: Any, ports: Ports) -> Any:
    """A sync hook that raises now and then, unless it is asked only once, at binding."""
    if function.__name__ in ("settings_type", "traits", "address"):
        return function

    def hook(*given: Any) -> Any:
        check()
        if ports.pure_fails():
            raise ports.error()
        return function(*given)

    return hookimpl(_named(hook, function.__name__, taken(function)))


def _named(function: Any, name: str, names: Sequence[str]) -> Any:
    """The function with parameters of these names, since hooks are called by name."""
    listed = ", ".join(names)
    space: dict[str, Any] = {"function": function}
    exec(f"def {name}({listed}):\n return function({listed})", space)  # noqa: S102 - names of a signature
    return space[name]


def _performed(function: Any, ports: Ports) -> Any:
    names = taken(function)

    @hookimpl
    async def perform(instance: Instance, session: Any, attempt: Attempt) -> Any:
        given = {"instance": instance, "session": session, "attempt": attempt}
        return await ports.perform(
            lambda: function(*[given[name] for name in names]), instance, attempt
        )

    perform.__name__ = function.__name__
    return perform


def _probed(function: Any, ports: Ports) -> Any:
    @hookimpl
    async def probe(instance: Instance, session: Any) -> Any:
        check()
        ports.ledger.probed(instance.id)
        REPEATS.set(True)
        await ports.passed()
        identity = await function(session)
        await ports.passed()
        check()
        if not ports.ledger.is_replaced(instance):  # else it says nothing of the new one
            ports.ledger.works_again(instance.id)
        return identity

    return probe


def _asked(function: Any, ports: Ports) -> Any:
    @hookimpl
    async def credentials(session: Any) -> Any:
        await ports.passed()
        check()
        return await function(session)

    return credentials


def _session(function: Any, ports: Ports) -> Any:
    @asynccontextmanager
    async def opened(instance: Instance) -> AsyncIterator[Any]:
        check()
        what = ports.session_fails()
        ports.ledger.note("session", instance.id, what or "")
        await ports.passed()
        if what == "enter":
            raise ports.error()
        if what == "hang":
            await trio.sleep_forever()
        sessions = ports.ledger.sessions
        async with function(instance) as session:
            sessions[instance.id] += 1
            try:
                yield session
            finally:
                sessions[instance.id] -= 1
        if what == "leave":
            raise ports.error()
        if what == "linger":
            await trio.sleep(20.0)

    @hookimpl
    def open_session(instance: Instance) -> Any:
        return opened(instance)

    return open_session


NOT_THEIRS = ("wrong file identifier", "can't use file of type", "ATTACHMENT_NOT_FOUND")
"""Words by which platforms refuse ids of another account, another kind, or another message."""


def _classified(function: Any, ports: Ports) -> Any:
    names = taken(function)

    @hookimpl
    def classify_error(instance: Instance, attempt: Attempt, error: Exception) -> Any:
        check()
        given = {"instance": instance, "attempt": attempt, "error": error}
        if ports.pure_fails():
            stands = attrs.evolve(defaults.classify_error(error), reason=Reason.HOOK_ERROR)
            ports.ledger.judged(instance.id, attempt, stands)
            raise ports.error()
        verdict = function(*[given[name] for name in names])
        told = verdict or defaults.classify_error(error)
        ports.ledger.note("error", type(error).__name__, error)
        known = not any(words in str(error) for words in NOT_THEIRS)
        ports.ledger.expect(known, f"a file is named that {instance.id} does not know: {error}")
        ports.ledger.judged(instance.id, attempt, told)
        return verdict

    return classify_error


class Witness:
    """A policy that only watches, except that it votes."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._ledger = ports.ledger
        self._random = ports.setup.generator("votes")

    @hookimpl
    def admit(self, envelope: Any) -> str | None:
        check()
        vote = None
        if self._random.random() < self._ports.setup.trouble.votes:
            vote = self._random.choice(["shed", "urgent", "normal", "bulk"])
        self._ledger.voted(envelope, vote)
        return vote

    @hookimpl
    def after_disposition(self, envelope: Any, receipt: Receipt) -> None:
        check()
        self._ledger.finished(envelope, receipt)

    @hookimpl
    def pressure_changed(self, pressure: Pressure, previous: str) -> None:
        check()
        self._ledger.pressure(pressure.partition, pressure.level, previous, pressure.depth)

    @hookimpl
    def instance_suspended(self, instance: Instance) -> None:
        check()
        self._ledger.suspended(instance.id)


class Rude:
    """A policy whose observers and votes raise now and then."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def _perhaps(self) -> None:
        check()
        if self._ports.pure_fails():
            raise self._ports.error()

    @hookimpl
    def admit(self) -> None:
        self._perhaps()

    @hookimpl
    def after_attempt(self) -> None:
        self._perhaps()

    @hookimpl
    def after_disposition(self) -> None:
        self._perhaps()

    @hookimpl
    def instance_suspended(self) -> None:
        self._perhaps()

    @hookimpl
    def room_moved(self) -> None:
        self._perhaps()


__all__ = ["Call", "Ports", "Rude", "Stray", "Stumbled", "Witness", "adapter"]
