"""A verdict is made of the words that there are: others are an error of the hook that says them."""

import attrs
import pytest

from gateway_core import ErrorClass, Reason, Scope, Verdict
from gateway_core.authors import BucketReport

VERDICT = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.RATE_LIMITED)


def test_the_words_may_be_given_as_texts():
    """Each is one, and a table of a platform's errors reads better so."""
    said = Verdict(error_class="retryable", reason="rate_limited", scope="message")
    assert VERDICT == said
    assert (ErrorClass, Reason, Scope) == tuple(
        type(word) for word in (said.error_class, said.reason, said.scope)
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("error_class", "bogus"),
        ("error_class", None),
        ("reason", "because"),
        ("scope", "everywhere"),
        ("scope", None),
        ("dispatched", "maybe"),
        ("retry_after", "5"),
        ("retry_after", True),
        ("transform", "shorter"),
        ("moved_to", 5),
        ("buckets", [BucketReport(bucket="b")]),
        ("buckets", (5,)),
        ("raw", None),
        ("raw", b"no"),
    ],
    ids=str,
)
def test_a_word_that_there_is_not_is_refused_where_it_is_said(field, value):
    """Further on it would break the worker, and nobody knew whose it was."""
    with pytest.raises(ValueError, match=r"must be|is not a valid"):
        attrs.evolve(VERDICT, **{field: value})


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1, 1e300, 10**400], ids=str)
def test_whatever_number_a_platform_names_is_kept(seconds):
    """What to make of it is decided where the wait is."""
    assert str(seconds) == str(attrs.evolve(VERDICT, retry_after=seconds).retry_after)


def test_the_platforms_words_are_cut():
    assert "x" * 500 == attrs.evolve(VERDICT, raw="x" * 501).raw
