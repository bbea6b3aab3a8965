"""What an answer proves that is not the platform's own."""

from __future__ import annotations

import time

import pytest

from gateway_core import ErrorClass, Reason, Scope
from gateway_core.contract.instances import redactor
from gateway_core.http import Response, foreign_verdict, is_page

SECRET = "12345:" + "AbCdEfGhIj" * 6


def answer(status=403, body=b"", **headers):
    return Response(status, {name.replace("_", "-"): text for name, text in headers.items()}, body)


@pytest.mark.parametrize("status", [300, 302, 400, 401, 403, 404, 407, 408, 425, 431, 451, 499])
def test_a_refusal_of_somebody_else_is_an_outage_that_stored_nothing(status):
    verdict = foreign_verdict(answer(status, b"error code: 1020"))
    assert (ErrorClass.RETRYABLE, Reason.UNREACHABLE, Scope.INSTANCE, "no", None) == (
        verdict.error_class,
        verdict.reason,
        verdict.scope,
        verdict.dispatched,
        verdict.retry_after,
    )


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 522, 524, 599])
def test_a_server_error_may_have_stored_it(status):
    verdict = foreign_verdict(answer(status, b"<html>Bad Gateway</html>"))
    assert (ErrorClass.RETRYABLE, Reason.PLATFORM_ERROR, Scope.INSTANCE, "unknown") == (
        verdict.error_class,
        verdict.reason,
        verdict.scope,
        verdict.dispatched,
    )


@pytest.mark.parametrize(
    ("status", "page"),
    [
        (511, b""),
        (521, b"error code: 521"),
        (523, b""),
        (525, b""),
        (526, b""),
        (530, b"error code: 1016"),
        (503, b"no healthy upstream"),
        (503, b"upstream connect error or disconnect/reset. reset reason: connection failure"),
        (503, b"<h1>503</h1>\nNo server is available to handle this request.\n"),
    ],
)
def test_some_pages_prove_that_the_platform_had_nothing(status, page):
    verdict = foreign_verdict(answer(status, page))
    assert (Reason.UNREACHABLE, "no") == (verdict.reason, verdict.dispatched)


@pytest.mark.parametrize("status", [502, 504])
def test_such_words_prove_nothing_with_another_status(status):
    assert "unknown" == foreign_verdict(answer(status, b"no healthy upstream")).dispatched


@pytest.mark.parametrize("status", [413, 414])
def test_what_is_too_large_is_the_messages_affair(status):
    verdict = foreign_verdict(answer(status))
    assert (ErrorClass.NON_RETRYABLE, Reason.TOO_LONG, Scope.MESSAGE) == (
        verdict.error_class,
        verdict.reason,
        verdict.scope,
    )


def test_a_limit_closes_the_instance():
    verdict = foreign_verdict(answer(429, b"error code: 1015", retry_after="60"))
    assert (Reason.RATE_LIMITED, Scope.INSTANCE, "no", 60.0) == (
        verdict.reason,
        verdict.scope,
        verdict.dispatched,
        verdict.retry_after,
    )


def test_a_page_with_a_status_of_success_proves_nothing():
    verdict = foreign_verdict(answer(200, b"<html>Sign in</html>"))
    assert (ErrorClass.RETRYABLE, Reason.OUTCOME_UNKNOWN, "unknown") == (
        verdict.error_class,
        verdict.reason,
        verdict.dispatched,
    )


@pytest.mark.parametrize("status", [403, 503])
def test_a_wait_that_it_names_counts(status):
    assert 30.0 == foreign_verdict(answer(status, retry_after="30")).retry_after
    assert foreign_verdict(answer(status, retry_after="soon")).retry_after is None


def test_the_words_of_the_page_are_kept_without_tags_and_secrets():
    page = b"<html><head><title>403 Forbidden</title></head>\n<p>for /bot12:ab/send</p></html>"
    verdict = foreign_verdict(answer(403, page), lambda text: text.replace("12:ab", "***"))
    assert "HTTP 403, not from the platform: 403 Forbidden for /bot***/send" == verdict.raw
    assert "HTTP 403, not from the platform: an empty body" == foreign_verdict(answer()).raw
    assert 200 >= len(foreign_verdict(answer(403, b"x" * 9000)).raw.split(": ")[1])


@pytest.mark.parametrize("tags", [0, 555, 700])
def test_no_beginning_of_a_secret_is_shown_where_the_words_end(tags):
    """Neither where the shown words end, nor where reading ends in a page of tags."""
    redact = redactor([SECRET])
    for before in range(250):
        page = b"<i><br>" * tags + b"p" * before + f" {SECRET} end".encode()
        assert SECRET[:4] not in foreign_verdict(answer(403, page), redact).raw


@pytest.mark.parametrize(
    ("body", "page"),
    [
        (b"<html>", True),
        (b"\n <!DOCTYPE html>", True),
        (b"<HTML><body>", True),
        (b'{"ok":tr', False),
        (b"", False),
        (b"\xff\xfe", False),
        (b"no healthy upstream", False),
    ],
)
def test_a_page_is_known_by_how_it_begins(body, page):
    assert page is is_page(answer(200, body))


def test_no_page_takes_long_to_read():
    """Bounded, whatever is in it: the work does not grow with the body."""
    began = time.perf_counter()
    for body in (b"<" * 1_000_000, b"<a" * 500_000, b"<script>" * 125_000):
        foreign_verdict(answer(403, body))
    assert time.perf_counter() - began < 1
