"""What core itself asks of an envelope, whatever its channel."""

import attrs
import pytest

from gateway_core import Call, Delete, Edit, KeyRef, MessageRef, PartRef, Send
from gateway_core.checks import DEEPEST, problems_of

REF = MessageRef(instance_id="bot", external_room_id="r", envelope_id="e")
SEND = Send(instance_id="bot", external_room_id="r", text="hello")
EDIT = Edit(instance_id="bot", external_room_id="r", target=REF, text="hello")
DELETE = Delete(instance_id="bot", external_room_id="r", target=REF)
CALL = Call(instance_id="bot", external_room_id="r", method="react")


def told(envelope, **fields):
    """What is wrong with the envelope after these changes."""
    changed = attrs.evolve(envelope, **fields) if fields else envelope
    return [str(problem) for problem in problems_of(changed, max_text=100)]


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
    ],
    ids=ascii,
)
@pytest.mark.parametrize(
    "name", ["instance_id", "external_room_id", "key", "thread_id", "reply_to"]
)
def test_a_name_that_cannot_be_one_is_refused(name, value, why):
    assert [f"{name}: {why}"] == told(SEND, **{name: value})


def test_the_key_of_any_envelope_is_looked_at():
    for envelope in (EDIT, DELETE, CALL):
        assert ["key: is empty"] == told(envelope, key="")


def test_a_call_may_have_no_room_but_needs_a_method():
    assert ["method: is empty"] == told(CALL, external_room_id="", method="")
    assert ["external_room_id: has a control character"] == told(CALL, external_room_id="\n")


def test_every_mistake_is_told():
    names = {"external_room_id": "", "key": 5}
    fields = {"ttl": float("inf"), "text": "", "extra": {"a": b""}}
    assert [
        "external_room_id: is empty",
        "key: must be a text, not int",
        "ttl: must be a finite number of seconds, not inf",
        "text: is empty",
        "extra.a: is no plain JSON: bytes",
    ] == told(SEND, **names, **fields)


# -- times


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), "soon", True])
def test_a_time_is_a_finite_number(value):
    text = f"not_before: must be a finite number of seconds, not {value!r}"
    assert [text] == told(SEND, not_before=value)


def test_a_ttl_is_a_finite_number():
    text = "ttl: must be a finite number of seconds, not inf"
    assert [text] == told(SEND, ttl=float("inf"))


# -- plain JSON


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "place", "why"),
    [
        ({"a": [1, {"b": {1}}]}, "extra.a.1.b", "is no plain JSON: set"),
        ({"a": b"x"}, "extra.a", "is no plain JSON: bytes"),
        ({"a": float("nan")}, "extra.a", "must be a finite number"),
        ({"a": "\ud800"}, "extra.a", "has a lone surrogate or NUL"),
        ({"a": ["\x00"]}, "extra.a.0", "has a lone surrogate or NUL"),
        ({5: 1}, "extra", "key 5 is no text that can be sent"),
        ({"\ud800": 1}, "extra", "key '\\ud800' is no text that can be sent"),
        (
            {"a": nested(DEEPEST)},
            "extra.a" + ".0" * DEEPEST,
            f"is nested deeper than {DEEPEST}",
        ),
    ],
    ids=lambda value: ascii(value)[:30],
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
    assert 100 == len(told(SEND, extra=loop))


@pytest.mark.parametrize(("extra", "kind"), [([1], "list"), ("text", "str"), (5, "int")])
def test_extra_is_a_table(extra, kind):
    assert [f"extra: must be a table, not {kind}"] == told(EDIT, extra=extra)


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
    ],
    ids=ascii,
)
def test_the_short_way_lets_nothing_through_that_the_long_one_refuses(fields):
    assert 1 == len(told(SEND, **fields))
