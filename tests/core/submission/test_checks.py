"""What core itself asks of an envelope, whatever its channel."""

from datetime import datetime, timedelta

import attrs
import pytest

from gateway_core import Call, Delete, Edit, File, KeyRef, MessageRef, PartRef, Send
from gateway_core.contract.validators import DEEPEST, MANY, UNSENDABLE
from gateway_core.submission.checks import problems_of

REF = MessageRef(instance_id="bot", external_room_id="r", envelope_id="e")
SEND = Send(instance_id="bot", external_room_id="r", text="hello")
EDIT = Edit(instance_id="bot", external_room_id="r", target=REF, text="hello")
DELETE = Delete(instance_id="bot", external_room_id="r", target=REF)
CALL = Call(instance_id="bot", external_room_id="r", method="react")


@pytest.fixture(autouse=True)
def short_texts(monkeypatch):
    """A text may have a hundred characters."""
    monkeypatch.setattr("gateway_core.submission.checks.LONGEST_TEXT", 100)


def told(envelope, **fields):
    """What is wrong with the envelope after these changes."""
    changed = attrs.evolve(envelope, **fields) if fields else envelope
    return [str(problem) for problem in problems_of(changed)]


@pytest.mark.parametrize(
    "envelope",
    [
        SEND,
        EDIT,
        DELETE,
        CALL,
        attrs.evolve(SEND, text="Привет 👋\n\tчай", external_room_id="@room-1", key="ключ"),
        attrs.evolve(SEND, ttl=0, not_before=1e9, extra={"a": [1, 1.5, None, True, {"b": ()}]}),
        attrs.evolve(SEND, thread_id="t", reply_to="7", text="x" * 100),
        attrs.evolve(
            EDIT, target=KeyRef(instance_id="bot", external_room_id="r", key="k"), extra={}
        ),
        attrs.evolve(CALL, external_room_id="", arguments={"a": 1}),
    ],
    ids=lambda envelope: type(envelope).__name__,
)
def test_nothing_is_wrong_with_what_can_be_sent(envelope):
    assert [] == told(envelope)


@pytest.mark.parametrize("envelope", [None, "hello", {"kind": "send"}, REF], ids=str)
def test_what_is_no_envelope_is_refused(envelope):
    (text,) = told(envelope)
    assert text.startswith("envelope: must be a Send, Edit, Delete or Call, not ")


# -- texts


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("x" * 101, "has 101 characters, at most 100"),
        ("a\x00b", "has a lone surrogate or NUL"),
        ("a\ud800b", "has a lone surrogate or NUL"),
        (b"bytes", "must be a text, not bytes"),
        (None, "must be a text, not NoneType"),
    ],
    ids=ascii,
)
def test_a_text_that_cannot_be_sent_is_refused(text, why):
    assert [f"text: {why}"] == told(SEND, text=text)
    assert [f"text: {why}"] == told(EDIT, text=text)


# -- names


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "is empty"),
        ("a\nb", "has a control character"),
        ("a\x1b[31m", "has a control character"),
        ("a\x00b", "has a lone surrogate or NUL"),
        ("a\ud800b", "has a lone surrogate or NUL"),
        (5, "must be a text, not int"),
        ("n" * 1025, "has 1025 characters, at most 1024"),
    ],
    ids=lambda value: ascii(value)[:30],
)
@pytest.mark.parametrize(
    "name", ["instance_id", "external_room_id", "key", "thread_id", "reply_to"]
)
def test_a_name_that_cannot_be_one_is_refused(name, value, why):
    assert [f"{name}: {why}"] == told(SEND, **{name: value})


@pytest.mark.parametrize("envelope", [SEND, EDIT, DELETE, CALL], ids=lambda e: e.operation)
@pytest.mark.parametrize("name", ["instance_id", "external_room_id"])
def test_what_every_envelope_has_is_not_left_out(name, envelope):
    """Without a room, Python's None would be one."""
    assert f"{name}: must be a text, not NoneType" in told(envelope, **{name: None})


def test_the_key_of_any_envelope_is_looked_at():
    for envelope in (EDIT, DELETE, CALL):
        assert ["key: is empty"] == told(envelope, key="")


def test_a_call_may_have_no_room_but_needs_a_method():
    assert ["method: is empty"] == told(CALL, external_room_id="", method="")
    assert ["external_room_id: has a control character"] == told(CALL, external_room_id="\n")


def test_every_mistake_is_told():
    names = {"external_room_id": "", "key": 5}
    fields = {"ttl": float("inf"), "text": "\0", "extra": {"a": b""}}
    assert [
        "external_room_id: is empty",
        "key: must be a text, not int",
        "ttl: must be a finite number of seconds, not inf",
        f"text: {UNSENDABLE}",
        "extra.a: must be plain JSON, not bytes; send a file with `files`",
    ] == told(SEND, **names, **fields)


def test_a_text_may_be_empty_beside_something_else():
    assert ["text: is empty"] == told(SEND, text="")
    assert [] == told(SEND, text="", extra={"poll": {}})
    assert [] == told(SEND, text=" ", files=(File(id="1"),))


# -- times


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), "soon", True])
def test_a_time_is_a_finite_number(value):
    text = f"not_before: must be a finite number of seconds, not {value!r}"
    assert [text] == told(SEND, not_before=value)


def test_a_ttl_is_a_finite_number():
    text = "ttl: must be a finite number of seconds, not inf"
    assert [text] == told(SEND, ttl=float("inf"))


@pytest.mark.parametrize("value", ["5", timedelta(seconds=5), 1j, [], float("nan"), True], ids=str)
def test_a_ttl_that_is_no_number_is_told_in_words(value):
    text = f"ttl: must be a finite number of seconds, not {value!r}"
    assert [text] == told(SEND, ttl=value)


def test_a_moment_is_a_number_and_no_datetime():
    assert told(SEND, not_before=datetime(2026, 1, 1))[0].startswith(  # noqa: DTZ001 - a naive one
        "not_before: must be a finite number of seconds, not datetime"
    )


def test_a_number_too_large_to_be_written_out_is_refused():
    """Python's own conversions raise for them."""
    text = "must be a finite number of seconds, not a number too large"
    assert [f"ttl: {text}", f"not_before: {text}"] == told(SEND, ttl=10**5000, not_before=10**5000)


@pytest.mark.parametrize("value", [1e300, 1e9 + 1])
def test_a_ttl_fits_64_bits_of_nanoseconds(value):
    """Beyond that the clock could not count it, and an outbox not keep it."""
    assert [f"ttl: must be at most 1000000000 seconds, not {value!r}"] == told(SEND, ttl=value)


@pytest.mark.parametrize("field", ["not_before", "deadline"])
@pytest.mark.parametrize("value", [60, 0, -1.0, 1e9 - 1, 8e9 + 1, 1.7e12, 1e300, -1e300])
def test_a_span_or_milliseconds_are_no_posix_time(field, value):
    words = "must be a POSIX time in seconds, from 1000000000 to 8000000000"
    assert [f"{field}: {words}, not {value!r}"] == told(SEND, **{field: value})


@pytest.mark.parametrize("field", ["not_before", "deadline"])
@pytest.mark.parametrize("value", [1e9, 1_700_000_000, 8e9])
def test_a_posix_time_is_from_2001_to_2223(field, value):
    assert [] == told(SEND, **{field: value})


# -- switches


@pytest.mark.parametrize("field", ["ephemeral", "link_previews", "silent"])
@pytest.mark.parametrize("value", ["no", None, 0])
def test_a_switch_is_true_or_false(field, value):
    """The text "no" would count as true, and ping everybody."""
    assert [f"{field}: must be true or false, not {value!r}"] == told(SEND, **{field: value})


def test_whether_an_edit_is_interim_is_true_or_false():
    assert ["interim: must be true or false, not 1"] == told(EDIT, interim=1)


# -- plain JSON


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "place", "why"),
    [
        ({"a": [1, {"b": {1}}]}, "extra.a.1.b", "must be plain JSON, not set"),
        ({"a": b"x"}, "extra.a", "must be plain JSON, not bytes; send a file with `files`"),
        ({"a": float("nan")}, "extra.a", "must be a finite number"),
        ({"a": 10**5000}, "extra.a", "must be a number of at most 64 bits"),
        ({"a": -(2**64) - 1}, "extra.a", "must be a number of at most 64 bits"),
        ({"a": "\ud800"}, "extra.a", "has a lone surrogate or NUL"),
        ({"a": ["\x00"]}, "extra.a.0", "has a lone surrogate or NUL"),
        ({5: 1}, "extra", "has the key 5, which is not a text that can be sent"),
        ({"\ud800": 1}, "extra", "has the key '\\ud800', which is not a text that can be sent"),
        (
            {"a": nested(DEEPEST)},
            "extra.a" + ".0" * DEEPEST,
            f"is nested deeper than {DEEPEST}",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "-",
)
def test_extra_is_plain_json(value, place, why):
    assert [f"{place}: {why}"] == told(SEND, extra=value)
    assert [f"{place}: {why}"] == told(EDIT, extra=value)
    assert [f"{place}: {why}".replace("extra", "arguments")] == told(CALL, arguments=value)


def test_as_deep_as_allowed_is_taken():
    assert [] == told(SEND, extra={"a": nested(DEEPEST - 1)})


def test_what_holds_itself_is_refused_and_not_followed_for_ever():
    loop = {}
    loop["a"] = loop
    (text,) = told(SEND, extra=loop)
    assert text.endswith(f"is nested deeper than {DEEPEST}")


def test_a_loop_with_many_branches_is_not_followed_for_ever():
    """Each level doubles the ways: 2 ** 32 looks would be for ever."""
    loop = {}
    loop["a"] = loop["b"] = loop
    assert [f"extra: holds more than {MANY} values"] == told(SEND, extra=loop)


def test_a_value_that_is_shared_counts_as_often_as_it_would_be_written():
    shared = [1]
    for _ in range(DEEPEST - 3):
        shared = [shared, shared]
    assert [f"extra: holds more than {MANY} values"] == told(SEND, extra={"a": shared})
    assert [f"arguments: holds more than {MANY} values"] == told(CALL, arguments={"a": shared})
    assert [] == told(SEND, extra={"a": [0] * (MANY - 2)})
    assert [f"extra: holds more than {MANY} values"] == told(SEND, extra={"a": [0] * (MANY - 1)})


@pytest.mark.parametrize("field", ["extra", "arguments"])
def test_what_an_envelope_holds_is_its_own(field):
    """A table that is used for the next message as well changes nothing of this one."""
    buttons = {"rows": [[{"text": "Yes"}]]}
    envelope = attrs.evolve(SEND if field == "extra" else CALL, **{field: buttons})
    buttons["rows"][0][0]["text"] = "No"
    buttons["rows"].append([])
    assert {"rows": [[{"text": "Yes"}]]} == getattr(envelope, field)


@pytest.mark.parametrize(("extra", "kind"), [([1], "list"), ("text", "str"), (5, "int")])
def test_extra_is_a_table(extra, kind):
    assert [f"extra: must be a table, not {kind}"] == told(SEND, extra=extra)
    assert [f"arguments: must be a table, not {kind}"] == told(CALL, arguments=extra)
    assert [f"extra: must be a table, not {kind}"] == told(EDIT, extra=extra)


@pytest.mark.parametrize("envelope", [SEND, EDIT], ids=["send", "edit"])
def test_what_the_caller_does_with_its_table_later_is_nothing_to_the_envelope(envelope):
    mine = {"a": 1}
    made = attrs.evolve(envelope, extra=mine)
    mine["a"] = 2
    assert {"a": 1} == made.extra


# -- targets


@pytest.mark.parametrize("envelope", [EDIT, DELETE], ids=["edit", "delete"])
def test_a_target_belongs_to_the_envelope_s_room(envelope):
    for target in (
        MessageRef(instance_id="other", external_room_id="s", envelope_id="e"),
        KeyRef(instance_id="other", external_room_id="s", key="k"),
    ):
        assert [
            "target.instance_id: differs from the envelope's",
            "target.external_room_id: differs from the envelope's",
        ] == told(envelope, target=target)


def test_a_target_is_a_ref():
    assert ["target: must be a MessageRef or a KeyRef, not str"] == told(DELETE, target="e")


def test_a_ref_names_a_message_by_its_parts_or_its_envelope():
    empty = attrs.evolve(REF, envelope_id="")
    assert ["target: names no message"] == told(DELETE, target=empty)
    parts = (PartRef(message_id="1"),)
    assert [] == told(DELETE, target=attrs.evolve(empty, parts=parts))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"envelope_id": 5}, "envelope_id: must be a text, not int"),
        ({"parts": "1"}, "parts: must be a tuple, not str"),
        ({"parts": ("1",)}, "parts.0: must be a PartRef, not str"),
        ({"parts": (PartRef(message_id=5),)}, "parts.0.message_id: must be a text, not int"),
        ({"parts": (PartRef(message_id=""),)}, "parts.0.message_id: is empty"),
        (
            {"parts": (PartRef(message_id="1", digest=5),)},
            "parts.0.digest: must be a text, not int",
        ),
        ({"revision": "1"}, "revision: must be a whole number, not '1'"),
        ({"possible_duplicate": 1}, "possible_duplicate: must be true or false, not 1"),
        ({"thread_id": 5}, "thread_id: must be a text, not int"),
        ({"extra": 5}, "extra: must be a table, not int"),
        ({"extra": {"a": b""}}, "extra.a: must be plain JSON, not bytes; send a file with `files`"),
    ],
    ids=str,
)
@pytest.mark.parametrize("envelope", [EDIT, DELETE], ids=["edit", "delete"])
def test_a_ref_of_the_wrong_types_is_told_by_its_place(envelope, fields, problem):
    """One that an application has put together itself, or pickled."""
    assert [f"target.{problem}"] == told(envelope, target=attrs.evolve(REF, **fields))


@pytest.mark.parametrize("key", [5, "", "\ud800"], ids=ascii)
def test_a_message_is_named_by_a_key_that_can_be_one(key):
    target = KeyRef(instance_id="bot", external_room_id="r", key=key)
    (text,) = told(EDIT, target=target)
    assert text.startswith("target.key: ")


# -- the short way


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "\x00"},
        {"text": " "},
        {"text": ""},
        {"text": "x" * 101},
        {"external_room_id": "a b\n"},
        {"external_room_id": ""},
        {"instance_id": "\x00"},
        {"not_before": float("nan")},
        {"thread_id": ""},
        {"reply_to": ""},
        {"key": ""},
        {"extra": {"a": set()}},
        {"extra": None},
        {"mentions": "no"},
        {"link_previews": "no"},
        {"silent": "no"},
        {"external_room_id": "r" * 1025},
    ],
    ids=ascii,
)
def test_the_short_way_lets_nothing_through_that_the_long_one_refuses(fields):
    assert 1 == len(told(SEND, **fields))
