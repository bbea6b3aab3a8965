"""Keeps the pace that a careful application keeps by itself. Standard library only.

The numbers are those of the platforms' documentation. Telegram: one message a second in a chat, and
30 a second in total (core.telegram.org/bots/faq). Slack: one message a second in a channel
(docs.slack.dev/apis/web-api/rate-limits). Discord: 50 requests a second in total
(docs.discord.com/developers/topics/rate-limits), and five in five seconds in a channel, as its
answers say.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the peers' loop; the gateway's own process does not import this

ACCOUNTS = {"telegram": 30.0, "slack": None, "discord": 50.0}
"""How many messages an account may send per second."""

ROOMS = {"telegram": 1.0, "slack": 1.0, "discord": 1.0}
"""Seconds between two messages of a room."""


def room_pause(channel: str) -> float:
    """Seconds that a room's loop sleeps after each answer."""
    return ROOMS[channel]


class Pace:
    """Gives evenly spaced turns, at most `per_second`; None: every turn is given at once."""

    def __init__(self, per_second: float | None) -> None:
        self._gap = 1.0 / per_second if per_second else 0.0
        self._next = 0.0

    @classmethod
    def of_account(cls, channel: str) -> Pace:
        return cls(ACCOUNTS[channel])

    async def turn(self) -> None:
        """Wait for the next free turn."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + self._gap
        await asyncio.sleep(turn - now)
