"""The count of invalid answers: a warning at half, no more requests at four fifths."""

from __future__ import annotations

import warnings

import pytest
from structlog.testing import capture_logs

from gateway_plugin_discord.learned.invalid_answers import InvalidAnswers, InvalidAnswersError

with warnings.catch_warnings():
    # discord.py's voice part imports a deprecated module of the standard library.
    warnings.simplefilter("ignore", DeprecationWarning)
    discord = pytest.importorskip("discord", reason="discord.py is not installed")
    commands = pytest.importorskip("discord.ext.commands", reason="discord.py is not installed")


def test_the_meter_warns_at_half_stops_at_four_fifths_and_frees_itself():
    meter = InvalidAnswers(10, "support")
    with capture_logs() as logs:
        for second in range(8):
            meter.check(float(second))
            meter.note(403, {}, float(second))
    assert [("discord.invalid_answers_high", 5, "support")] == [
        (log["event"], log["count"], log["instance"]) for log in logs
    ]
    with pytest.raises(InvalidAnswersError, match="8 answers of 401") as caught:
        meter.check(100.0)
    assert 500.0 == caught.value.retry_after
    meter.check(600.0)
    assert 7 == meter.count(600.0)


def test_the_meter_warns_again_after_a_calm():
    meter = InvalidAnswers(10, "support")
    with capture_logs() as logs:
        for at in (*range(5), *range(1000, 1005)):
            meter.note(429, {}, float(at))
    assert 2 == len(logs)


def test_the_meter_passes_over_good_answers_and_shared_limits():
    meter = InvalidAnswers(10, "support")
    meter.note(429, {"x-ratelimit-scope": "shared"}, 0.0)
    meter.note(429, {"x-ratelimit-scope": "Shared"}, 0.0)
    for status in (200, 204, 400, 404, 500):
        meter.note(status, {}, 0.0)
    assert 0 == meter.count(0.0)
