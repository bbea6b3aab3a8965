"""Has policies rewrite each state of a stream, and does so once per state. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from gateway_core.contract.envelopes import Json
from gateway_core.contract.errors import HookContractError, Invalid

State: TypeAlias = tuple[str, Mapping[str, Json] | None]
"""A text, and the platform's own fields that go with it."""
Rewrite: TypeAlias = Callable[[str, Mapping[str, Json] | None], State]
"""What policies make of a state. Raises `HookContractError`, and `Invalid`."""


class Rewritten:
    """Asks policies about each state that is shown.

    fault  why they failed on a state: from then on the last state that they made is shown
    """

    def __init__(self, rewrite: Rewrite, text: str, extra: Mapping[str, Json] | None) -> None:
        self._rewrite = rewrite
        self._asked: State | None = None
        self._made: State = (text, extra)
        self.fault: HookContractError | Invalid | None = None

    def of(self, text: str, extra: Mapping[str, Json] | None) -> State:
        """What is shown for that state. A state without a text has nothing to hide."""
        if not text.strip():
            return text, extra
        asked = self._asked
        if asked is not None and asked[0] == text and asked[1] is extra:
            return self._made
        if self.fault is None:
            try:
                self._made = self._rewrite(text, extra)
                self._asked = (text, extra)
            except (HookContractError, Invalid) as error:
                self.fault = error
        return self._made
