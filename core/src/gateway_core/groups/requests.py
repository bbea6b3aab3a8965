"""Answers other processes' requests about groups, as JSON.

This module waits: for the outbox.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from gateway_core.contract.codec import from_json
from gateway_core.contract.envelopes import Envelope, Send
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.groups.job import Job, Progress


class _Face(Protocol):
    """The part of a gateway that this module uses."""

    async def _broadcast(self, template: Send, rooms: object) -> Job: ...
    async def group(self, group_id: str | None = None) -> Job | None: ...


@attrs.define(eq=False)
class GroupRequests:
    """Answers a gateway's operators.

    A request is `{"do": …}` with `broadcast` (`template`: an envelope; `rooms`), or with `pause`,
    `resume`, `cancel`, `retry` or `show` and a `group`. The answer is the group's progress, and for
    `retry` also how many members are tried again.
    """

    _gateway: _Face

    async def answer(self, asked: str) -> str:
        """The answer as JSON. Raises `GatewayError`."""
        plain = _plain(asked)
        done: Any
        if plain["do"] == "broadcast":
            job = await self._gateway._broadcast(  # noqa: SLF001 - this package's own
                _template(plain), plain.get("rooms")
            )
            done = await job.progress()
            return json.dumps({"accepted": job.id, "progress": told(done)})
        found = await self._gateway.group(str(plain.get("group")))
        if found is None:
            raise Invalid([Problem("group", f"{plain.get('group')} is not known")])
        verbs: Mapping[str, Callable[[], Any]] = {
            "show": found.progress,
            "pause": found.pause,
            "resume": found.resume,
            "cancel": found.cancel,
            "retry": found.retry,
        }
        if plain["do"] not in verbs:
            raise Invalid([Problem("do", f"{plain['do']!r} is not an action on groups")])
        done = await verbs[plain["do"]]()
        if isinstance(done, Progress):
            return json.dumps({"progress": told(done)})
        return json.dumps({"retried": done, "progress": told(await found.progress())})


def told(progress: Progress) -> dict[str, Any]:
    """The progress as plain JSON."""
    return attrs.asdict(progress) | {"counts": {str(k): n for k, n in progress.counts.items()}}


def _plain(asked: str) -> dict[str, Any]:
    try:
        plain = json.loads(asked)
    except ValueError as error:
        raise Invalid([Problem("asked", f"is not JSON: {error}")]) from None
    if not isinstance(plain, dict) or not isinstance(plain.get("do"), str):
        raise Invalid([Problem("asked", "does not say what to do")])
    return plain


def _template(plain: Mapping[str, Any]) -> Send:
    found = from_json(Envelope, plain.get("template"))
    if not isinstance(found, Send):
        raise Invalid([Problem("template", "must be a Send")])
    return found
