"""Nothing that the night told shows a secret; of rooms and texts, spans and logs show nothing."""

import json
import re
import traceback
from urllib.parse import quote

import pytest

SHORTEST_PIECE = 12


def pieces(token):
    """The token and what one could read of it: its parts, and either as a URL spells it."""
    parts = {token, *(p for p in re.split("[.:]", token) if len(p) >= SHORTEST_PIECE)}
    return parts | {quote(part, safe="") for part in parts}


def of_spans(night):
    return "\n".join(span.to_json() for span in night.exporter.get_finished_spans())


def of_logs(night):
    return "\n".join(map(repr, night.logs))


def of_metrics(night):
    return json.dumps(night.points)


def of_libraries(night):
    return "\n".join(night.lines)


def of_errors(night):
    told = []
    for error in night.errors:
        told += [str(error), repr(error), *traceback.format_exception(error)]
        told += [repr(error.args), repr(vars(error))]
    return "\n".join(told)


def of_values(night):
    return "\n".join(text for value in night.values for text in (repr(value), str(value)))


EVERYTHING = [of_spans, of_logs, of_metrics, of_libraries, of_errors, of_values]


@pytest.mark.parametrize("told", [of_spans, of_logs, of_metrics, of_errors, of_values])
def test_there_is_something_to_look_through(night, told):
    """A search of nothing would find nothing."""
    assert len(told(night)) > 1_000


@pytest.mark.parametrize("told", EVERYTHING)
def test_no_secret_is_told(night, told, tokens):
    text = told(night)
    assert [] == [piece for token in tokens for piece in pieces(token) if piece in text]


@pytest.mark.parametrize("told", [of_spans, of_logs, of_metrics])
def test_no_room_is_named(night, told, room_ids):
    text = told(night)
    assert [] == [room for room in room_ids if room in text]


@pytest.mark.parametrize("told", [of_spans, of_logs, of_metrics])
def test_no_text_is_quoted(night, told, words):
    text = told(night)
    assert [] == [word for word in words if word in text]
