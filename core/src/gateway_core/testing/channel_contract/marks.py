"""Tests of reactions and pins: each goes out, and says what was asked for."""

# ruff: noqa: S101, ARG002 - these are tests, shipped to authors; a clock is asked for by name

from __future__ import annotations

from contextlib import suppress
from typing import get_args

import attrs
import pytest

from gateway_core.contract.hookspecs import Mark, MarkKind, Sign
from gateway_core.contract.instances import Instance
from gateway_core.plugins.front import ChannelHooks
from gateway_core.testing.channel_contract.making import Making
from gateway_core.testing.channel_contract.wire import Trial

ONE, OTHER = "👍", "🔥"


class MarksContract(Making):
    """Tests of the calls that `mark` answers."""

    @pytest.mark.usefixtures("marking")
    async def test_a_mark_goes_out(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """Each kind of mark makes a request, and two emoji make different ones."""
        async with self._trying(hooks, instance) as trial:
            attempt = self._attempt("send", part=self._part(hooks, instance))
            message_id = (await trial.make(attempt, "a message")).message_id
            if not message_id:
                pytest.skip("the channel's messages have no ids")
            for what in get_args(MarkKind):
                emoji = ONE if what in ("react", "unreact") else ""
                sent = await self._marked(trial, message_id, Mark(what=what, emoji=emoji))
                if sent is not None:
                    assert sent, (
                        f"`call` makes no request for {what}: make it, or answer None in `mark`"
                    )
            one, other = [
                await self._marked(trial, message_id, Mark(what="react", emoji=emoji))
                for emoji in (ONE, OTHER)
            ]
            assert one is None or one != other, (
                f"`call` makes the same request for {ONE} and {OTHER}: take the emoji from"
                " `attempt.arguments`"
            )

    async def _marked(self, trial: Trial, message_id: str, mark: Mark) -> bytes | None:
        """What went out for the mark; None: the channel does not have it."""
        sign = trial.hooks.mark(trial.instance, mark)
        if not isinstance(sign, Sign):
            return None
        attempt = attrs.evolve(
            self._attempt(f"call:{sign.method}"), message_id=message_id, arguments=sign.arguments
        )
        trial.check_heard()
        before = len(trial.wire.sent)
        with suppress(Exception):  # the platform may not know the mark
            await trial.hooks.perform(trial.instance, trial.session, attempt)
        return bytes(trial.wire.sent[before:])
