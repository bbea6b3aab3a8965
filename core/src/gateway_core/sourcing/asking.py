"""Asks the application's callable for an account, and checks the answer.

This module waits: for that callable, as long as the configuration allows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeAlias

import attrs
import trio

from gateway_core.config import SourceSettings
from gateway_core.contract.errors import ConfigError, InstanceSourceError
from gateway_core.contract.instances import Instance
from gateway_core.contract.validators import words_of
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.plugins.boundary import stopped
from gateway_core.sourcing.threads import InThread

InstanceSource: TypeAlias = Callable[[str], Instance | Awaitable[Instance | None] | None]
"""Returns the account for an id; None: there is none."""


@attrs.define(eq=False)
class Asking:
    """Asks the callable for accounts, at most `at_once` at a time."""

    _source: InstanceSource
    _settings: SourceSettings
    _registry: InstanceRegistry
    _turns: trio.CapacityLimiter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._turns = trio.CapacityLimiter(self._settings.at_once)
        if isinstance(self._source, InThread):
            self._source.bound(self._settings.at_once)

    async def ask(self, instance_id: str) -> Instance | None:
        """The account, fit to be served; None: the source knows no account of that id.

        Raises `InstanceSourceError` if the source raised, took too long, or returned something that
        cannot be served.
        """
        found: Any = None
        seconds, began = self._settings.timeout, False
        with trio.move_on_after(seconds) as scope:
            async with self._turns:
                began = True
                found = await self._answer(instance_id)
        if scope.cancelled_caught:
            others = f"; {self._settings.at_once} other look-ups were under way (`at_once`)"
            why = f"no answer within {seconds:g} s{'' if began else others}"
            raise InstanceSourceError(instance_id=instance_id, why=why)
        if found is not None:
            self._check(instance_id, found)
        answer: Instance | None = found
        return answer

    async def _answer(self, instance_id: str) -> Any:
        try:
            answer = self._source(instance_id)
            return await answer if isawaitable(answer) else answer
        except BaseException as raised:  # noqa: BLE001 - the boundary stands here
            error = stopped(raised)
            why = f"it raised {words_of(error)}"
            raise InstanceSourceError(instance_id=instance_id, why=why) from error

    def _check(self, instance_id: str, found: object) -> None:
        """Raises `InstanceSourceError` if it is not this account, or cannot be served."""
        why = ""
        if not isinstance(found, Instance):
            why = f"it returned a {type(found).__name__}, not an Instance"
        elif found.id != instance_id:
            why = f"it returned the instance {found.id!r}"
        else:
            try:
                self._registry.check(found)
            except ConfigError as error:
                why = str(error)
        if why:
            raise InstanceSourceError(instance_id=instance_id, why=why)
