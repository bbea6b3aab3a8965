"""Captures what structlog and the standard library log in a block."""

import logging
from contextlib import contextmanager

import structlog


class _Lines(logging.Handler):
    def __init__(self, take):
        super().__init__()
        self.take = take

    def emit(self, record):
        self.take(logging.Formatter().format(record))


@contextmanager
def structlog_at(level, *processors):
    """Let structlog process events from this level on, with these processors, in the block."""
    before = structlog.get_config()
    wrapper = structlog.make_filtering_bound_logger(level)
    chosen = {"processors": processors} if processors else {}
    structlog.configure(wrapper_class=wrapper, **chosen)
    try:
        yield
    finally:
        structlog.configure(**before)


@contextmanager
def listening(event, line=None, level=logging.DEBUG):
    """Call `event(name, level, fields)` for structlog's events, and `line` for other loggers'."""

    def note(_logger, name, fields):
        event(fields.pop("event"), name, fields)
        raise structlog.DropEvent

    with structlog_at(level, note):
        if line is None:
            yield
            return
        lines, root = _Lines(line), logging.getLogger()
        before = root.level
        root.addHandler(lines)
        root.setLevel(level)
        try:
            yield
        finally:
            root.removeHandler(lines)
            root.setLevel(before)
