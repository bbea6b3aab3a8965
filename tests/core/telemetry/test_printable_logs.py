"""What others say goes to the log, and no terminal that shows it obeys it."""

import io

import structlog

from gateway_core.telemetry import ATTEMPT_FAILED, log_event


def logged(**fields):
    """A line, as structlog writes it where an application has not set it up."""
    stream = io.StringIO()
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.dev.ConsoleRenderer(colors=False)],
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    try:
        log_event(ATTEMPT_FAILED, **fields)
    finally:
        structlog.configure(**before)
    return stream.getvalue()


def test_a_terminal_obeys_nothing_that_a_platform_says():
    """Neither colours nor what clears, turns or forges lines."""
    line = logged(raw="\x1b[31m\x9b2J\u202e\u2028forged\x85", attempt=1)
    (text,) = line.splitlines()
    assert text.endswith("raw=\\x1b[31m\\x9b2J\\u202e\\u2028forged\\x85")
    assert text.isprintable()


def test_what_can_be_printed_stays_as_it_is():
    assert logged(raw="Grüße_東京_👍", attempt=1).endswith("raw=Grüße_東京_👍\n")
