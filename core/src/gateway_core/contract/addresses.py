"""Where an incoming event came from, and by what it may be answered: immutable values."""

from __future__ import annotations

from typing import Literal

import attrs

from gateway_core.contract.instances import Secret

Asked = Literal["command", "press", "form"]
"""What a person did: called a command, pressed a button or chose from a menu, sent a form."""


@attrs.frozen(kw_only=True)
class Interaction:
    """The right to answer an interaction: a command, a pressed button, a form that was sent.

    token     what the platform knows the interaction by: a token, or a URL that holds one. Whoever
              has it can answer in the application's name until it ends
    id        the interaction's own id, where it is acknowledged by that; else empty
    app_id    the application that was asked, where answers name it; else empty
    asked     what the person did: `command`, `press` or `form`
    lasts     seconds from the interaction after which the token is worth nothing
    ends      POSIX time of that; None, as an adapter answers where the event does not say when it
              was made: `lasts` after it is resolved
    by_token  answers are given by the token; False: it only acknowledges, and answers go to the
              room
    edits     an answer that was given by the token can be edited by it
    answer    which of the interaction's answers the message is, from 0: the first may take the
              place of the acknowledgement
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
    reply_to          the message that an answer refers to; None: none, or answers do not
    message_id        the message that the event is, or that something happened to, by the
                      platform's id, also where answers do not refer to it; None: there is none
    key               the event's own id, the same in each delivery of it; None: it has none
    user_id           who caused it, by the platform's id; None: nobody, or it does not say
    team_id           the workspace (Slack) or server (Discord); None: none, or it does not say
    direct            it is a conversation of one person with the account
    interaction       the reply token, where the event is a command, a press or a form
    pressed           the value of the button that was pressed; None: none was, or it has none
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
