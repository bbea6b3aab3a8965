"""Writes one line as runs: stretches of one style, each written by itself. Sans-I/O.

Most lines need less (see `replacements`). Runs are for lines in which spans touch or nest deeper,
and for a line in which a part begins or ends, if that changes more than the line's edge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from gateway_plugin_discord.rendering.dialect import (
    APART,
    CLOSERS,
    MARKS,
    STRUCK,
    Mark,
    code,
    escaping,
)
from gateway_plugin_discord.rendering.spans import Look

_STYLES: Final = frozenset(MARKS.values())

_new: Final = tuple.__new__
"""Makes a named tuple, in a third of the time that its class takes."""


class Run(NamedTuple):
    """`start..end` of the visible text, which `write` writes, in the marks of `stack`.

    stack  the run's marks, the outermost first
    """

    start: int
    end: int
    write: Callable[[str], str]
    stack: tuple[Mark, ...] = ()

    def opened(self, since: int = 0) -> str:
        """The opening of the run's marks, except the `since` outermost."""
        return "".join([mark[0] for mark in self.stack[since:]]) if self.stack else ""

    def closed(self, since: int = 0) -> str:
        """The closing of the run's marks, except the `since` outermost."""
        return "".join([mark[1] for mark in self.stack[since:][::-1]]) if self.stack else ""


_Stretch: TypeAlias = tuple[int, int, Sequence[Look]]
"""A stretch whose characters are in the same spans; the outermost span is first."""


def runs_of(
    text: str, place: tuple[int, int], looks: Sequence[Look], bold: Mark | None, *, mentions: bool
) -> list[Run]:
    """The runs of the line at `place`; at least one.

    looks  the looks of the spans with characters in the line, the outermost first
    bold   the mark around the whole line; looks with the same mark are left out

    White space between two styles has the marks that both have.
    """
    low, high = place
    around = (bold,) if bold and low < high else ()
    escape = escaping(mentions=mentions)
    if around:
        looks = [look for look in looks if look[2] not in around]
    if not looks or low == high:
        return [Run(low, high, escape, around)]
    apart = len(looks) == 1 or all(one[1] <= next_[0] for one, next_ in pairwise(looks))
    stretches = _one_by_one(looks, low, high) if apart else _swept(looks, low, high)
    found: list[Run] = []
    for begin, end, active in stretches:
        write, stack = (
            _style(text[begin:end], active, around, mentions) if active else (escape, around)
        )
        found.append(_new(Run, (begin, end, write, stack)))
    return _spaced(text, found)


def _one_by_one(looks: Sequence[Look], low: int, high: int) -> list[_Stretch]:
    """The stretches of a line whose spans neither nest nor overlap."""
    found: list[_Stretch] = []
    at = low
    for look in looks:
        begin, end = max(look[0], low), min(look[1], high)
        if begin > at:
            found.append((at, begin, ()))
        found.append((begin, end, (look,)))
        at = end
    if at < high:
        found.append((at, high, ()))
    return found


def _swept(looks: Sequence[Look], low: int, high: int) -> Iterator[_Stretch]:
    """The stretches of any line."""
    edges = {low, high}
    for begin, end, _, _ in looks:
        edges |= {max(begin, low), min(end, high)}
    active: list[Look] = []
    following = 0
    for begin, end in pairwise(sorted(edges)):
        if active:
            active = [look for look in active if look[1] > begin]
        while following < len(looks) and looks[following][0] <= begin:
            active.append(looks[following])
            following += 1
        yield begin, end, active


def _style(
    words: str, active: Sequence[Look], around: tuple[Mark, ...], mentions: bool
) -> tuple[Callable[[str], str], tuple[Mark, ...]]:
    """The function that writes words inside some spans, and the marks around the words."""
    stack = (*around, *[mark for _, _, mark, _ in active if mark])
    write = next((literally for *_, literally in active if literally), None)
    if write is None:
        return escaping(mentions=mentions, struck=not STRUCK.isdisjoint(stack)), stack
    if stack and not CLOSERS.isdisjoint(words):
        stack = tuple(mark for mark in stack if mark[0] not in _STYLES)
    return write, stack


def _spaced(text: str, runs: Sequence[Run]) -> list[Run]:
    """The runs, with the white space at a change of style moved out of the marks.

    Discord's italics may neither begin nor end with a space.
    """
    found: list[Run] = []
    following: list[tuple[Mark, ...]] | None = None
    for index, run in enumerate(runs):
        begin, end, _, stack = run
        if not stack or (text[begin] != " " and text[end - 1] != " "):
            found.append(run)
            continue
        if following is None:
            following = _following(text, runs)
        before, after = found[-1].stack if found else (), following[index]
        shared = stack[: _common(stack, before)], stack[: _common(stack, after)]
        found += _trimmed(text, run, *shared)
    return found


def _following(text: str, runs: Sequence[Run]) -> list[tuple[Mark, ...]]:
    """For each run, the marks of the next one; for white space, those that continue after it."""
    found: list[tuple[Mark, ...]] = []
    after: tuple[Mark, ...] = ()
    for begin, end, _, stack in reversed(runs):
        found.append(after)
        white = text[begin] == " " and not text[begin:end].strip(" ")
        after = stack[: _common(stack, after)] if white else stack
    found.reverse()
    return found


def _trimmed(
    text: str, run: Run, before: tuple[Mark, ...], after: tuple[Mark, ...]
) -> Iterator[Run]:
    """A run; white space at its ends has only the marks that the neighbour there has as well."""
    begin, end, write, stack = run
    content = text[begin:end]
    head = len(content) - len(content.lstrip(" ")) if stack != before else 0
    tail = len(content) - len(content.rstrip(" ")) if stack != after else 0
    if head == len(content) and head:
        yield Run(begin, end, write, min(before, after, key=len))
    elif write is code or _writes_link(stack):
        yield run
    else:
        if head:
            yield Run(begin, begin + head, write, before)
        yield Run(begin + head, end - tail, write, stack)
        if tail:
            yield Run(end - tail, end, write, after)


def _writes_link(stack: Sequence[Mark]) -> bool:
    return any(mark[0] == "[" for mark in stack)


def _common(one: Sequence[Mark], other: Sequence[Mark]) -> int:
    """How many marks two stacks share, from the outermost on."""
    count = 0
    for mark, same in zip(one, other, strict=False):
        if mark != same:
            break
        count += 1
    return count


def joint(before: Run, written: str, run: Run) -> str:
    """The marks between two neighbouring runs; `written` is the text of the first."""
    if before.stack == run.stack:
        return APART if before.write is run.write is code else ""
    shared = _common(before.stack, run.stack)
    closed, opened = before.closed(shared), run.opened(shared)
    touching = (closed or written)[-1:] == opened[:1] != ""
    return f"{closed}{APART if touching else ''}{opened}"
