"""How much of a text fits: the longest stretch within a limit, by galloping and bisection."""

from __future__ import annotations

from collections.abc import Callable


def furthest(fits: Callable[[int], bool], start: int, end: int, guess: int) -> int:
    """The largest place in `start..end` that fits; `start` itself always does.

    `fits` must be true up to some place and false after it. The search begins `guess` behind
    `start` and doubles or halves from there, so its work grows with the stretch that is found
    (and with the guess), never with the rest of the text.
    """
    step = max(1, min(guess, end - start))
    if not fits(start + step):
        while step > 1 and not fits(start + step // 2):
            step //= 2
        return _bisect(fits, start + step // 2, start + step)
    while start + step < end and fits(min(start + step * 2, end)):
        step *= 2
    return _bisect(fits, min(start + step, end), min(start + step * 2, end + 1))


def _bisect(fits: Callable[[int], bool], low: int, high: int) -> int:
    """The last place that fits, between `low`, which does, and `high`, which does not."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
