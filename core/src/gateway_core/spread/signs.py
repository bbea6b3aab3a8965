"""Shows signs of typing, in this process or at the account's owner. Never waits."""

from __future__ import annotations

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.answering.handed import HandedTyping
from gateway_core.answering.typing import Typed, Typing
from gateway_core.backlog.pager import Pager
from gateway_core.contract.addresses import Address


@attrs.define(eq=False)
class SpreadTyping:
    """Does what `Typing` does, for each account here or at its owner."""

    _pager: Pager
    _here: Typing
    _elsewhere: HandedTyping

    def begin(self, account: InstanceState, address: Address) -> Typed | None:
        """Show that an answer is being written; None: it is not shown."""
        if self._pager.accounts.owns(account):
            return self._here.begin(account, address)
        return self._elsewhere.begin(account, address)
