"""Bugs that are put in on purpose, by name, with the words by which each is found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TypeAlias

import attrs
import pytest
from amounts import LONG
from simulated.world import Violation, simulate

LATE = 2_000
"""A world that comes so late is looked at first in long runs as well."""

Patch: TypeAlias = Callable[[pytest.MonkeyPatch], None]


@attrs.frozen
class Bug:
    """How it is put in, and the words (one of them) with which it is found.

    seen  a seed whose world shows it, where the first such world comes late
    """

    put: Patch
    words: str
    seen: int | None = None

    def violation(self, seeds: Iterable[int]) -> Violation | None:
        """The first; a long run looks at these worlds before the one that is known to show it."""
        known = () if self.seen is None else (self.seen,)
        first = not LONG or (self.seen or 0) >= LATE
        for seed in chain(known, seeds) if first else chain(seeds, known):
            try:
                simulate(seed)
            except Violation as found:
                return found
        return None

    def expect_in(self, violation: Violation) -> None:
        """The violation is this bug's."""
        told = " / ".join(violation.found)
        assert re.search(self.words, told), f"seed {violation.seed}: {told}"


class Bugs(dict[str, Bug]):
    """A list of them; called, it is a decorator that takes one in."""

    def __call__(self, words: str, *, seen: int | None = None) -> Callable[[Patch], Patch]:
        """Take in the function below."""

        def take(put: Patch) -> Patch:
            self[put.__name__] = Bug(put, words, seen)
            return put

        return take
