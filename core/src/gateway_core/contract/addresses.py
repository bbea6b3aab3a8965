"""Says where an incoming event came from, and what may answer it: immutable values."""

from __future__ import annotations

from typing import Literal

import attrs

from gateway_core.contract.instances import Secret

Asked = Literal["command", "press", "form"]
"""What a person did: called a command, pressed a button or chose from a menu, sent a form."""


@attrs.frozen(kw_only=True)
class Interaction:
    """The right to answer an interaction: a command, a pressed button, a form that was sent.

    token     the platform's token for the interaction, or a URL with one. Anybody who has it can
              answer in the application's name until it expires
    id        the interaction's own id, if it is acknowledged by id; else empty
    app_id    the application's id, if answers name it; else empty
    asked     what the person did: `command`, `press` or `form`
    lasts     seconds from the interaction after which the token is invalid
    ends      POSIX time when the token becomes invalid; None (an adapter's answer if the event has
              no time): `lasts` after the event is resolved
    by_token  answers use the token; False: the token only acknowledges, and answers go to the room
    edits     the token can edit an answer that was sent with it
    answer    the number of the answer, from 0; the first answer may replace the acknowledgement
    """

    token: Secret
    id: str = ""
    app_id: str = ""
    asked: Asked = "command"
    lasts: float = 900.0
    ends: float | None = None
    by_token: bool = True
    edits: bool = False
    answer: int = 0


@attrs.frozen(kw_only=True)
class Address:
    """Where an incoming event came from, ready for a `Send` that answers it.

    external_room_id  the conversation
    thread_id         the thread or topic in it; None: the room itself
    reply_to          the message that an answer quotes; None: there is none, or answers do not
                      quote
    message_id        the platform's id of the message that the event is or concerns, even if
                      answers do not quote it; None: there is none
    key               the event's own id, the same whenever the event is delivered again; None: the
                      event has none
    user_id           the platform's id of the person who caused the event; None: nobody, or unknown
    team_id           the workspace (Slack) or server (Discord); None: none, or unknown
    direct            the room is a direct conversation between one person and the account
    interaction       the reply token, if the event is a command, a button press or a form
    pressed           the value of the button that was pressed; None: no button, or it has no value
    """

    external_room_id: str
    thread_id: str | None = None
    reply_to: str | None = None
    key: str | None = None
    user_id: str | None = None
    team_id: str | None = None
    direct: bool = False
    message_id: str | None = None
    interaction: Interaction | None = None
    pressed: str | None = None
