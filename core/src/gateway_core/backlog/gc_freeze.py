"""Spares the garbage collector looking over and over at what a restart brings in.

A full pass of the collector looks at everything that lives, and one comes whenever there is a
quarter more of it: with 100,000 envelopes those passes were a fourth of all that bringing them in
took. What comes in lives until it is sent. So it goes to the oldest generation at once, unlooked
at; the next full pass that comes by itself finds what is garbage.
"""

from __future__ import annotations

import gc


class GcFreeze:
    """From the opening until memory is full for the first time, or all is in.

    Nothing is done where the application has switched the collector off, or has frozen what it
    has: that would be thawed.
    """

    def __init__(self) -> None:
        self.over = False

    def came(self) -> None:
        """A page came in."""
        if self.over or not gc.isenabled() or gc.get_freeze_count():
            self.over = True
            return
        gc.freeze()
        gc.unfreeze()
