"""Finds the paces of an adapter that a stall would overrun. Sans-I/O.

In a stall, the platform or the network does not answer for a time. An even pace goes on starting
attempts, and after the stall all of them arrive at once.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from gateway_core.contract.hookspecs import Limit

WINDOWS = ("window", "learned")
STALL = 2
"""The length of the assumed stall, in multiples of the limit's `per`."""


def paces_without_bound(limits: Sequence[Limit], elsewhere: Sequence[Limit]) -> list[str]:
    """A sentence for each even pace of `limits` that a stall would overrun.

    `elsewhere` are the limits of the same operation in another room. A bucket in both lists belongs
    to the account, so a window that bounds it must belong to the account as well. A limit with a
    count of one needs no bound, since its attempts are spaced from the answers.
    """
    wide = {limit.bucket for limit in elsewhere}
    windows = [limit for limit in limits if limit.pace in WINDOWS]
    faults = []
    for limit in limits:
        if limit.pace != "even" or limit.count == 1 or limit.most is not None:
            continue
        if not any(_bounds(window, limit, wide) for window in windows):
            faults.append(_sentence(limit))
    return faults


def _bounds(window: Limit, pace: Limit, wide: Container[str]) -> bool:
    """Whether the window counts all attempts of the pace, and is as strict or as short."""
    as_wide = window.bucket in wide or pace.bucket not in wide
    return as_wide and (window.count <= pace.count or window.per <= pace.per)


def _sentence(limit: Limit) -> str:
    return (
        f"after a stall of {STALL * limit.per:g} s the pace {limit.bucket!r} lets"
        f" {STALL * limit.count} attempts arrive at once, where {limit.count} are allowed in"
        f" {limit.per:g} s: give its Limit most={limit.count}, or what the platform takes in any"
        f" {limit.per:g} s"
    )
