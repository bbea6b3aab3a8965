"""Computes one process's share of every limit, if several serve one account. Sans-I/O.

All shares together allow what the platform allows. They exceed it in a second only where a share is
less than one attempt: then each process makes one attempt in a longer time.
"""

from __future__ import annotations

from fractions import Fraction

import attrs

from gateway_core.contract.hookspecs import Limit
from gateway_core.contract.verdicts import BucketReport

WHOLE = Fraction(1)
FINEST = 1_000_000
"""Largest denominator of a share's fraction, so that a third is exactly a third."""


def fraction_of(share: float) -> Fraction:
    """The share as a fraction; `WHOLE` itself for all of a limit, which is compared fastest."""
    return WHOLE if share == 1 else Fraction(share).limit_denominator(FINEST)


def shared_limit(limit: Limit, share: Fraction) -> Limit:
    """The limit's share: rounded down, or one attempt in a correspondingly longer time."""
    part = limit.count * share
    if part >= 1:
        count, longer = int(part), WHOLE
    else:
        count, longer = 1, 1 / part
    most = None if limit.most is None else max(1, int(limit.most * share * longer))
    start = None if limit.start is None else max(1, int(limit.start * share * longer))
    per = float(Fraction(limit.per) * longer)
    return attrs.evolve(limit, count=count, per=per, most=most, start=start)


def shared_report(report: BucketReport, share: Fraction) -> BucketReport:
    """The share of what the platform allows, and of what it has left for all processes."""
    limit = None if report.limit is None else max(1, int(report.limit * share))
    left = None if report.remaining is None else int(report.remaining * share)
    return attrs.evolve(report, limit=limit, remaining=left)
