"""Tests that a request has all that an attempt has: its room, its thread, its reply, its text."""

# ruff: noqa: S101, ARG002 - these are tests, shipped to authors; a clock is asked for by name

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import attrs
import pytest

from gateway_core.contract.envelopes import Part
from gateway_core.contract.instances import Instance
from gateway_core.plugins.front import ChannelHooks
from gateway_core.testing.channel_contract.making import Making, texts_in
from gateway_core.testing.channel_contract.wire import Trial

ROOMS = ("contractroom", "7654321", "1100000000000000078")
"""Rooms that would be seen in a request, if the channel has rooms of such a form."""

IDS = ("contractid", "7654322", "1700000000.765432", "1100000000000000079")
"""Ids of messages and threads, likewise."""

ODD = "1100000000000000080/odd?word"
"""A room, or a message's id, that is an address of its own unless it is quoted."""

ODDNESS = "/odd?word"
"""What is odd about it."""


class WholeContract(Making):
    """Tests of what `send`, `edit` and `delete` put into their requests."""

    async def test_a_message_goes_to_its_room_thread_and_reply_or_is_refused(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """`send` uses the attempt's room, thread and reply; `validate` refuses what it cannot."""
        part = self._part(hooks, instance)
        async with self._trying(hooks, instance) as trial:
            sent = await trial.make(self._attempt("send", part=part), "a message")
            ids = [*IDS, *([sent.message_id] if sent.message_id else [])]
            known = sent.message_id
            await self._check_named(trial, part, "room", "external_room_id", [*ROOMS, self.room])
            await self._check_named(trial, part, "thread", "thread_id", ids, known)
            await self._check_named(trial, part, "reply", "reply_to", ids, known)

    async def test_a_text_goes_out_whole(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """Each word of each part is in a request."""
        async with self._trying(hooks, instance) as trial:
            for number, part in enumerate(self._long_plan(hooks, instance, "sent")):
                attempt = self._attempt("send", part=part)
                key = f"{attempt.key[:-1]}{number}"
                await trial.make(attrs.evolve(attempt, key=key), "a part of a text")
                trial.check_out(_words_in(part), "the payload of a text", "send")

    @pytest.mark.usefixtures("editing")
    async def test_an_edit_goes_out_whole_and_names_its_message(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """Each word of the new text is in a request, and so is the message's id."""
        part = self._long_plan(hooks, instance, "edited")[0]
        async with self._trying(hooks, instance) as trial:
            message_id = await self._sent(trial)
            attempt = self._attempt("edit", part=part)
            before = len(trial.wire.sent)
            await trial.make(attrs.evolve(attempt, message_id=message_id), "an edit")
            trial.check_out(_words_in(part), "the payload of an edit", "edit", since=before)
            trial.check_message(message_id, "edit", since=before)

    @pytest.mark.usefixtures("deleting")
    async def test_a_deletion_names_its_message(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """The message's id is in a request of `delete`."""
        async with self._trying(hooks, instance) as trial:
            message_id = await self._sent(trial)
            attempt = attrs.evolve(self._attempt("delete"), message_id=message_id)
            before = len(trial.wire.sent)
            await trial.make(attempt, "a deletion")
            trial.check_message(message_id, "delete", since=before)

    async def test_what_authorises_is_a_secret(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """A setting that goes out in a header such as `authorization` is a `Secret`."""
        settings = instance.settings
        if not attrs.has(type(settings)):
            pytest.skip("the settings are no attrs class")
        plain = {f.name: getattr(settings, f.name) for f in attrs.fields(type(settings))}
        async with self._trying(hooks, instance) as trial:
            await trial.make(self._attempt("send", part=self._part(hooks, instance)), "a message")
            trial.check_heard()
            shown = [
                name
                for name, value in plain.items()
                if isinstance(value, str) and value and any(value in x for x in trial.wire.secret)
            ]
            assert not shown, (
                f"the setting `{shown[0]}` authorises requests, and is a text that logs and errors"
                " show: make it a Secret"
            )

    async def test_what_stands_in_an_address_is_quoted(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """Rooms and ids come from other people: one with `/` or `?` is one word of the address."""
        part = self._part(hooks, instance)
        async with self._trying(hooks, instance) as trial:
            await trial.make(self._attempt("send", part=part), "a message")
            for room in (ODD, f"{self.room}{ODDNESS}", self.room[:1] + ODDNESS + self.room[1:]):
                send = attrs.evolve(self._send("hello"), external_room_id=room)
                if not hooks.validate(instance, send):
                    await self._check_quoted(trial, "send", "attempt.room", part=part, room=room)
            for operation in ("edit", "delete"):
                if operation in hooks.can and getattr(hooks.traits, operation):
                    content = part if operation == "edit" else None
                    await self._check_quoted(
                        trial, operation, "attempt.message_id", part=content, message_id=ODD
                    )

    async def _check_quoted(self, trial: Trial, operation: str, field: str, **given: Any) -> None:
        before = len(trial.wire.sent)
        with suppress(Exception):  # the platform knows no such room or message
            await trial.hooks.perform(
                trial.instance, trial.session, attrs.evolve(self._attempt(operation), **given)
            )
        trial.check_quoted(ODDNESS, f"`{field}`", operation, since=before)

    async def _sent(self, trial: Trial) -> str:
        """The id of the second of three messages: neither the first nor the last is meant."""
        part = self._part(trial.hooks, trial.instance)
        attempt = self._attempt("send", part=part)
        ids = []
        for number in range(3):
            each = attrs.evolve(attempt, key=f"{attempt.key[:-1]}{number}")
            ids.append((await trial.make(each, "a message")).message_id)
        if not ids[1]:
            pytest.skip("the channel's messages have no ids")
        return ids[1]

    async def _check_named(
        self,
        trial: Trial,
        part: Part,
        field: str,
        of_envelope: str,
        markers: Iterable[str],
        known: str | None = None,
    ) -> None:
        """Fails if the first of the markers that the channel takes is in no request of `send`.

        The platform need not know such a room or message, but for its own room and the message
        `known`. Its refusal shows the marker as well.
        """
        failed: Exception | None = None
        for marker in markers:
            asked: dict[str, Any] = {of_envelope: marker}
            given: dict[str, Any] = {field: marker}
            send = attrs.evolve(self._send("hello"), **asked)
            if trial.hooks.validate(trial.instance, send):
                continue
            before = len(trial.wire.sent)
            attempt = attrs.evolve(self._attempt("send", part=part), **given)
            try:
                await trial.make(attempt, "a message")
            except Exception as error:  # noqa: BLE001 - refused, or not to be reached
                if trial.wire.says(marker, since=before):
                    return
                failed = error if marker in (self.room, known) else None
                continue
            trial.check_out([marker], f"`attempt.{field}`", "send", since=before)
            return
        assert failed is None, (
            f"{marker!r} of `attempt.{field}` is in no request, and `send` fails with {failed!r}:"
            " pass it on as it is, or refuse it in `validate`"
        )

    def _long_plan(self, hooks: ChannelHooks, instance: Instance, word: str) -> list[Part]:
        """The plan of a text of many words, or of few if the channel takes no longer text."""
        for count in (300, 5):
            text = " ".join(f"contract{word}{number}end" for number in range(count))
            if not hooks.validate(instance, self._send(text)):
                return list(hooks.chunk(instance, self._send(text), "as_asked"))
        pytest.skip("`validate` refuses a text of five words")


def _words_in(part: Part) -> list[str]:
    found = (word for text in texts_in(part.payload) for word in text.split())
    return [word for word in found if word.startswith("contract") and word.isalnum()]
