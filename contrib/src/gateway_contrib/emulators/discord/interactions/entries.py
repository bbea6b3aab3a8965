"""Holds an interaction: what a person did, its token, and what the person saw of the answer.

Source: discord.com/developers/docs/interactions/receiving-and-responding.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

import attrs
import trio

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.screen import Screen, Sight

LIFE = 900.0
"""Seconds for which an interaction's token is valid."""

ACKNOWLEDGED_WITHIN = 3.0
"""Seconds within which a bot may give the first answer."""

EPHEMERAL = 1 << 6
LOADING = 1 << 7

FAILED = "The application did not respond"
THINKING = "thinking…"
_PLACEHOLDERS = ("failed", "thinking", "form")


class Kind(IntEnum):
    """What the person did."""

    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4
    MODAL = 5


@attrs.frozen
class Seen:
    """What the person saw from a moment on; `ephemeral`: nobody else saw it."""

    at: float
    text: str
    ephemeral: bool


@attrs.define(eq=False, kw_only=True)
class Interaction:
    """A bot may answer it for a quarter of an hour, for the first time within three seconds.

    event        the event as the gateway sends it; its `d` is the body of the HTTP request
    application  the id in the path of its webhook routes
    pressed      the message of the button or form; None: it came from no message
    original     the message of the first answer, `@original`
    loading      the answer was deferred, and `original` is still to come
    modal        the form that the bot answered with
    choices      the bot's suggestions to somebody who types
    """

    id: str
    token: str
    room: str
    user: str
    kind: Kind
    application: str
    screen: Screen
    made_at: float = attrs.field(factory=trio.current_time)
    event: dict[str, Any] = attrs.field(factory=dict)
    acknowledged: bool = False
    acknowledged_at: float | None = None
    ephemeral: bool = False
    loading: bool = False
    pressed: Message | None = None
    original: Message | None = None
    modal: dict[str, Any] | None = None
    choices: list[Any] | None = None
    _parts: list[tuple[Message, int]] = attrs.field(factory=list)
    _sights: list[Sight] = attrs.field(factory=list)
    _clock: trio.abc.Clock = attrs.field(factory=trio.lowlevel.current_clock)

    def __attrs_post_init__(self) -> None:
        self._fail_at(self.made_at + ACKNOWLEDGED_WITHIN)

    @property
    def live(self) -> bool:
        """True while its token is valid."""
        return trio.current_time() - self.made_at <= LIFE

    @property
    def answerable(self) -> bool:
        """True while a first answer may be given."""
        late = trio.current_time() - self.made_at > ACKNOWLEDGED_WITHIN
        return self.acknowledged or not late

    def acknowledge(self) -> None:
        """Note the first answer, and take away the failure that its absence would show."""
        self.acknowledged, self.acknowledged_at = True, trio.current_time()
        self.hide()

    def think(self) -> None:
        """Show that the answer is deferred, until the answer comes or the token ends."""
        self.loading = True
        end = self.made_at + LIFE
        self._show("thinking", THINKING, until=end)
        self._fail_at(end)

    def ask(self, title: str) -> None:
        """Show the person a form."""
        self._show("form", title)

    def hide(self) -> None:
        """Hide what was shown instead of an answer."""
        self.screen.hide(*(("interaction", self.id, what) for what in _PLACEHOLDERS))

    def adopt(self, message: Message) -> None:
        """Make the message a part of the answer from now on; its texts until now are not."""
        before = len(message.states) if message is self.pressed else 0
        self._parts.append((message, before))

    @property
    def messages(self) -> list[Message]:
        """The messages that the answer consists of, oldest first."""
        return [message for message, _ in self._parts]

    def seen(self) -> list[Seen]:
        """What the person saw so far, oldest first: failures, "thinking…", forms, and texts.

        A test may call it in any thread, so it asks the clock itself for the time.
        """
        now = self._clock.current_time()
        passing = [
            Seen(sight.since, sight.text, sight.user is not None)
            for sight in self._sights
            if sight.since <= now and sight.since < sight.until
        ]
        texts = [
            Seen(at, text, bool((message.fields.get("flags") or 0) & EPHEMERAL))
            for message, before in self._parts
            for at, text in message.states[before:]
        ]
        return sorted([*passing, *texts], key=lambda seen: seen.at)

    def _fail_at(self, moment: float) -> None:
        self._show("failed", FAILED, since=moment)

    def _show(
        self, what: str, text: str, *, since: float | None = None, until: float = math.inf
    ) -> None:
        # Only the person sees a failure or a form.
        alone = self.ephemeral or what != "thinking"
        sight = Sight(
            what=what,
            room=self.room,
            text=text,
            user=self.user if alone else None,
            since=trio.current_time() if since is None else since,
            until=until,
        )
        self._sights.append(sight)
        self.screen.show(("interaction", self.id, what), sight)
