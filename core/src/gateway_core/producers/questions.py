"""Answers the questions of processes that only hand over, as JSON. Waits for the outbox."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from gateway_core.contract.codec import from_json, to_json
from gateway_core.contract.envelopes import Envelope, Priority, Send, Undelivered
from gateway_core.contract.errors import Problem, UnknownInstance
from gateway_core.contract.instances import Instance
from gateway_core.deliveries.remembered import Scope
from gateway_core.engine.instances.instance_registry import Told
from gateway_core.groups.job import Job
from gateway_core.groups.registry import Groups
from gateway_core.outboxes.records import GroupState, Request, Suspension
from gateway_core.producers.asked import question
from gateway_core.producers.written import WrittenElsewhere
from gateway_core.submission.handed.files import check_files
from gateway_core.submission.handed.lookup import told
from gateway_core.submission.lookup import Lookup


class Face(Protocol):
    """The methods of a gateway that the answers need."""

    _groups: Groups

    @property
    def _written(self) -> WrittenElsewhere: ...
    def _shows_typing(self, instance_id: str, told: Mapping[str, Any], ago: float) -> None: ...
    async def _broadcast(self, template: Send, rooms: object) -> Job: ...
    async def submit_many(  # noqa: D102 - likewise
        self,
        envelopes: Sequence[Envelope],
        *,
        group: str | None,
        not_before: float | None,
        priority: Priority,
    ) -> Job: ...
    async def _found_anew_here(self, instance_id: str, told: Told) -> Instance | None: ...
    async def _remove_here(self, instance_id: str, drain: float, told: Told) -> None: ...
    async def _suspended_elsewhere(
        self, instance_id: str, suspension: Suspension | None, request: Request
    ) -> None: ...


Answer = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


@attrs.define(eq=False)
class Questions:
    """Answers for a gateway that owns the outbox.

    here     finds envelopes in this process and its outbox
    request  asks the question. Its `instance_id` is the only account that the question may be
             about, since the asking process may send only as this account; empty: any account
    age      seconds since the question was asked
    tell     gives an answer before the end of `answer`: nothing can be told about an account once
             this process does not own it any more. What is told after that is ignored
    """

    _gateway: Face
    _here: Lookup
    _request: Request
    _age: float
    _tell: Callable[[str], None]

    @property
    def _instance_id(self) -> str:
        return self._request.instance_id

    async def answer(self) -> str:
        """Answer the question, as `Asking` reads it. Raises `GatewayError`."""
        plain = question(self._request.asked)
        answers: Mapping[str, Answer] = {
            "status": self._status,
            "grow": self._grow,
            "typing": self._types,
            "broadcast": self._broadcast,
            "submit_many": self._submit_many,
            "group": self._group,
            "groups": self._listed,
            "failed": self._failed,
            "pause": self._held,
            "resume": self._held,
            "cancel": self._held,
            "retry": self._retry,
            "find_instance": self._find_anew,
            "remove_instance": self._remove,
            "suspension": self._suspend,
        }
        return json.dumps(await answers[plain["do"]](plain))

    def _check(self, instance_id: str) -> None:
        """Raises `UnknownInstance` for an account as which the asking process may not send."""
        if self._instance_id not in ("", instance_id):
            text = f"the question is about instance {self._instance_id!r}, not {instance_id!r}"
            raise UnknownInstance([Problem("instance_id", text)])

    async def _status(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        instance_id = self._instance_id
        if instance_id and not await self._here.is_of(asked["id"], instance_id):
            return told(None)
        return told(await self._here.status(asked["id"]))

    async def _grow(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return await self._gateway._written.hear(self._instance_id, asked, self._age)  # noqa: SLF001 - this package's own

    async def _types(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._gateway._shows_typing(self._instance_id, asked, self._age)  # noqa: SLF001 - likewise
        return {}

    # -- groups

    @property
    def _groups(self) -> Groups:
        return self._gateway._groups  # noqa: SLF001 - this package's own

    async def _broadcast(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        template = from_json(Send, asked["template"])
        self._check(template.instance_id)
        check_files([template], self._request.files)
        job = await self._gateway._broadcast(template, asked["rooms"])  # noqa: SLF001 - likewise
        return _one(await self._groups.state(job.id))

    async def _submit_many(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        envelopes = [from_json(Envelope, each) for each in asked["envelopes"]]
        for each in envelopes[:1]:  # the others are of the same account, or are refused
            self._check(each.instance_id)
        check_files(envelopes, self._request.files)
        job = await self._gateway.submit_many(
            envelopes,
            group=asked["group"],
            not_before=asked["not_before"],
            priority=asked["priority"],
        )
        return _one(await self._groups.state(job.id))

    async def _group(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        what: str | Scope = asked["what"]
        if not isinstance(what, str):
            instance, room, operation, key = what
            what = (instance, room, operation, key)
        return _one(await self._state(what))

    async def _state(self, what: str | Scope) -> GroupState | None:
        """The group's state; None: unknown, or the asking process may not know of the group."""
        state = await self._groups.state(what)
        if state is None or self._instance_id in ("", state.group.instance_id):
            return state
        return None

    async def _listed(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._check(asked["instance"])
        page = {"after": asked["after"], "limit": asked["limit"]}
        found = await self._groups.store.groups(asked["instance"], **page)
        return {"groups": [to_json(each) for each in found]}

    async def _failed(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if await self._state(asked["group"]) is None:
            return {"receipts": []}
        page = {"after": asked["after"], "limit": asked["limit"]}
        found = await self._groups.store.failed(asked["group"], **page)
        return {"receipts": [to_json(each) for each in found]}

    async def _held(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if await self._state(asked["group"]) is None:
            return _one(None)
        if asked["do"] == "cancel":
            return _one(await self._groups.cancel(asked["group"]))
        paused = asked["do"] == "pause"
        return _one(await self._groups.pause(asked["group"], paused=paused))

    async def _retry(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if await self._state(asked["group"]) is None:
            return {"retried": 0}
        return {"retried": await self._groups.retry(asked["group"])}

    # -- instances

    async def _find_anew(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._check(asked["instance"])

        def told(_left: object) -> None:
            self._tell(json.dumps({"found": False}))

        found = await self._gateway._found_anew_here(asked["instance"], told)  # noqa: SLF001 - this package's own
        return {"found": found is not None}

    async def _remove(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._check(asked["instance"])
        answer: dict[str, Any] = {}

        def told(left: Sequence[Undelivered]) -> None:
            undelivered = [[to_json(each.envelope), to_json(each.receipt)] for each in left]
            answer["undelivered"] = undelivered
            self._tell(json.dumps(answer))

        await self._gateway._remove_here(asked["instance"], asked["drain"], told)  # noqa: SLF001 - this package's own
        return answer

    async def _suspend(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Suspend the account, or resume it."""
        self._check(asked["instance"])
        told = asked["suspension"]
        suspension = None if told is None else Suspension(**told)
        await self._gateway._suspended_elsewhere(asked["instance"], suspension, self._request)  # noqa: SLF001 - likewise
        return {"suspended": suspension is not None}


def _one(state: GroupState | None) -> dict[str, Any]:
    return {"group": None if state is None else to_json(state)}
