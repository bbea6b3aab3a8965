"""Tests of the hooks that await the platform: sends, edits, deletions, probes."""

# ruff: noqa: S101, SIM300, ARG002 - these are tests, shipped to authors; a clock is asked for by name

from __future__ import annotations

import copy

import attrs
import pytest
import trio

from gateway_core.contract.envelopes import MessageRef
from gateway_core.contract.hookspecs import Identity
from gateway_core.contract.instances import Instance
from gateway_core.plugins.front import ChannelHooks
from gateway_core.testing.channel_contract.making import Making


class AwaitingContract(Making):
    """Tests that send to the platform of these tests."""

    @pytest.mark.usefixtures("addressing")
    async def test_an_event_is_answered_once(self, clock: object) -> None:
        """`reply` finds the account by the event; for a second delivery, the first answer."""
        async with self._gateway() as gateway:
            first = await gateway.reply(copy.deepcopy(self.event), "hello", ttl=600)
            again = await gateway.reply(copy.deepcopy(self.event), "hello", ttl=600)
        assert first.envelope_id == again.envelope_id, (
            "an event that is delivered again is answered again: `address` must return the same"
            " `key` for it"
        )

    async def test_a_message_is_sent_edited_and_taken_back(
        self, hooks: ChannelHooks, clock: object
    ) -> None:
        """As far as the channel's traits say that it can edit and delete."""
        async with self._gateway() as gateway:
            receipt = await gateway.send("contract", self.room, "first", ttl=600)
            ref = receipt.ref
            assert ref is not None, "the receipt of a message has no ref"
            if hooks.traits.edit:
                edited = (await gateway.edit(ref, "other", ttl=600)).ref
                assert edited is not None, "the receipt of an edit has no ref"
                assert 1 == edited.revision, "the ref of an edited message has its revision"
                self._check_ids(ref, edited)
            if hooks.traits.delete:
                gone = await gateway.delete(ref, ttl=600)
                assert gone.delivered, f"the deletion ended {gone.disposition}"

    def _check_ids(self, sent: MessageRef, edited: MessageRef) -> None:
        for before, after in zip(sent.parts, edited.parts, strict=False):
            assert before.message_id == after.message_id or self.edits_give_new_ids, (
                f"`edit` answers message_id={after.message_id!r} for the message"
                f" {before.message_id!r}, so the next edit and the deletion would go to"
                f" {after.message_id!r}: answer attempt.message_id, or none. If the platform gives"
                " an edited message a new id, set `edits_give_new_ids` in the class of these tests"
            )

    async def test_each_part_has_an_id_of_its_own(self, long_text: str, clock: object) -> None:
        """Otherwise an edit would change another message."""
        async with self._gateway() as gateway:
            receipt = await gateway.send("contract", self.room, long_text, ttl=3600)
        assert receipt.ref is not None, "the receipt of a message has no ref"
        ids = [part.message_id for part in receipt.ref.parts]
        assert len(ids) == len(set(ids)) == len(receipt.parts), (
            f"`send` answers the ids {ids} for {len(receipt.parts)} parts: each message has its own"
        )

    @pytest.mark.usefixtures("deduplicating")
    async def test_a_repeated_key_is_one_message_where_the_traits_say_so(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """So a retry makes no duplicate."""
        attempt = self._attempt("send", part=self._part(hooks, instance))
        async with self._session(hooks, instance) as session:
            first = await hooks.perform(instance, session, attempt)
            again = await hooks.perform(instance, session, attrs.evolve(attempt, number=2))
        assert first.message_id == again.message_id, (
            f"a send that is repeated with its key makes another message, {again.message_id!r}"
            f" after {first.message_id!r}: pass on `attempt.key`, or leave `deduplicates_for`"
            " out of `traits`"
        )

    async def test_a_cancelled_attempt_ends_there(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """The adapter lets trio's cancellation pass through."""
        attempt = self._attempt("send", part=self._part(hooks, instance))
        async with self._session(hooks, instance) as session:
            with trio.CancelScope() as scope:
                scope.cancel()
                await hooks.perform(instance, session, attempt)
        assert scope.cancelled_caught, (
            "`send` finishes although it is cancelled: let trio.Cancelled pass through"
        )

    @pytest.mark.usefixtures("probing")
    async def test_it_knows_who_it_is(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """`probe`, if the adapter has it, returns an identity; a probe can end a suspension."""
        async with self._session(hooks, instance) as session:
            identity = await hooks.probe(instance, session)
            assert isinstance(identity, Identity), f"`probe` answers {identity!r}, not an Identity"
