"""How many cases of the same kind a test run tries: in `make test`, and if `GATEWAY_LONG` is set.

The first cases of a kind find what is broken; more cases find rare faults. CI runs all cases on one
of its Pythons.
"""

import os

import pytest

LONG = bool(os.environ.get("GATEWAY_LONG"))

AMOUNTS = {
    "worlds": (20, 120),
    "worlds of a shared outbox": (4, 60),
    "worlds of accounts that are spread over processes": (3, 12),
    "worlds of accounts that a source gives": (2, 12),
    "worlds of accounts that move": (5, 30),
    "orders over moves": (2, 30),
    "kills at an await": (9, 24),
    "kills of a process": (5, 16),
    "pairs of kills": (6, 20),
    "kills with files in flight": (4, 8),
    "kills of a broadcast": (1, 2),
    "kills of a shared outbox's owner": (0, 4),
    "messages of a room while a standby is promoted": (75, 1_500),
    "fates of an owner while a standby is promoted": (1, 2),
    "kinds of outboxes that are handed over to": (1, 2),
    "characters on one line": (100_000, 1_000_000),
    "mixed texts read by npm's parser": (500, 3_000),
    "drawn texts read by npm's parser": (100, 500),
    "drawn texts read by Telegram's library": (150, 1_000),
    "examples of a law": (30, 100),
    "examples of a law of cuts": (100, 400),
    "examples of a law of the codec": (15, 40),
    "drawn tags read by Telegram's library": (250, 2_000),
    "texts that grow": (30, 300),
    "of three documents drawn for a channel": (1, 3),
    "other seeds of the demo": (1, 2),
    "cases of recovery": (9, 21),
    "codes behind a backlog": (4, 15),
    "stalls": (2, 8),
    "kills while a file is resealed": (2, 4),
    "states of what is sealed anew": (1, 2),
    "answers as the time is over": (15, 50),
    "orders of a stream from elsewhere": (10, 30),
    "worlds whose waits are told": (4, 12),
    "kinds of an hour's outage": (2, 4),
    "kinds of answers at once": (4, 12),
    "numbers of streams that share": (2, 4),
    "of three real texts that grow": (1, 3),
    "stages of the guide's channel": (1, 2),
    "methods of multiprocessing": (2, 3),
    "signals that end a command": (1, 2),
    "commands whose reader leaves": (2, 3),
    "times of Ctrl-C": (1, 2),
    "ends of a loop": (2, 4),
    "ends of a program that blocks": (2, 7),
    "ends of a program that streams": (2, 4),
    "ends behind a server": (3, 12),
    "servers of Django that save": (1, 3),
    "ends of a prefork worker": (1, 3),
    "ends of a moved bot": (2, 8),
    "bots that answer": (2, 6),
    "servers that answer": (2, 9),
    "ends of a whole program": (1, 9),
    "worlds seen by two processes": (3, 12),
    "processes that see them again": (1, 2),
    "signals that stop a demo": (1, 2),
    "environments that channels come and go in": (0, 1),
    "members that are installed alone": (0, 5),
    "rooms of a demo on each platform": (5, 20),
    "numbers of remembered keys": (1, 3),
    "days in memory": (8, 28),
    "days durable": (4, 28),
    "rooms of a broadcast": (2_000, 5_000),
    "seeds of messages in between": (1, 3),
    "odd requests of an emulator": (600, 3_000),
}
"""By kind, how many cases a short run tries, and how many a long run."""


long_run = pytest.mark.long_run
"""Marks a test that a whole short run leaves out, since other tests check the same less closely."""


def one_of_three(names):
    """The names as parameters; a whole short run tries only every third."""
    return [
        pytest.param(each, marks=() if n % 3 == 2 else long_run) for n, each in enumerate(names)
    ]


def amount(kind):
    """How many cases of this kind this run tries."""
    return AMOUNTS[kind][LONG]


def drawn(most):
    """How many documents this run draws if a long run draws `most`."""
    return most * amount("of three documents drawn for a channel") // 3


def left_out(*, whole):
    """Lines that say what a run of the suite, or of a piece, leaves out; none for a long run."""
    if LONG:
        return []
    if not whole:
        return ["short: GATEWAY_LONG=1 looks at more of a kind (tests/shared/amounts.py)"]
    return [
        "short, GATEWAY_LONG=1 makes tests marked `long_run` too, and looks at more of a kind:",
        *(f"  {short:,} of {long:,} {kind}" for kind, (short, long) in AMOUNTS.items()),
    ]
