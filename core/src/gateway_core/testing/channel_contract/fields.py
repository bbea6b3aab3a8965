"""Tests of buttons and of the platform's own fields: they are sent, or are refused."""

# ruff: noqa: S101, SIM300, ARG002 - these are tests, shipped to authors; a clock is asked for by name

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from gateway_core.contract.beside.buttons import Button, Rows
from gateway_core.contract.envelopes import Edit, MessageRef, Part, PartRef
from gateway_core.contract.instances import Instance
from gateway_core.plugins.front import ChannelHooks
from gateway_core.testing.channel_contract.making import Making, check_failures
from gateway_core.testing.channel_contract.wire import Trial

OWN = {"contractfield": "contractword"}
"""A field that no platform has."""


def _rows(word: str) -> Rows:
    guide = f"https://example.org/{word}guide"
    return ((Button(f"{word}yes", f"{word}value"), Button(f"{word}more", url=guide)),)


class FieldsContract(Making):
    """Tests of `extra`, and of the buttons in it."""

    def test_buttons_are_fields_that_go_as_they_came(
        self, hooks: ChannelHooks, instance: Instance
    ) -> None:
        """`buttons` answers the same each time, with valid fields; no rows remove these fields."""
        rows = _rows("contract")
        shown = hooks.buttons(instance, rows, {})
        assert shown == hooks.buttons(instance, rows, {}), "`buttons` is not pure"
        if isinstance(shown, Mapping):
            assert shown, "`buttons` answers without a field"
            problems = hooks.validate(instance, self._send("hello", extra=shown))
            assert not problems, f"`validate` refuses the fields that `buttons` answers: {problems}"
            assert shown == hooks.buttons(instance, rows, shown), "buttons are added twice"
            assert {} == hooks.buttons(instance, (), shown), "no rows leave buttons"
        check_failures(hooks)

    async def test_the_fields_of_a_message_go_out_or_are_refused(
        self, hooks: ChannelHooks, instance: Instance, clock: object
    ) -> None:
        """The fields of buttons, and any other field that `validate` lets pass in `extra`."""
        part = self._part(hooks, instance)
        async with self._trying(hooks, instance) as trial:
            message_id = None
            for extra, words in self._fields(hooks, instance, "sent"):
                attempt = self._attempt("send", part=part, extra=extra)
                message_id = (await trial.make(attempt, "a message with `extra`")).message_id
                trial.check_out(words, "`extra`", "send")
            if hooks.traits.edit and message_id is not None:
                await self._edit(trial, part, message_id)

    async def _edit(self, trial: Trial, part: Part, message_id: str) -> None:
        """The same for an edit, and for an edit of only the buttons, if the channel takes that.

        An edit of only the buttons has no `part`, unless the part is `repeated`.
        """
        hooks, instance = trial.hooks, trial.instance
        for word, content in (("edited", part), ("alone", part if part.repeated else None)):
            for extra, words in self._fields(hooks, instance, word):
                alone = word == "alone"
                if alone and not self._takes_buttons_alone(hooks, instance, message_id):
                    continue
                attempt = self._attempt("edit", part=content, extra=extra)
                has = "the same" if content else "no"
                what = f"an edit of buttons alone, which has {has} `part`," if alone else "an edit"
                await trial.make(attrs.evolve(attempt, message_id=message_id), what)
                trial.check_out(words, "`extra`", "edit")

    def _takes_buttons_alone(
        self, hooks: ChannelHooks, instance: Instance, message_id: str
    ) -> bool:
        parts = (PartRef(message_id=message_id),)
        ref = MessageRef(
            instance_id="contract", external_room_id=self.room, envelope_id="0" * 30, parts=parts
        )
        edit = Edit(
            instance_id="contract",
            external_room_id=self.room,
            target=ref,
            text="",
            buttons=_rows("alone"),
        )
        return not hooks.validate(instance, edit)

    def _fields(
        self, hooks: ChannelHooks, instance: Instance, word: str
    ) -> list[tuple[Mapping[str, Any], list[str]]]:
        """Fields that the channel takes, and the words in them."""
        found: list[tuple[Mapping[str, Any], list[str]]] = []
        shown = hooks.buttons(instance, _rows(word), {})
        if isinstance(shown, Mapping):
            found.append((shown, [f"{word}yes", f"{word}value", f"{word}more", f"{word}guide"]))
        if word != "alone" and not hooks.validate(instance, self._send("hello", extra=OWN)):
            found.append(({**OWN, "contractword": f"{word}own"}, [*OWN, f"{word}own"]))
        return found
