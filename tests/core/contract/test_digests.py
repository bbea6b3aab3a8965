"""Digests of parts: what edits are compared by, in whatever process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gateway_core import Part


def digest(payload: dict) -> str:
    return Part(payload=payload).digest


def test_the_order_of_keys_does_not_count():
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})


def test_the_order_of_elements_and_every_value_count():
    found = {digest({"a": value}) for value in ([1, 2], [2, 1], "1", 1, True, None, 1.5, {}, [])}
    assert 9 == len(found)


class Words(str):
    """A string of a class of its own, as template engines give."""

    __slots__ = ()


@pytest.mark.parametrize("payload", [{"a": Words("b")}, {1: {"a": Words("\ud83d")}}, {None: 1}])
def test_what_is_read_again_has_the_digest_of_what_was_written(payload):
    assert digest(json.loads(json.dumps(payload))) == digest(payload)


def test_any_text_and_number_has_one_that_every_process_finds():
    payloads = [{"text": "a\ud83d"}, {1: "a"}, {"n": 2**70}, {"text": "é😀\u2028"}]
    code = f"from gateway_core import Part\nfor p in {payloads!a}: print(Part(payload=p).digest)"
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert list(map(digest, payloads)) == other.stdout.split()
