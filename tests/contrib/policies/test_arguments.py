"""A wrong argument of a policy is a `ValueError` that names the argument and its value."""

from __future__ import annotations

import re
from functools import partial

import pytest

from gateway_contrib.policies import (
    AuditLog,
    DeadRooms,
    Masking,
    NoRepeats,
    QuietHours,
    Redirection,
)
from gateway_core import Secret

night = partial(QuietHours, "22:00", "07:00", "UTC")
one_room = partial(Redirection, {"bot": "r"})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: QuietHours("7", "8:00", "UTC"), "'start' must be a time of day such as '22:00'"),
        (lambda: QuietHours("22:00", 7, "UTC"), "'end' must be a time of day such as '22:00', not"),
        (lambda: QuietHours("22:00", "07:00", "Mars"), "'zone' must be a time zone such as"),
        (lambda: QuietHours("22:00", "07:00", "Europe"), "'zone' must be a time zone such as"),
        (lambda: night(zones="a"), "'zones' must be a table of time zones, not 'a'"),
        (lambda: night(zones={"a": None}), "'zones.a' must be a time zone such as"),
        (lambda: night(rooms="abc"), "'rooms' must be a list or set of ids of rooms, not 'abc'"),
        (lambda: night(rooms=5), "'rooms' must be a list or set of ids of rooms, not 5"),
        (lambda: night(passing="urgent"), "'passing' must be a list or set of classes ('urgent',"),
        (lambda: night(passing={"urgnt"}), "'normal', 'bulk'), but it holds 'urgnt'"),
        (lambda: night(clock=5), "'clock' must be a function, not 5"),
        (lambda: NoRepeats(60, clock="x"), "'clock' must be a function, not 'x'"),
        (lambda: DeadRooms(5), "'known' must be a list or set of DeadRoom, not 5"),
        (lambda: DeadRooms(["x"]), "'known' must be a list or set of DeadRoom, but it holds 'x'"),
        (lambda: DeadRooms(refuse="no"), "'refuse' must be true or false, not 'no'"),
        (lambda: DeadRooms(changed=5), "'changed' must be a function, not 5"),
        (lambda: DeadRooms(clock=5), "'clock' must be a function, not 5"),
        (lambda: Redirection({"bot": ""}), "'rooms' must be a table of ids of rooms, none of them"),
        (lambda: one_room(keep="abc"), "'keep' must be a list or set of ids of rooms, not 'abc'"),
        (lambda: one_room(calls="pin"), "'calls' must be a list or set of methods, not 'pin'"),
        (lambda: one_room(calls=[""]), "'calls' must be a list or set of methods, but it holds ''"),
        (lambda: Masking(5), "'patterns' must be a list or set of regular expressions, not 5"),
        (lambda: Masking([b"x"]), "regular expressions, but it holds b'x'"),
        (lambda: Masking(words="swam"), "'words' must be a list or set of texts or Secrets,"),
        (lambda: Masking(words=5), "none of them empty, not one of the class int"),
        (lambda: Masking(words=["a", ""]), "none of them empty, but it holds an empty one"),
        (lambda: AuditLog(5), "'write' must be a function, not 5"),
        (lambda: AuditLog(print, texts="no"), "'texts' must be true or false, not 'no'"),
        (lambda: AuditLog(print, clock=5), "'clock' must be a function, not 5"),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name(make, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make()


def test_an_error_does_not_show_a_word_to_hide():
    with pytest.raises(ValueError, match="'words' must be") as caught:
        Masking(words="hunter2")
    assert "hunter2" not in str(caught.value)


def test_lists_sets_and_generators_are_taken():
    assert {"a", "b"} == night(rooms=["a", "b"]).rooms
    assert {"bulk"} == night(passing=(name for name in ["bulk"])).passing
    assert ("hunter2", "swam") == Masking(words={"swam", Secret("hunter2")}).words
