"""Knows the instances at run time, and adds, changes, suspends, resumes and removes them.

This module waits in `remove`, for the unfinished envelopes of an instance; and in `probe`.
"""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Container, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

import attrs
import trio

from gateway_core.accounts.health import Health
from gateway_core.accounts.instance_state import Counts, InstanceState
from gateway_core.accounts.probing import ask_who
from gateway_core.accounts.reloading import Changes, compare
from gateway_core.accounts.sessions import Sessions, Spawn
from gateway_core.clock import Clock
from gateway_core.config import GatewayConfig, beside_gateway
from gateway_core.contract.envelopes import Undelivered
from gateway_core.contract.errors import ConfigError, ProbeFailed, Problem, UnknownInstance
from gateway_core.contract.hookspecs import Identity
from gateway_core.contract.instances import Instance
from gateway_core.contract.validators import is_finite, shown
from gateway_core.contract.verdicts import ErrorClass, Reason, Scope, Verdict
from gateway_core.engine.instances.counted import state_of, state_of_forgotten
from gateway_core.engine.instances.same_accounts import SameAccounts
from gateway_core.engine.instances.stopping import Stopping
from gateway_core.engine.partition import Partition
from gateway_core.monitoring.statistics import InstanceStatistics
from gateway_core.outboxes.journal import Journal
from gateway_core.outboxes.records import ALL
from gateway_core.plugins.front import ChannelHooks
from gateway_core.ratelimits.circuit import Circuit
from gateway_core.ratelimits.instance_limits import InstanceLimits
from gateway_core.ratelimits.registry import BucketRegistry
from gateway_core.scheduling.waiting_groups import serve_waiters
from gateway_core.telemetry import CIRCUIT_CLOSED, INSTANCE_RESUMED, log_event

Told: TypeAlias = Callable[[list[Undelivered]], None]
"""Called with the envelopes that a removed instance leaves undelivered."""

MOST_NAMED = 50
"""How many instances an error names at most."""

_SOURCED = (
    "`find_instance` asks the instance source for it; in memory",
    "the instance source does not know it; in memory",
)
"""What an error calls the instances in memory if there is a source, and once it was asked."""

MOST_GONE = 10_000
"""How many removed instances' hooks are remembered: their envelopes in the outbox may end later."""


@attrs.define(eq=False, repr=False)
class InstanceRegistry:
    """Every instance of one gateway by its id; `serving` are those that are not being removed.

    same_accounts  which served instance is which account of its platform
    wide           the buckets that instances share
    keeps_held     an account that another process owned meanwhile stays suspended if the
                   application suspended it here
    sourced        accounts come from a source, too
    _forgotten     the counts of forgotten instances, by channel
    """

    _config: GatewayConfig
    _hooks: Mapping[str, ChannelHooks]
    _clock: Clock
    _spawn: Spawn
    _start_probing: Callable[[InstanceState], None]
    stopping: Stopping
    _journal: Journal | None = None
    _partitions: Sequence[Partition] = ()
    wide: BucketRegistry = attrs.field(factory=BucketRegistry)
    _accounts: dict[str, InstanceState] = attrs.field(factory=dict)
    serving: dict[str, InstanceState] = attrs.field(factory=dict)
    sourced: bool = False
    keeps_held: bool = True
    _gone: OrderedDict[str, ChannelHooks] = attrs.field(factory=OrderedDict)
    _forgotten: dict[str, Counts] = attrs.field(factory=dict)
    same_accounts: SameAccounts = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.same_accounts = SameAccounts(self.serving)

    def open(self, partitions: Sequence[Partition]) -> None:
        """Add the configured instances. Raises `ConfigError` for the first bad one."""
        self._partitions = self.stopping.partitions = partitions
        for instance in self._config.instances:
            self.add(instance)

    def statistics(self) -> tuple[InstanceStatistics, ...]:
        """Each instance's state."""
        return tuple(state_of(account, self._partitions) for account in self._accounts.values())

    def forgotten(self) -> tuple[InstanceStatistics, ...]:
        """The counts of forgotten instances, for each channel."""
        return tuple(state_of_forgotten(*forgotten) for forgotten in self._forgotten.items())

    def add(self, instance: Instance, *, sourced: bool = False) -> None:
        """Add an instance; with settings of the wrong type it starts suspended."""
        self._check(instance)
        if instance.id in self._accounts:
            text = "exists already; `replace_instance` changes it"
            raise ConfigError([Problem(f"instances.{instance.id}", text)])
        account = self._account_of(instance)
        account.sourced = sourced
        self.same_accounts.add(instance)
        self._accounts[instance.id] = self.serving[instance.id] = account
        account.unfit = account.hooks.unfit(instance)
        if account.unfit:
            self.stopping.hold(account, account.unfit)

    def _check(self, instance: object) -> None:
        """Raises `ConfigError` if it is no instance, or does not go with the configuration."""
        if not isinstance(instance, Instance):
            text = f"must be an Instance, not {type(instance).__name__}"
            raise ConfigError([Problem("instance", text)])
        if problems := [*beside_gateway(instance, self._config)]:
            raise ConfigError(problems)

    def check(self, instance: Instance) -> None:
        """Raises `ConfigError` if it cannot be served, or another instance is the same account."""
        if (problem := self._problem_of(instance)) is not None:
            raise ConfigError([problem])
        self.same_accounts.check(instance)

    def replace(self, instance: Instance, *, keep_held: bool = False) -> None:
        """Give a known instance new settings of its channel; a suspended instance is resumed.

        keep_held  it stays suspended if the application has suspended it
        """
        self._check(instance)
        account = self.account(instance.id)
        if (problem := self._problem_of(instance)) is not None:
            raise ConfigError([problem])
        now = self._clock.now()
        resume = not (keep_held and account.health.held and not account.unfit)
        account.hooks = self._hooks[instance.channel].of(instance)
        self.same_accounts.remove(account.instance)
        self.same_accounts.add(instance)
        account.replace(instance, self._sessions(account.hooks, instance), now, resume=resume)
        if resume:
            self.stopping.lift(account, now)
        for partition in self._partitions:
            partition.scheduler.ask_anew(account, now)

    def renew(self, instance_id: str, by: str = "lost") -> InstanceState | None:
        """Replace an account's state, since another process owns the account, or is to own it.

        Nothing begins on the old state any more. If the application suspended the account, and no
        outbox stores that, the new state is suspended too. Returns the old state; None: the
        instance is not served.
        """
        old = self.serving.get(instance_id)
        if old is None:
            return None
        held, why = old.health.held and self.keeps_held, str(old.health.suspended)
        old.health.remove(by)
        old.sessions.close()
        account = self._account_of(old.instance)
        account.counts, account.unfit, account.sourced = old.counts, old.unfit, old.sourced
        self._accounts[instance_id] = self.serving[instance_id] = account
        if held or account.unfit:
            self.stopping.hold(account, account.unfit or why)
        return old

    def compare(self, wanted: Sequence[Instance]) -> Changes:
        """What to change to serve the `wanted` instances. Raises `ConfigError` with every mistake.

        Instances that the `instance_source` gave stay, unless they are among the wanted ones.
        """
        if problems := [*filter(None, map(self._problem_of, wanted))]:
            raise ConfigError(problems)
        names = {instance.id for instance in wanted}
        present = (
            account.instance
            for account in self.serving.values()
            if not account.sourced or account.instance.id in names
        )
        return compare(present, wanted)

    def configure(self, instance_ids: Iterable[str]) -> None:
        """From now on these belong to the configuration, even if they were sourced before."""
        for instance_id in instance_ids:
            self.account(instance_id).sourced = False

    def _problem_of(self, instance: Instance) -> Problem | None:
        """Why an instance cannot be served, or cannot take the place of the one with its id."""
        place = f"instances.{instance.id}"
        hooks, present = self._hooks.get(instance.channel), self._accounts.get(instance.id)
        if present is not None and instance.id not in self.serving:
            return Problem(place, "is being removed")
        if present is not None and instance.channel != present.instance.channel:
            return Problem(f"{place}.channel", "cannot change; add another instance")
        if hooks is None:
            return self._unserved(instance)
        wrong = hooks.unfit(instance)
        if wrong:
            return Problem(f"{place}.settings", wrong)
        return next(beside_gateway(instance, self._config), None)

    async def remove(
        self,
        instance_id: str,
        *,
        drain: float = 0.0,
        let_go: Callable[[InstanceState], Awaitable[None]] | None = None,
        told: Told = lambda _left: None,
    ) -> list[Undelivered]:
        """Remove an instance after up to `drain` seconds; returns the envelopes left unsent.

        let_go  ends no envelope: the outbox stores the unfinished ones until the instance is back
        told    called with what is returned, while this process still owns the account
        """
        account = self.account(instance_id)
        if not (is_finite(drain) or drain == math.inf) or drain < 0:
            raise ValueError(f"`drain` must be seconds, 0 or more, not {shown(drain)}")
        del self.serving[instance_id]
        try:
            with trio.move_on_after(drain):
                await self.stopping.drained(account)
            await trio.lowlevel.checkpoint()
        except BaseException:
            self.serving[instance_id] = account
            raise
        account.health.remove("remove_instance")
        left: list[Undelivered] = []
        with trio.CancelScope(shield=True):  # from here on there is no way back
            if let_go is None:
                left = await self.stopping.give_up_all(instance_id)
            else:
                await self.stopping.at_rest(account)
                await let_go(account)
        told(left)
        self._take_out(account)
        self._gone[instance_id] = account.hooks
        self._gone.move_to_end(instance_id)
        if len(self._gone) > MOST_GONE:
            self._gone.popitem(last=False)
        for partition in self._partitions:
            partition.scheduler.forget(account)
        return left

    def _take_out(self, account: InstanceState) -> None:
        """Take the account out of memory, and close its sessions."""
        self.stopping.release(account)
        account.sessions.close()
        del self._accounts[account.instance.id]
        self.same_accounts.remove(account.instance)

    def forget(self, accounts: Collection[InstanceState]) -> None:
        """Take idle accounts out of memory; the `instance_source` can give them again."""
        for account in accounts:
            del self.serving[account.instance.id]
            account.health.remove("forget")
            self._take_out(account)
            self._forgotten.setdefault(account.instance.channel, Counts()).add(account.counts)
        for partition in self._partitions:
            partition.scheduler.forget_idle(accounts)

    def suspend(self, instance_id: str, why: str = "by the application") -> None:
        """Let the instance's envelopes wait until `resume`."""
        account = self.account(instance_id)
        if not isinstance(why, str):
            raise TypeError(f"`why` must be a text, not {type(why).__name__}")
        self.stopping.hold(account, why, by_hand=True)

    def restore(self, account: InstanceState, why: str | None) -> None:
        """The account is owned now: suspend it, if an operator has done so, or resume it (None)."""
        if account.unfit:
            return
        if why is not None:
            self.stopping.hold(account, why)
        elif account.health.held:
            account.health.resume(self._clock.now(), "resume")

    def resume(self, instance_id: str) -> None:
        """Let an instance go on where it stopped, whatever suspended or closed it."""
        account, now = self.account(instance_id), self._clock.now()
        account.health.resume(now, "resume")
        self.stopping.lift(account, now)

    async def probe(self, instance_id: str) -> Identity | None:
        """Ask the platform who the instance is. Raises `ProbeFailed`."""
        account = self.account(instance_id)
        if "probe" not in account.hooks.can:
            found: Identity | Verdict | None = Verdict(
                error_class=ErrorClass.NON_RETRYABLE,
                reason=Reason.UNSUPPORTED,
                scope=Scope.OPERATION,
                dispatched="no",
                raw=f"channel {account.instance.channel!r} has no probe",
            )
        else:
            found = await ask_who(account, self._config.attempt_timeout)
        if isinstance(found, Verdict):
            raise ProbeFailed(instance_id=instance_id, verdict=found)
        return found

    def present(self, instance_id: str) -> InstanceState | None:
        """The instance's state, even while it is being removed: it may stay."""
        return self._accounts.get(instance_id)

    def release(self, others: Container[str]) -> None:
        """The process run ends: store what is spent of all limits, except those of `others`."""
        for account in self._accounts.values():
            account.health.remove("close")
        if self._journal is None:
            return
        self._journal.release(ALL, self.wide.standings(self._clock.now()))
        for instance_id, account in self._accounts.items():
            if instance_id not in others:
                self.stopping.release(account)

    def all(self) -> tuple[InstanceState, ...]:
        """Every instance."""
        return tuple(self._accounts.values())

    def channels(self) -> tuple[ChannelHooks, ...]:
        """The hooks of every channel."""
        return tuple(self._hooks.values())

    @property
    def delays(self) -> bool:
        """Whether policies may delay envelopes of any channel."""
        return any("admit" in hooks.served for hooks in self._hooks.values())

    def hooks_of(self, instance_id: str) -> ChannelHooks | None:
        """The hooks of an instance, even of a removed one; None: it was never there."""
        account = self._accounts.get(instance_id)
        return account.hooks if account is not None else self._gone.get(instance_id)

    def account(self, instance_id: str, *, looked_up: bool = False) -> InstanceState:
        """The instance's state. Raises `UnknownInstance`, naming the known ones.

        looked_up  the source was asked for it, if there is a source
        """
        account = self.serving.get(instance_id) if isinstance(instance_id, str) else None
        if account is None:
            known = sorted(islice(self._accounts, MOST_NAMED)) or ["none"]
            more = len(self._accounts) - MOST_NAMED
            names = ", ".join([*known, f"and {more} more"] if more > 0 else known)
            known_as = _SOURCED[looked_up] if self.sourced else "configured"
            text = f"there is no instance {instance_id!r}; {known_as}: {names}"
            raise UnknownInstance([Problem("instance_id", text)])
        return account

    def _account_of(self, instance: Instance) -> InstanceState:
        hooks = self._hooks.get(instance.channel)
        if hooks is None:
            raise ConfigError([self._unserved(instance)])
        if not getattr(instance.settings, "deduplicates", True):
            hooks = hooks.of(instance)
        config = self._config
        began_at = self._clock.now() if self._journal is None else None
        limits = InstanceLimits(instance.id, config.attempts_per_instance, self.wide, began_at)
        health = Health(
            limits,
            Circuit(config.circuit),
            config.circuit,
            can_refresh="credentials" in hooks.can,
            can_probe="probe" in hooks.can,
            serve_waiters=serve_waiters,
            over=functools.partial(_report_end, instance.id),
        )
        account = InstanceState(instance, hooks, self._sessions(hooks, instance), limits, health)
        health.start_probing = functools.partial(self._start_probing, account)
        return account

    def _unserved(self, instance: Instance) -> Problem:
        served = ", ".join(sorted(self._hooks)) or "none"
        text = f"no plugin serves channel {instance.channel!r}; served: {served}"
        return Problem(f"instances.{instance.id}.channel", text)

    def _sessions(self, hooks: ChannelHooks, instance: Instance) -> Sessions:
        config = self._config
        return Sessions(hooks, instance, self._spawn, config.session_idle, config.attempt_timeout)


def _report_end(instance_id: str, trouble: str, by: str) -> None:
    """Report the end of a suspension or of an outage, so that an alert of it ends as well."""
    event = INSTANCE_RESUMED if trouble == "suspension" else CIRCUIT_CLOSED
    log_event(event, instance=instance_id, by=by)
