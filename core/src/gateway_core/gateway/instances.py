"""The verbs of the public face that concern instances: add, replace, remove, suspend, probe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import trio

from gateway_core.accounts.reloading import Reloaded
from gateway_core.backlog.owning.suspensions import Suspensions
from gateway_core.backlog.pager import Pager
from gateway_core.config import GatewayConfig, differing
from gateway_core.contract.envelopes import Undelivered
from gateway_core.contract.errors import NotServing, OutboxError, UnknownInstance
from gateway_core.contract.hookspecs import Identity
from gateway_core.contract.instances import Instance
from gateway_core.engine.instances.instance_registry import InstanceRegistry, Told
from gateway_core.producers.producer import Producer
from gateway_core.sourcing.sourcing import Sourcing
from gateway_core.submission.draft import Drafting
from gateway_core.telemetry import (
    CONFIGURATION_RELOADED,
    INSTANCE_ADDED,
    INSTANCE_REMOVED,
    INSTANCE_REPLACED,
    log_event,
)

GONE = 2.0
"""Seconds within which an instance's owner learns that the source no longer knows the instance. It
is not known whether there is an owner: an instance that no source knows has none."""


class InstanceVerbs:
    """The methods by which an open `Gateway` changes and examines its instances."""

    config: GatewayConfig
    _registry: InstanceRegistry
    _suspensions: Suspensions
    _pager: Pager | None
    _producer: Producer | None
    _drafting: Drafting
    _serves: bool
    _reloading: trio.Lock

    def _check_loop(self) -> None:
        raise NotImplementedError

    def _groups_arrived(self, instance_id: str) -> None:
        raise NotImplementedError

    def _check_serves(self, what: str) -> None:
        """Raises `NotServing` in a process that only hands over."""
        if not self._serves:
            raise NotServing(what)

    def add_instance(self, instance: Instance) -> None:
        """Add an instance. Raises `ConfigError` for a known id or account, or an unknown channel.

        If its settings belong to another channel, it starts suspended; `replace_instance` repairs
        it.
        """
        self._check_serves("add_instance")
        self._registry.same_accounts.check(instance)
        self._add(instance)

    def _add(self, instance: Instance) -> None:
        self._registry.add(instance)
        log_event(INSTANCE_ADDED, instance=instance.id, channel=instance.channel)
        if self._pager is not None:
            self._pager.accounts.serve(instance.id)
            self._groups_arrived(instance.id)

    def replace_instance(self, instance: Instance) -> None:
        """Give a known instance new settings (a new token); if it was suspended, it goes on.

        This changes this process only: other processes have settings of their own. Raises
        `UnknownInstance`, and `ConfigError` if the channel would change or another instance already
        uses the new account.
        """
        self._check_serves("replace_instance")
        self._registry.same_accounts.check(instance)
        self._replace(instance, keep_held=False)

    def _replace(self, instance: Instance, *, keep_held: bool) -> None:
        self._registry.replace(instance, keep_held=keep_held)
        if not keep_held:
            self._suspensions.lifted(instance.id)
        log_event(INSTANCE_REPLACED, instance=instance.id, channel=instance.channel)

    async def reload(self, config: GatewayConfig) -> Reloaded:
        """Serve the instances of `config` from now on, for example after reading its file again.

        This changes this process only: other processes have a configuration of their own.

        New instances are added, those with other settings or secrets are replaced, and missing ones
        are removed after up to `drain_timeout` of `config`. Other instances are not affected. An
        instance that `suspend` holds stays suspended. A durable outbox keeps the unsent envelopes
        of a missing instance until it is there again. Raises `ConfigError` with every mistake, and
        then changes nothing.
        """
        self._check_loop()
        self._check_serves("reload")
        if not isinstance(config, GatewayConfig):
            raise TypeError(f"`config` must be a GatewayConfig, not {type(config).__name__}")
        async with self._reloading:
            changes = self._registry.compare(config.instances)
            for instance in changes.added:  # an instance removed below may have the same account
                self._add(instance)
            for instance in changes.replaced:
                self._replace(instance, keep_held=True)
            names = tuple(instance.id for instance in changes.removed)
            left = await self._remove_all(names, config.drain_timeout)
            self._registry.configure(
                name for instance in config.instances if (name := instance.id) not in names
            )
            reloaded = Reloaded(
                added=tuple(instance.id for instance in changes.added),
                replaced=tuple(instance.id for instance in changes.replaced),
                removed=names,
                restart=differing(self.config, config),
                undelivered=tuple(left),
            )
        fields = ("added", "replaced", "removed", "restart")
        said = {name: ", ".join(getattr(reloaded, name)) for name in fields}
        log_event(CONFIGURATION_RELOADED, **said)
        return reloaded

    async def _remove_all(
        self, names: Sequence[str], drain: float, told: Told = lambda _left: None
    ) -> list[Undelivered]:
        """Remove instances, all at the same time."""
        left: list[Undelivered] = []

        async def remove(name: str) -> None:
            with suppress(UnknownInstance):  # somebody else has removed it
                left.extend(await self._remove(name, drain, keep=True, told=told))

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(remove, name)
        return left

    async def remove_instance(self, instance_id: str, *, drain: float = 0.0) -> list[Undelivered]:
        """Remove an instance, after up to `drain` seconds for its unfinished envelopes.

        Returns the envelopes that ended undelivered. Those that are only in a durable outbox stay
        there until an instance of that id is added again: scheduled ones, those for which there is
        no place in memory, and those that wait for a suspended instance.

        Raises `UnknownInstance`, and `ValueError` if `drain` is no number of seconds. A process
        that only hands over asks the process that delivers, and waits for it.
        """
        self._check_loop()
        await self._drafting.bring(instance_id)
        if self._producer is not None and not self._is_here(instance_id):
            return await self._producer.remove_instance(instance_id, drain)
        return await self._remove(instance_id, drain, keep=False)

    async def _remove_here(self, instance_id: str, drain: float, told: Told) -> None:
        """Do what `remove_instance` does, for a process that asks this one as the account's owner.

        Raises `OutboxError` if another process owns the account by now.
        """
        await self._drafting.bring(instance_id)
        self._check_here(instance_id)
        await self._remove(instance_id, drain, keep=False, told=told)

    def _check_here(self, instance_id: str) -> None:
        if not self._is_here(instance_id):
            raise OutboxError(f"account {instance_id} belongs to another process now")

    def _is_here(self, instance_id: str) -> bool:
        """Whether this process delivers for an instance."""
        return self._pager is not None and self._pager.accounts.has(instance_id)

    async def _remove(
        self, instance_id: str, drain: float, *, keep: bool, told: Told = lambda _left: None
    ) -> list[Undelivered]:
        """`keep`: a durable outbox keeps the unfinished envelopes."""
        let_go = self._pager.accounts.let_go if keep and self._pager is not None else None
        try:
            receipts = await self._registry.remove(
                instance_id, drain=drain, let_go=let_go, told=told
            )
        except BaseException:
            if self._pager is not None and instance_id in self._registry.serving:
                self._pager.accounts.serve_on(instance_id)
            raise
        if self._pager is not None:
            self._pager.accounts.leave_off(instance_id)
        log_event(INSTANCE_REMOVED, instance=instance_id, undelivered=len(receipts))
        return receipts

    async def find_instance(self, instance_id: str, *, anew: bool = False) -> Instance | None:
        """The instance; it is then in memory, for as long as it may idle.

        anew  ask the `instance_source` again: changed settings are used from now on, and an
              instance that the source no longer knows is removed, as `reload` removes a missing
              one. If another process delivers for the instance, it is asked to do the same, and
              this one waits for it

        None: there is no instance of that id. Raises `InstanceSourceError` if the source fails,
        here or in the process that delivers; an instance in memory then stays as it is.
        """
        self._check_loop()
        source = self._drafting.source
        if source is None:
            account = self._registry.serving.get(instance_id)
            return None if account is None else account.instance
        if anew:
            found = await self._find_anew(source, instance_id)
            pager = self._pager
            is_here = pager is not None and pager.accounts.surely_has(instance_id)
            if self._producer is not None and not (found is not None and is_here):
                with trio.move_on_after(GONE if found is None else math.inf):
                    await self._producer.find_anew(instance_id)
            return found
        try:
            async with self._drafting.needing(instance_id):
                return self._registry.account(instance_id).instance
        except UnknownInstance:
            return None

    async def _find_anew(
        self, source: Sourcing, instance_id: str, told: Told = lambda _left: None
    ) -> Instance | None:
        """The instance as this process's source gives it now; here it is used so, or removed."""
        try:
            async with self._drafting.needing(instance_id):
                found = await source.ask_anew(instance_id)
        except UnknownInstance:
            return None
        present = self._registry.serving.get(instance_id)
        if found is None and present is not None and present.sourced:
            await self._remove_all((instance_id,), self.config.drain_timeout, told)
            return None
        return None if present is None else present.instance

    async def _found_anew_here(self, instance_id: str, told: Told) -> Instance | None:
        """What `find_instance` gives, for a process that asks this one as the account's owner.

        told  called if the source no longer knows the account, before that is removed

        Raises `OutboxError` if another process owns the account by now.
        """
        source = self._drafting.source
        if source is None:
            return await self.find_instance(instance_id)
        found = await self._find_anew(source, instance_id, told)
        if found is not None:
            self._check_here(instance_id)
        return found

    def suspend(self, instance_id: str, why: str = "by the application", *, by: str = "") -> None:
        """Let the instance's envelopes wait until `resume`. Raises `UnknownInstance`.

        why  the reason, as the log, policies and `InstanceSuspended` show it
        by   who asks for it, as `gateway outbox stats` shows it

        If the outbox stores suspensions, it does so in the next moments; the suspension then holds
        after a restart as well. If another process owns the account, this one asks that process,
        now or once it is there; if the outbox forbids that, `gateway.suspension_refused` is logged.
        """
        self._check_loop()
        self._suspensions.suspend(instance_id, why, by)

    def resume(self, instance_id: str) -> None:
        """End an instance's suspension and the closures of its limits, whatever caused them.

        If another process owns the account, this one asks that process, as `suspend` does.
        """
        self._check_loop()
        self._suspensions.resume(instance_id)

    async def probe(self, instance_id: str) -> Identity | None:
        """Ask the platform who the instance is. Raises `ProbeFailed` if that fails.

        If the channel has no `probe`, the verdict's reason is `unsupported`.
        """
        self._check_loop()
        self._check_serves("probe")
        await self._drafting.bring(instance_id)
        return await self._registry.probe(instance_id)
