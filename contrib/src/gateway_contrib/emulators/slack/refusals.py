"""Makes Slack's refusals: `ok: false`, a word for the error, and sometimes details."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """An error answer: Slack's word for it, and further fields of the answer."""

    def __init__(self, error: str, *messages: str, **fields: Any) -> None:
        self.error = error
        self.fields: dict[str, Any] = dict(fields)
        if messages:
            self.fields["response_metadata"] = {"messages": [f"[ERROR] {m}" for m in messages]}
        super().__init__(error, *messages)

    @property
    def answer(self) -> dict[str, Any]:
        """The answer's body."""
        return {"ok": False, "error": self.error, **self.fields}
