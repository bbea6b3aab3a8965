"""Lists bugs that are put in on purpose, by name, with the words by which each is found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import TypeAlias

import attrs
import pytest
from simulated.world import Violation, simulate

Patch: TypeAlias = Callable[[pytest.MonkeyPatch], None]


@attrs.frozen
class Bug:
    """How a bug is put in, and the words (one of them suffices) with which it is found.

    seen  a seed whose world shows the bug, if the first such world comes late. If that world no
          longer shows it, because worlds are drawn otherwise now, the test takes minutes: note
          another seed
    """

    put: Patch
    words: str
    seen: int | None = None
    make: Callable[[int], object] = simulate

    def violation(self, seeds: Iterable[int]) -> Violation | None:
        """The first violation, in the world that is known to show the bug or in these worlds."""
        known = () if self.seen is None else (self.seen,)
        for seed in chain(known, seeds):
            try:
                self.make(seed)
            except Violation as found:
                return found
        return None

    def expect_found(
        self, monkeypatch: pytest.MonkeyPatch, seeds: Iterable[int], most: int
    ) -> None:
        """Put the bug in, and check that the worlds of at most so many seeds show it."""
        self.put(monkeypatch)
        violation = self.violation(islice(seeds, most))
        assert violation is not None, f"the bug was in {most} worlds, and nobody noticed"
        self.expect_in(violation)

    def expect_in(self, violation: Violation) -> None:
        """Check that the violation is this bug's."""
        told = " / ".join(violation.found)
        assert re.search(self.words, told), f"seed {violation.seed}: {told}"


class Bugs(dict[str, Bug]):
    """Bugs by name; calling this makes a decorator that adds a bug.

    make  makes the world of a seed
    """

    def __init__(self, make: Callable[[int], object] = simulate) -> None:
        super().__init__()
        self._make = make

    def __call__(self, words: str, *, seen: int | None = None) -> Callable[[Patch], Patch]:
        """Add the function below as a bug."""

        def take(put: Patch) -> Patch:
            self[put.__name__] = Bug(put, words, seen, self._make)
            return put

        return take
