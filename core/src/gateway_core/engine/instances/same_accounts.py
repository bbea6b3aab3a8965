"""Knows which instance serves each account of a platform: two must not serve the same one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.config import account_of, same_account
from gateway_core.contract.errors import ConfigError
from gateway_core.contract.instances import Instance


@attrs.define(eq=False)
class SameAccounts:
    """Finds the instance that serves an account already.

    _ids  ids of the served instances, by their accounts; None: nobody has asked yet
    """

    _serving: Mapping[str, InstanceState]
    _ids: dict[Any, str] | None = None

    def check(self, instance: Instance) -> None:
        """Raises `ConfigError` if another instance serves the same account already."""
        other = self._other(instance) if isinstance(instance, Instance) else None
        if other is not None and (problems := [*same_account(instance, [other.instance])]):
            raise ConfigError(problems)

    def _other(self, instance: Instance) -> InstanceState | None:
        """Another served instance of the same account; None: there is none."""
        if self._ids is None:
            self._ids = {}
            for account in self._serving.values():
                self.add(account.instance)
        key = account_of(instance)
        name = None if key is None else self._ids.get(key)
        return None if name is None or name == instance.id else self._serving.get(name)

    def add(self, instance: Instance) -> None:
        """Note that this instance serves its account, unless another one does already."""
        if self._ids is not None and (key := account_of(instance)) is not None:
            self._ids.setdefault(key, instance.id)

    def remove(self, instance: Instance) -> None:
        """Note that this instance no longer serves its account."""
        if self._ids is None:
            return
        key = account_of(instance)
        if key is not None and self._ids.get(key) == instance.id:
            del self._ids[key]
