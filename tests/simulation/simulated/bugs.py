"""Bugs that are put in on purpose, by name, with the words by which each is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import attrs
import pytest
from simulated.world import Violation

Patch: TypeAlias = Callable[[pytest.MonkeyPatch], None]


@attrs.frozen
class Bug:
    """How it is put in, and the words (one of them) with which it is found."""

    put: Patch
    words: str

    def expect_in(self, violation: Violation) -> None:
        """The violation is this bug's."""
        told = " / ".join(violation.found)
        assert re.search(self.words, told), f"seed {violation.seed}: {told}"


class Bugs(dict[str, Bug]):
    """A list of them; called, it is a decorator that takes one in."""

    def __call__(self, words: str) -> Callable[[Patch], Patch]:
        """Take in the function below."""

        def take(put: Patch) -> Patch:
            self[put.__name__] = Bug(put, words)
            return put

        return take
