"""How much of a text fits: the longest stretch within a limit, by guessing in proportion."""

from __future__ import annotations

from collections.abc import Callable


def furthest(cost: Callable[[int], int], limit: int, start: int, end: int, guess: int) -> int:
    """The largest place in `start..end` whose cost is within the limit; `start` costs nothing.

    `cost` must never shrink as the place grows. The search begins `guess` behind `start`; its
    work grows with the stretch that is found (and the guess), never with the rest of the text.
    Costs that grow evenly need four or five questions, others three times those of a bisection.
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
    """The last place that fits, between one that does and one that does not, with their costs.

    Invariant: each third question halves the range, whatever the costs do.
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
    """In proportion, `near` behind `low`; somewhat beyond, if that is near; the middle."""
    middle = (low + high) // 2
    far = high - low - near
    beyond = min(low + 2 * near + 1, middle) if near < far else max(high - 2 * far - 1, middle)
    return low + near, beyond, middle
