"""Acts as people on the emulated Slack, and makes the payloads that an app receives.

Source: docs.slack.dev: the message event, slash commands, block_actions and view_submission
payloads. An app has three seconds to answer the request that brings a payload. The code that brings
the payload to the app calls `acknowledge` when the app has answered; without that call, the person
sees the failure that Slack shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import trio

from gateway_contrib.emulators.buttons import mappings, text_or_none
from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.screen import Sight
from gateway_contrib.emulators.slack.content import accepted
from gateway_contrib.emulators.slack.incoming import payloads
from gateway_contrib.emulators.slack.incoming.urls import APP, Urls
from gateway_contrib.emulators.slack.messages import ephemeral, streams
from gateway_contrib.emulators.slack.messages.stored import made, shown, store, thread_of
from gateway_contrib.emulators.slack.world import Channel, World

SOMEBODY = "U0PERSON1"
ACKNOWLEDGED_WITHIN = 3.0
"""Seconds that an app has to answer Slack's request."""


@attrs.define(eq=False)
class People:
    """Users of one emulated workspace."""

    _world: World
    _urls: Urls
    _base: Callable[[], str]
    _made: int = 0
    _waiting: dict[str, tuple[Channel | None, str]] = attrs.field(factory=dict)

    def say(
        self, room: str, text: str, *, user: str = SOMEBODY, thread: str | None = None
    ) -> dict[str, Any]:
        """Let somebody write a message; returns the body of the Events API. `rooms` has it, too.

        Raises Refusal if there is no such conversation.
        """
        channel = self._world.directory.channel(room)
        fields = accepted({"text": text}, self._world)
        if thread is not None:
            fields["thread_ts"] = thread
        message = Message(
            id=self._world.ts(),
            room=channel.id,
            text=text,
            thread=thread_of(self._world, channel, thread),
            fields={**fields, "user": user},
            stored_at=trio.current_time(),
            user=user,
        )
        self._world.rooms.add(message)
        self._world.counters["received"] += 1
        return payloads.event(self._number(), shown(self._world, message), channel, self._posix())

    def command(
        self, room: str, command: str, text: str = "", *, user: str = SOMEBODY
    ) -> dict[str, str]:
        """Let somebody enter a slash command; returns its form's fields, with a response_url."""
        channel = self._world.directory.channel(room)
        url = self._base() + self._urls.response("commands", channel, user, None)
        trigger = self._trigger(
            channel, user, f'{command} failed with the error "operation_timeout"'
        )
        return payloads.command(channel, user, command, text, url, trigger)

    def press(
        self,
        room: str,
        ts: str,
        action_id: str,
        *,
        value: str | None = None,
        block_id: str = "actions",
        user: str = SOMEBODY,
    ) -> dict[str, Any]:
        """Let somebody press a message's button; returns a block_actions payload.

        `value` is by default the value of the message's button with this `action_id`. The message
        may be ephemeral. Raises LookupError if it does not exist.
        """
        channel = self._world.directory.channel(room)
        message = self._message(channel, ts)
        url = self._base() + self._urls.response("actions", channel, user, message)
        trigger = self._trigger(channel, user, "the button shows a warning")
        if value is None:
            value = _value_of(message, action_id)
        action = payloads.action(action_id, block_id, value, self._world.ts())
        return payloads.pressed(
            channel, user, message, shown(self._world, message), action, url, trigger
        )

    def submit(
        self, view: Mapping[str, Any], values: Mapping[str, Any], *, user: str = SOMEBODY
    ) -> dict[str, Any]:
        """Let somebody submit a view; returns a view_submission payload, which has no response_url.

        `values` are the form's `state.values`: by block_id, then by action_id.
        """
        trigger = self._trigger(None, user, "the form shows a connection error")
        return payloads.submitted(view, values, user, trigger)

    def acknowledge(
        self, payload: Mapping[str, Any], body: Mapping[str, Any] | str | None = None
    ) -> None:
        """Note that the app has just answered Slack's request, with a message in `body` or nothing.

        Raises LookupError if the payload expects no answer, or was answered already.
        """
        trigger = payload.get("trigger_id", "")
        channel, user = self._waiting.pop(trigger)
        in_time = self._world.screen.at(("trigger", trigger)) is None
        if not in_time:
            return
        self._world.screen.hide(("trigger", trigger))
        if body and channel is not None:
            self._answer(channel, user, {"text": body} if isinstance(body, str) else body)

    def stop_stream(self, room: str, ts: str) -> None:
        """Let somebody stop a stream. Raises LookupError or ValueError if there is none."""
        streams.stop_by_user(self._message(self._world.directory.channel(room), ts))

    def _answer(self, channel: Channel, user: str, body: Mapping[str, Any]) -> None:
        fields = accepted(body, self._world)
        if body.get("response_type") == "in_channel":
            store(self._world, APP, channel, fields)
        else:
            ephemeral.show(self._world, made(self._world, APP, channel, fields), user)

    def _trigger(self, channel: Channel | None, user: str, failure: str) -> str:
        trigger = f"{self._number()}.{self._made}.trigger"
        since = trio.current_time() + ACKNOWLEDGED_WITHIN
        room = "" if channel is None else channel.id
        sight = Sight(what="failed", room=room, text=failure, user=user, since=since)
        self._world.screen.show(("trigger", trigger), sight)
        self._waiting[trigger] = channel, user
        return trigger

    def _message(self, channel: Channel, ts: str) -> Message:
        message = self._world.rooms.get(channel.id, ts)
        hidden = (m for m in self._world.ephemeral if (m.room, m.id) == (channel.id, ts))
        message = message or next(hidden, None)
        if message is None or message.deleted:
            raise LookupError(f"room {channel.id} has no message {ts}")
        return message

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _posix(self) -> int:
        return int(self._world.clock.posix())


def _value_of(message: Message, action_id: str) -> str:
    """The value of the message's button with this `action_id`; empty if it has none."""
    for block in mappings(message.fields.get("blocks")):
        for element in mappings([*mappings(block.get("elements")), block.get("accessory")]):
            if element.get("action_id") == action_id:
                return text_or_none(element.get("value")) or ""
    return ""
