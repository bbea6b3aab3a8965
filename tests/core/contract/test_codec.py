"""To plain JSON and back without loss."""

import json

import pytest
from amounts import amount
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_core import (
    Call,
    Delete,
    Disposition,
    Edit,
    Envelope,
    ErrorClass,
    FormatVersionError,
    Invalid,
    KeyRef,
    MessageRef,
    Part,
    PartReceipt,
    PartRef,
    Reason,
    Receipt,
    Scope,
    Send,
    Verdict,
    from_json,
    to_json,
)
from gateway_core.authors import Attempt, BucketReport
from gateway_core.outboxes import Entry

quick = settings(
    max_examples=amount("examples of a law of the codec"),
    suppress_health_check=[HealthCheck.too_slow],
    deadline=None,
)


# -- values of every travelling type

texts = st.text(max_size=12)
numbers = st.integers(-(2**53), 2**53)
seconds = st.floats(0, 1e10)
digits = st.integers(0, 9)
flags = st.booleans()
plain = st.recursive(
    st.none() | flags | numbers | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
tables = st.dictionaries(texts, plain, max_size=3)
spans = st.tuples(digits, digits)
words = st.lists(texts, max_size=2).map(tuple)


def maybe(values):
    return st.none() | values


def several(values):
    return st.lists(values, max_size=2).map(tuple)


envelope_fields = {
    "instance_id": texts,
    "external_room_id": texts,
    "key": maybe(texts),
    "ttl": maybe(seconds),
    "not_before": maybe(seconds),
    "priority": st.sampled_from(("urgent", "normal", "bulk")),
    "order": st.sampled_from(("room", "none")),
    "on_unknown": st.sampled_from(("retry", "give_up")),
    "on_conflict": st.sampled_from(("raise", "replay")),
}
formats = st.sampled_from(("plain", "markdown", "native"))
key_refs = st.builds(KeyRef, instance_id=texts, external_room_id=texts, key=texts)
refs = st.builds(
    MessageRef,
    instance_id=texts,
    external_room_id=texts,
    envelope_id=texts,
    thread_id=maybe(texts),
    parts=several(st.builds(PartRef, message_id=texts, digest=texts)),
    revision=digits,
    possible_duplicate=flags,
)
sends = st.builds(
    Send,
    **envelope_fields,
    text=texts,
    thread_id=maybe(texts),
    reply_to=maybe(texts),
    format=formats,
    extra=tables,
    mentions=flags,
    link_previews=flags,
    silent=flags,
)
edits = st.builds(
    Edit,
    **envelope_fields,
    target=refs | key_refs,
    text=texts,
    format=formats,
    extra=maybe(tables),
    mentions=flags,
    link_previews=flags,
    interim=flags,
)
deletes = st.builds(Delete, **envelope_fields, target=refs | key_refs)
calls = st.builds(Call, **envelope_fields, method=texts, arguments=tables, thread_id=maybe(texts))
verdicts = st.builds(
    Verdict,
    error_class=st.sampled_from(ErrorClass),
    reason=st.sampled_from(Reason),
    scope=st.sampled_from(Scope),
    dispatched=st.sampled_from(("no", "unknown")),
    retry_after=maybe(seconds),
    buckets=several(
        st.builds(
            BucketReport,
            bucket=texts,
            limit=maybe(digits),
            remaining=maybe(digits),
            reset_after=maybe(seconds),
            provisional=maybe(texts),
        )
    ),
    transform=maybe(st.sampled_from(("stricter", "plain", "without_reply"))),
    moved_to=maybe(texts),
    raw=texts,
)
parts = st.builds(Part, payload=tables, span=spans, degraded=words) | st.builds(
    Part, payload=tables, digest=texts
)
receipts = st.builds(
    Receipt,
    envelope_id=texts,
    instance_id=texts,
    external_room_id=texts,
    disposition=st.sampled_from(Disposition),
    parts=several(
        st.builds(
            PartReceipt,
            index=digits,
            outcome=st.sampled_from(("delivered", "deleted", "unchanged", "failed", "unknown")),
            message_id=maybe(texts),
            attempts=digits,
            span=spans,
            degraded=words,
            verdict=maybe(verdicts),
        )
    ),
    ref=maybe(refs),
    attempts=digits,
    verdict=maybe(verdicts),
    possible_duplicate=flags,
    degradations=words,
    transforms=words,
    moved_to=maybe(texts),
    accepted_at=seconds,
    ended_at=seconds,
    replayed=flags,
    result=plain,
)
attempts = st.builds(
    Attempt,
    operation=texts,
    envelope_id=texts,
    instance_id=texts,
    room=texts,
    thread=maybe(texts),
    reply=maybe(texts),
    part=maybe(parts),
    extra=maybe(tables),
    message_id=maybe(texts),
    method=maybe(texts),
    arguments=tables,
    number=digits,
    key=texts,
    mode=st.sampled_from(("as_asked", "stricter", "plain")),
)
entries = st.builds(
    Entry,
    id=texts,
    envelope=sends | edits | deletes | calls,
    plan=several(parts),
    accepted_at=seconds,
    deadline=seconds,
    priority=maybe(st.sampled_from(("urgent", "normal", "bulk"))),
    fingerprint=texts,
    due=maybe(seconds),
)


def travelled(kind, value):
    """The value after a journey as text: written, read by anybody's JSON, read by us."""
    return from_json(kind, json.loads(json.dumps(to_json(value), allow_nan=False)))


# -- round trips


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Send, sends),
        (Edit, edits),
        (Delete, deletes),
        (Call, calls),
        (MessageRef, refs),
        (KeyRef, key_refs),
        (Receipt, receipts),
        (Verdict, verdicts),
        (Part, parts),
        (Attempt, attempts),
        (Entry, entries),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_travelling_type_comes_back_as_it_was(kind, values):
    @quick
    @given(values)
    def round_trip(value):
        back = travelled(kind, value)
        assert value == back
        assert repr(value) == repr(back), "an enum is not its word, a tuple no list"

    round_trip()


@quick
@given(sends | edits | deletes | calls)
def test_an_envelope_of_any_kind_says_which_it_is(envelope):
    assert envelope == travelled(Envelope, envelope)
    assert type(envelope).__name__.lower() == to_json(envelope)["kind"]


# -- what is written

SEND = Send(instance_id="bot", external_room_id="r", text="hello")
REF = MessageRef(instance_id="bot", external_room_id="r", envelope_id="e")


def test_defaults_are_left_out():
    assert {
        "kind": "send",
        "version": 1,
        "instance_id": "bot",
        "external_room_id": "r",
        "text": "hello",
    } == to_json(SEND)


def test_a_ref_carries_its_version():
    assert {
        "instance_id": "bot",
        "external_room_id": "r",
        "envelope_id": "e",
        "version": 1,
    } == to_json(REF)


def test_a_digest_of_its_own_is_written_and_the_payload_s_is_not():
    assert {"payload": {"text": "x"}} == to_json(Part(payload={"text": "x"}))
    assert "mine" == to_json(Part(payload={"text": "x"}, digest="mine"))["digest"]


def test_enums_are_written_as_their_words():
    verdict = Verdict(error_class=ErrorClass.FATAL, reason=Reason.FORBIDDEN, scope=Scope.ROOM)
    assert {"error_class": "fatal", "reason": "forbidden", "scope": "room"} == to_json(verdict)
    assert str is type(json.loads(json.dumps(to_json(verdict)))["scope"])


def test_a_send_without_a_version_is_read_as_the_present_one():
    without = {key: value for key, value in to_json(SEND).items() if key != "version"}
    assert SEND == from_json(Send, without)


# -- versions


@pytest.mark.parametrize("version", [2, 0, -1, "1", 1.5, None])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Send, SEND),
        (Envelope, SEND),
        (MessageRef, REF),
    ],
    ids=["send", "envelope", "ref"],
)
def test_another_version_is_not_read_and_says_so(kind, value, version):
    written = to_json(value) | {"version": version}
    with pytest.raises(FormatVersionError, match=r"format version .*; this release reads 1 to 1"):
        from_json(kind, written)


def test_a_later_version_deep_inside_is_found():
    edit = to_json(Edit(instance_id="bot", external_room_id="r", target=REF, text="x"))
    edit["target"]["version"] = 9
    entry = {"id": "e", "envelope": edit, "plan": [], "accepted_at": 0.0, "deadline": 1.0}
    with pytest.raises(FormatVersionError, match="format version 9"):
        from_json(Entry, entry)


def test_a_later_version_wins_over_fields_that_do_not_fit():
    """A later release may have other fields: what is wrong with them is the version."""
    written = to_json(SEND) | {"version": 2, "colour": "red"}
    del written["text"]
    with pytest.raises(FormatVersionError):
        from_json(Envelope, written)


# -- what does not fit


def places(kind, written):
    with pytest.raises(Invalid) as caught:
        from_json(kind, written)
    return sorted(problem.place for problem in caught.value.problems)


def test_every_missing_field_is_named():
    assert ["external_room_id", "instance_id", "text"] == places(Send, {"kind": "send"})


def test_every_wrong_field_is_named():
    written = to_json(SEND) | {
        "text": 5,
        "ttl": "soon",
        "silent": "yes",
        "priority": "first",
        "extra": [],
        "not_before": True,
        "key": ["k"],
    }
    expected = ["extra", "key", "not_before", "priority", "silent", "text", "ttl"]
    assert expected == places(Send, written)


def test_a_field_out_of_range_is_refused():
    with pytest.raises(Invalid, match="ttl"):
        from_json(Send, to_json(SEND) | {"ttl": -1.0})


def test_a_field_that_nobody_knows_is_refused():
    with pytest.raises(Invalid, match="colour"):
        from_json(Send, to_json(SEND) | {"colour": "red"})
    with pytest.raises(Invalid, match="colour"):
        from_json(KeyRef, {"instance_id": "b", "external_room_id": "r", "key": "k", "colour": 1})


def test_wrong_fields_deep_inside_are_named_by_their_place():
    receipt = {
        "envelope_id": "e",
        "instance_id": "bot",
        "external_room_id": "r",
        "disposition": "lost",
        "ref": {"instance_id": "bot", "external_room_id": "r"},
        "parts": [{"index": 0, "outcome": "delivered"}, {"index": "one", "outcome": "delivered"}],
    }
    assert ["disposition", "parts.1.index", "ref.envelope_id"] == places(Receipt, receipt)


HOSTILE = {
    "names that nobody knows": {f"x{n}": 0 for n in range(50_000)},
    "a name of a megabyte": {"x" * 1_000_000: 0},
    "buttons": {"buttons": [{}] * 100_000},
    "rows": {"buttons": [[{}] * 1_000] * 100},
    "files": {"files": [{}] * 100_000},
    "a kind of a megabyte": {"kind": "x" * 1_000_000},
}


@pytest.mark.parametrize("fields", HOSTILE.values(), ids=HOSTILE)
def test_of_very_many_mistakes_the_first_ones_are_named(fields):
    """To name them all took the gateway seconds, and megabytes of its log and its outbox."""
    with pytest.raises(Invalid) as caught:
        from_json(Envelope, to_json(SEND) | fields)
    assert len(caught.value.problems) <= 300
    assert len(str(caught.value)) <= 20_000


def test_mistakes_late_in_a_long_list_are_named_by_their_place():
    parts = [{"index": n, "outcome": "delivered"} for n in range(100)]
    receipt = {
        "envelope_id": "e",
        "instance_id": "bot",
        "external_room_id": "r",
        "disposition": "delivered",
        "parts": parts,
    }
    assert list(range(100)) == [part.index for part in from_json(Receipt, receipt).parts]
    parts[90]["index"] = "ninety"
    assert ["parts.90.index"] == places(Receipt, receipt)
    parts[41]["index"] = parts[42]["index"] = "forty"
    assert ["parts.41.index", "parts.42.index"] == places(Receipt, receipt)


@pytest.mark.parametrize("kind", ["letter", None, 5])
def test_an_unknown_kind_is_named(kind):
    written = to_json(SEND) | {"kind": kind}
    assert ["kind"] == places(Envelope, written)
    entry = {"id": "e", "envelope": written, "plan": [], "accepted_at": 0.0, "deadline": 1.0}
    assert ["envelope.kind"] == places(Entry, entry)


def test_one_kind_is_not_read_as_another():
    assert ["kind"] == places(Send, to_json(SEND) | {"kind": "call"})


@pytest.mark.parametrize("target", ["monkey", 5, None, [], {}])
def test_a_target_that_names_nothing_is_refused(target):
    edit = to_json(Edit(instance_id="bot", external_room_id="r", target=REF, text="x"))
    found = places(Edit, edit | {"target": target})
    assert all(place.startswith("target") for place in found)


@pytest.mark.parametrize("kind", [Send, Envelope, MessageRef, Receipt, Entry, Verdict, Part])
@pytest.mark.parametrize("written", [5, None, "text", [], [1]])
def test_what_is_no_table_is_refused(kind, written):
    with pytest.raises(Invalid):
        from_json(kind, written)


def test_whole_numbers_are_read_as_seconds():
    """Another writer of JSON may leave the `.0` out."""
    assert 60.0 == from_json(Send, to_json(SEND) | {"ttl": 60}).ttl
