"""The verbs that put reactions and pins on messages, and take them off. This module waits."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

from gateway_core.contract.envelopes import Call, OnCancel, Order, Priority, Receipt
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.hookspecs import Mark, MarkKind, Sign
from gateway_core.contract.validators import name_fault, shown
from gateway_core.submission.verbs import Editable, Verbs, build, changing, check_flag


class MarkFields(TypedDict, total=False):
    """The arguments of `react`, `unreact`, `pin` and `unpin` besides the message, as in `edit`.

    order  `none`: do not wait for the room's other queued envelopes
    """

    key: str | None
    ttl: float | None
    deadline: float | None
    priority: Priority
    order: Order
    on_cancel: OnCancel
    raises: bool


class Marks(Verbs):
    """The methods that mark a message: each makes a `Call` of one of the platform's own methods."""

    async def react(self, target: Editable, emoji: str, **fields: Unpack[MarkFields]) -> Receipt:
        """Put the account's reaction on a message; succeeds if it is there already.

        target  a receipt's ref, a ticket, or a `KeyRef`; if the message has several parts, the
                first is used
        emoji   the character, such as "👍", or the platform's name for an emoji of its own

        If an account can have only one reaction at a time, the new one replaces it. Raises
        `Invalid` for a channel without reactions and for an emoji that the channel lacks; the other
        errors and fields are as in `edit`.
        """
        return await self._mark("react", target, fields, emoji=emoji)

    async def unreact(self, target: Editable, emoji: str, **fields: Unpack[MarkFields]) -> Receipt:
        """Remove the account's reaction from a message; succeeds if it is not there. As `react`."""
        return await self._mark("unreact", target, fields, emoji=emoji)

    async def pin(
        self, target: Editable, *, silent: bool = False, **fields: Unpack[MarkFields]
    ) -> Receipt:
        """Pin a message in its room and wait for the end; succeeds if it is pinned already.

        silent  notify nobody, if the platform can

        Raises `Invalid` for a channel without pins; the rest is as in `react`.
        """
        check_flag("silent", silent)
        return await self._mark("pin", target, fields, silent=silent)

    async def unpin(self, target: Editable, **fields: Unpack[MarkFields]) -> Receipt:
        """Unpin a message; succeeds if it is not pinned. As `pin`."""
        return await self._mark("unpin", target, fields)

    async def _mark(
        self,
        what: MarkKind,
        target: Editable,
        fields: MarkFields,
        *,
        emoji: str = "",
        silent: bool = False,
    ) -> Receipt:
        of_message = changing(target)
        if what in ("react", "unreact"):
            _check_emoji(emoji)
        await self._door.bring(of_message["instance_id"])
        sign = self._sign_of(of_message["instance_id"], Mark(what=what, emoji=emoji, silent=silent))
        given: dict[str, Any] = dict(fields)
        on_cancel, raises = given.pop("on_cancel", "withdraw"), given.pop("raises", True)
        call = build(
            Call,
            **of_message,
            thread_id=getattr(of_message["target"], "thread_id", None),
            method=sign.method,
            arguments=sign.arguments,
            repeat_safe=True,
            **given,
        )
        return await self._deliver(call, on_cancel, raises=raises)

    def _sign_of(self, instance_id: str, mark: Mark) -> Sign:
        """The call by which the account's channel makes the mark; `Invalid` if it has none."""
        account = self._door.account(instance_id)
        answer = account.hooks.mark(account.instance, mark)
        if isinstance(answer, Problem):
            raise Invalid([answer])
        if answer is None:
            text = f"channel {account.hooks.channel!r} has no {mark.what}"
            raise Invalid([Problem("operation", text)])
        return answer


def _check_emoji(emoji: object) -> None:
    """Raises `Invalid` for a value that is not an emoji on any channel."""
    if not isinstance(emoji, str):
        raise Invalid([Problem("emoji", f"must be a text, not {shown(emoji)}")])
    if fault := name_fault(emoji):
        raise Invalid([Problem("emoji", fault)])
