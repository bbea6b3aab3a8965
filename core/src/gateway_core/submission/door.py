"""The door: accepts or refuses an envelope, in memory or through an outbox, and returns a ticket.

This module waits for a slot if a bound is reached, for the outbox, for an envelope's files, for the
plan of a long text, and for an account that a source gives. It never waits for an adapter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import Envelope, Receipt
from gateway_core.contract.errors import InstanceSuspended, Problem, Refused
from gateway_core.deliveries.growing.growth import Growth
from gateway_core.engine.partition import Partition
from gateway_core.files.fetching import FetchedFiles
from gateway_core.files.keeper import KeptFiles, files_in
from gateway_core.files.looking import FoundFile
from gateway_core.outboxes.records import Request
from gateway_core.sourcing.sourcing import Sourcing
from gateway_core.submission.checks import checked
from gateway_core.submission.draft import Draft, Drafting
from gateway_core.submission.handed.way import HandoverWay
from gateway_core.submission.preview import is_long
from gateway_core.submission.tickets import Ticket


class Way(Protocol):
    """How a draft is accepted: in memory, through an outbox, or by another process."""

    async def accept(self, draft: Draft, *, wait: bool) -> Ticket:
        """Accept the draft, join the envelope that has its key, or raise the reason why not."""
        ...

    def handed_for(self, instance_id: str, /) -> HandoverWay | None:
        """The way for an account that another process delivers for; None: this process does."""
        ...


@attrs.define(eq=False)
class Door:
    """Accepts envelopes, or says why not.

    refused            how many were not accepted, by exception
    refused_elsewhere  how many of these were for instances that are not there
    """

    _drafting: Drafting
    _way: Way
    _partitions: Sequence[Partition]
    _files: KeptFiles
    refused: Counter[str] = attrs.field(factory=Counter, init=False)
    refused_elsewhere: Counter[str] = attrs.field(factory=Counter, init=False)

    def close(self) -> None:
        """Accept nothing more; calls that wait for a slot raise `GatewayClosed`."""
        self._drafting.closed = True
        for partition in self._partitions:
            partition.admission.close()

    async def bring(self, instance_id: Any) -> None:
        """Bring an account into memory, if a source has it. Raises as `submit` does."""
        self._drafting.check_open()
        await self._drafting.bring(instance_id)

    def account(self, instance_id: str) -> InstanceState:
        """The account, if envelopes may be submitted to it. Raises `GatewayClosed`, or why not."""
        self._drafting.check_open()
        return self._drafting.account_for(instance_id)

    def check_open(self) -> None:
        """Raises `GatewayClosed` if the gateway accepts nothing more."""
        self._drafting.check_open()

    async def submit(
        self,
        envelope: Envelope,
        *,
        wait: bool,
        awaited: bool = False,
        growth: Growth | None = None,
        request: Request | None = None,
        comes_in: Callable[[], None] | None = None,
    ) -> Ticket:
        """Accept the envelope, or raise the reason why not.

        Waits only for a slot, for the outbox, and for an `instance_source` that is asked for the
        account. If the envelope has files that the gateway fetches, it waits for these first.

        awaited   the caller waits for the envelope's end
        growth    a stream's growing text
        request   another process's request, which may have given the envelope its id
        comes_in  called once no later envelope can overtake it on its way into the outbox
        """
        if self._drafting.source is None:
            return await self._submit(
                envelope,
                wait=wait,
                awaited=awaited,
                growth=growth,
                request=request,
                comes_in=comes_in,
            )
        how: dict[str, Any] = {
            "growth": growth, "request": request, "awaited": awaited, "comes_in": comes_in,
        }  # fmt: skip
        return await self._submit_sourced(self._drafting.source, envelope, wait=wait, **how)

    async def _submit_sourced(self, source: Sourcing, envelope: Envelope, **how: Any) -> Ticket:
        """Accept the envelope once its account is in memory. Its time counts from this call."""
        since, instance_id = self._drafting.clock.now(), envelope.instance_id
        try:
            self._drafting.check_open()
            waited = await source.use(instance_id)
        except Exception as error:
            self.refuse(envelope, error)
            raise
        try:
            return await self._submit(envelope, since=since if waited else None, **how)
        finally:
            source.leave(instance_id)

    async def _submit(
        self,
        envelope: Envelope,
        *,
        wait: bool,
        awaited: bool,
        growth: Growth | None,
        request: Request | None,
        comes_in: Callable[[], None] | None,
        since: int | None = None,
        fetched: FetchedFiles | None = None,
    ) -> Ticket:
        """Accept an envelope whose account is in memory.

        since    when it began to wait for its account, in engine nanoseconds; None: it did not wait
        fetched  where fetched files are until it is accepted; None: nothing is fetched yet
        """
        fetching = self._files.fetching
        if fetching is not None and fetched is None:
            how: dict[str, Any] = {
                "growth": growth, "request": request, "awaited": awaited, "comes_in": comes_in,
            }  # fmt: skip
            with FetchedFiles() as none_yet:
                return await self._submit(envelope, wait=wait, since=since, fetched=none_yet, **how)
        shown = envelope
        looked: list[FoundFile] = []
        try:
            if getattr(envelope, "files", None):
                self._drafting.check_open()
                envelope = await self._fetch(checked(envelope), fetched)
                if files_in(envelope):
                    envelope, looked = await self._files.look_at(envelope, self._refusal_of)
            asked, shown, account = self._drafting.rewrite(envelope)
            if shown is not asked:
                shown = await self._fetch(shown, fetched)
                if files_in(shown):
                    fits = partial(account.hooks.validate, account.instance)
                    shown, more = await self._files.look_at(shown, fits)
                    looked = _newest(looked, more)
            if is_long(shown):
                draft = await self._drafting.draft_long(asked, shown, account, awaited=awaited)
            else:
                draft = self._drafting.draft(asked, shown, account, awaited=awaited)
            called = since if since is not None or fetched is None else fetched.begun
            draft.called = draft.called if called is None else called
            draft.taken = request is not None
            draft.request = request if request is not None and request.claims else None
            draft.comes_in = comes_in
            if growth is not None:
                self._drafting.grow(draft, growth)
            if looked:
                return await self._accept_with(looked, draft, wait=wait)
            return await self._way.accept(draft, wait=wait)
        except Exception as error:
            self.refuse(shown, error)
            raise

    async def _fetch(self, envelope: Envelope, fetched: FetchedFiles | None) -> Envelope:
        """The envelope with files in place of URLs that its channel refuses, as in `Fetching`."""
        fetching = self._files.fetching
        if fetching is None or fetched is None or not fetching.may_fetch(envelope):
            return envelope
        fetched.begin(self._drafting.clock.now())
        account = self._drafting.account_for(envelope.instance_id)
        fits = partial(account.hooks.validate, account.instance)
        return await fetching.fetched(envelope, fits, fetched)

    def _refusal_of(self, asked: Envelope) -> Sequence[Problem]:
        """The channel's problems with an envelope as policies make it, before files are fetched."""
        _, envelope, account = self._drafting.rewrite(asked)
        return self._files.lasting(envelope, account.hooks.validate(account.instance, envelope))

    async def _accept_with(
        self, looked: Sequence[FoundFile], draft: Draft, *, wait: bool
    ) -> Ticket:
        """Accept a draft with files, once the files' bytes are stored.

        If the draft is not accepted, or joins another envelope, its bytes are released.
        """
        draft.waits_from(self._drafting.clock.now())
        draft.files = tuple(await self._files.store(looked))
        try:
            self._drafting.check_open()  # anything may have changed meanwhile
            self._drafting.look_up_account(draft, slot=False)
            ticket = await self._way.accept(draft, wait=wait)
        except BaseException as error:
            if not draft.delivered or isinstance(error, Exception):  # otherwise it may be stored
                await self._files.release(draft.files)
            raise
        if not draft.delivered:
            await self._files.release(draft.files)
        elif self._files.spool is not None:
            self._files.spool.hold(draft.files, ticket._delivery)  # noqa: SLF001 - a ticket is this package's own
        return ticket

    def hopeless(self, envelope: Envelope, receipt: Receipt) -> InstanceSuspended | None:
        """The error that says not to wait, as the account has never worked; None: it may work."""
        handed = self._way.handed_for(envelope.instance_id)
        if handed is not None:
            return handed.hopeless(receipt)
        account = self._drafting.registry.serving.get(envelope.instance_id)
        if account is None or not self._drafting.is_hopeless(account):
            return None
        why = str(account.health.suspended)
        return InstanceSuspended(instance_id=account.instance.id, why=why)

    def refuse(self, envelope: Envelope, error: Exception) -> None:
        """Count a refusal, also for the account if it is there, and report it to observers."""
        name = type(error).__name__
        self.refused[name] += 1
        told: set[int] = set()
        registry = self._drafting.registry
        try:
            account = registry.account(envelope.instance_id)
        except Refused:
            self.refused_elsewhere[name] += 1
            hear = registry.channels()
        else:
            account.counts.refuse(error)
            hear = (account.hooks,)
        self._drafting.observer.refused(str(envelope.instance_id), name)
        for hooks in hear:
            hooks.after_refusal(envelope, error, told)


def _newest(asked: Sequence[FoundFile], shown: Sequence[FoundFile]) -> list[FoundFile]:
    """The files to send; files that policies left unchanged keep their sources."""
    sources = {each.file.digest: each for each in asked}
    return [each if each.source else sources.get(each.file.digest, each) for each in shown]
