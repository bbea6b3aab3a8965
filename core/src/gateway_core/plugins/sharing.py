"""One process's share of every limit, where several serve one account. Pure: no clock, no I/O.

The shares of all processes together allow what the platform does, and never more in any second but
where a share is less than one attempt: then each makes one in a longer time.
"""

from __future__ import annotations

from fractions import Fraction

import attrs

from gateway_core.contract.hookspecs import Limit
from gateway_core.contract.verdicts import BucketReport

WHOLE = Fraction(1)
FINEST = 1_000_000
"""A share is taken for the fraction with no larger denominator: a third is exactly a third."""


def fraction_of(share: float) -> Fraction:
    """The share as a fraction."""
    return Fraction(share).limit_denominator(FINEST)


def shared_limit(limit: Limit, share: Fraction) -> Limit:
    """The limit's share: rounded down, or one attempt in a time that is longer accordingly."""
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
    """The share of what the platform says is allowed, and of what is left for all of them."""
    limit = None if report.limit is None else max(1, int(report.limit * share))
    left = None if report.remaining is None else int(report.remaining * share)
    return attrs.evolve(report, limit=limit, remaining=left)
