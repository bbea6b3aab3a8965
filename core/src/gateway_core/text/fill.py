"""Finds how much of a text fits: the longest stretch within a limit, by proportional guesses."""

from __future__ import annotations

from collections.abc import Callable


def furthest(cost: Callable[[int], int], limit: int, start: int, end: int, guess: int) -> int:
    """The largest place in `start..end` whose cost is within the limit; `start` costs nothing.

    `cost` must never shrink when the place grows. The search begins at `start + guess`. Its work
    grows with the stretch that is found (and with `guess`), never with the rest of the text. Costs
    that grow evenly need four or five calls of `cost`; others need up to three times as many as a
    bisection.
    """
    low, spent = start, 0
    place = min(start + max(guess, 1), end)
    while (asked := cost(place)) <= limit:
        if place == end:
            return end
        low, spent = place, asked
        ahead = (place - start) * limit // max(asked, 1) + 1
        place = min(max(start + ahead, place + 1), start + 2 * (place - start), end)
        place = max(place, low + 1)
    return _between(cost, limit, (low, spent), (place, asked))


def _between(
    cost: Callable[[int], int], limit: int, fits: tuple[int, int], over: tuple[int, int]
) -> int:
    """The last place that fits, between a place that fits and one that does not, with their costs.

    Invariant: each third call of `cost` halves the range, whatever the costs are.
    """
    (low, spent), (high, asked) = fits, over
    turn = 0
    while high - low > 1:
        near = (limit - spent) * (high - low) // max(asked - spent, 1)
        place = _guesses(low, high, near)[turn % 3]
        place = min(max(place, low + 1), high - 1)
        found = cost(place)
        if found <= limit:
            low, spent = place, found
        else:
            high, asked = place, found
        turn += 1
    return low


def _guesses(low: int, high: int, near: int) -> tuple[int, int, int]:
    """Three guesses: in proportion (`near` after `low`); somewhat further inside; the middle."""
    middle = (low + high) // 2
    far = high - low - near
    beyond = min(low + 2 * near + 1, middle) if near < far else max(high - 2 * far - 1, middle)
    return low + near, beyond, middle
