"""Histograms that take many values in one record.

A record of the SDK costs some microseconds, which is several times the cost of counting a message.
So the gateway counts in buckets of its own, and hands the counts on. This module adds these counts
to the SDK's buckets.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics._internal.aggregation import _ExplicitBucketHistogramAggregation
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation

from gateway_core.authors import Several


class SeveralAtOnce(ExplicitBucketHistogramAggregation):
    """Explicit buckets for a view, with the bounds of the gateway's own buckets."""

    def _create_aggregation(self, *arguments: Any, **fields: Any) -> Any:
        """The SDK's aggregation for a set of attributes, which also adds several values at once."""
        made = super()._create_aggregation(*arguments, **fields)
        made.__class__ = _Buckets
        return made


class _Buckets(_ExplicitBucketHistogramAggregation):
    _value: Any
    _sum: Any

    def aggregate(self, measurement: Any, should_sample_exemplar: bool = True) -> None:
        """Add one value, or several."""
        several = measurement.value
        if not isinstance(several, Several):
            super().aggregate(measurement, should_sample_exemplar)
            return
        with self._lock:
            counts = self._value or self._get_empty_bucket_counts()
            self._value = [a + b for a, b in zip(counts, several.counts, strict=True)]
            self._sum += float(several)
            self._min = min(self._min, several.least)
            self._max = max(self._max, several.most)
