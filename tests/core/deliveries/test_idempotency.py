"""Which envelope an idempotency key stands for."""

import attrs
import pytest

from gateway_core import (
    Call,
    Delete,
    Disposition,
    Edit,
    ErrorClass,
    KeyRef,
    MessageRef,
    PartReceipt,
    PartRef,
    Reason,
    Receipt,
    Send,
    Verdict,
)
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Keys, fingerprint, frees_its_key, scope_of

REF = MessageRef(
    instance_id="bot",
    external_room_id="r",
    envelope_id="e",
    parts=(PartRef(message_id="1"), PartRef(message_id="2")),
)
SEND = Send(instance_id="bot", external_room_id="r", text="hello", key="k")
EDIT = Edit(instance_id="bot", external_room_id="r", target=REF, text="hello", key="k")
CALL = Call(instance_id="bot", external_room_id="r", method="react", key="k")

PINNED = [
    "02ded929ba68e7d334cbb2791744ea2f",
    "66a7217bb85c644c9e906a1ef32b0921",
    "43891bd2b835955861dd34c32baae733",
]


# -- where a key is unique


def test_a_key_is_unique_in_instance_room_and_operation():
    assert ("bot", "r", "send", "k") == scope_of(SEND)
    assert ("bot", "r", "edit", "k") == scope_of(EDIT)
    assert ("bot", "r", "call:react", "k") == scope_of(CALL)


def test_without_a_key_there_is_no_scope():
    assert scope_of(attrs.evolve(SEND, key=None)) is None


# -- fingerprints


def test_these_fingerprints_stand_for_ever():
    """What a durable outbox keeps of version 1 must be found again by every later release."""
    send, edit = (attrs.evolve(each, format="native") for each in (SEND, EDIT))
    assert PINNED == [fingerprint(send), fingerprint(edit), fingerprint(CALL)]


@pytest.mark.parametrize(
    "fields",
    [
        {"key": "other"},
        {"ttl": 5},
        {"not_before": 2e9},
        {"priority": "urgent"},
        {"order": "none"},
        {"on_unknown": "give_up"},
        {"on_conflict": "replay"},
        {"format": SEND.format},
        {"extra": {}},
        {"thread_id": None},
    ],
    ids=str,
)
def test_how_it_is_sent_and_defaults_are_no_content(fields):
    assert fingerprint(SEND) == fingerprint(attrs.evolve(SEND, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "other"},
        {"thread_id": "t"},
        {"reply_to": "7"},
        {"format": "native"},
        {"extra": {"a": 1}},
        {"mentions": True},
        {"link_previews": True},
        {"silent": True},
    ],
    ids=str,
)
def test_every_field_of_content_makes_another_message(fields):
    assert fingerprint(SEND) != fingerprint(attrs.evolve(SEND, **fields))


def test_the_order_of_extra_s_keys_is_no_content():
    one, other = (attrs.evolve(SEND, extra=extra) for extra in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    assert fingerprint(one) == fingerprint(other)


def test_an_interim_edit_has_the_content_of_a_final_one():
    assert fingerprint(EDIT) == fingerprint(attrs.evolve(EDIT, interim=True))


def test_an_edit_that_clears_extra_is_another_than_one_that_keeps_it_off():
    assert fingerprint(EDIT) != fingerprint(attrs.evolve(EDIT, extra={}))


def test_the_same_message_at_a_newer_revision_is_the_same_target():
    newer = attrs.evolve(REF, revision=3, parts=())
    assert fingerprint(EDIT) == fingerprint(attrs.evolve(EDIT, target=newer))


@pytest.mark.parametrize(
    "target",
    [
        attrs.evolve(REF, envelope_id="other"),
        attrs.evolve(REF, envelope_id=""),
        KeyRef(instance_id="bot", external_room_id="r", key="k"),
    ],
    ids=["another envelope", "a stored message", "a key"],
)
def test_another_target_makes_another_message(target):
    assert fingerprint(EDIT) != fingerprint(attrs.evolve(EDIT, target=target))


def test_a_key_that_looks_like_an_id_is_another_target():
    key = KeyRef(instance_id="bot", external_room_id="r", key="e")
    assert fingerprint(EDIT) != fingerprint(attrs.evolve(EDIT, target=key))


def test_a_delete_is_no_edit_and_a_call_is_of_its_method():
    delete = Delete(instance_id="bot", external_room_id="r", target=REF)
    assert fingerprint(EDIT) != fingerprint(delete)
    assert fingerprint(CALL) != fingerprint(attrs.evolve(CALL, method="typing"))
    assert fingerprint(CALL) != fingerprint(attrs.evolve(CALL, arguments={"a": 1}))


# -- which endings free a key


def receipt(disposition=Disposition.EXPIRED, *parts, **fields):
    return Receipt(
        envelope_id="e",
        instance_id="bot",
        external_room_id="r",
        disposition=disposition,
        parts=parts,
        **fields,
    )


def part(outcome="not_sent", dispatched=None):
    verdict = None
    if dispatched:
        verdict = Verdict(
            error_class=ErrorClass.RETRYABLE, reason=Reason.RATE_LIMITED, dispatched=dispatched
        )
    return PartReceipt(index=0, outcome=outcome, verdict=verdict)


FREEING = {"shed", "expired", "exhausted", "cancelled"}


@pytest.mark.parametrize("disposition", Disposition)
def test_a_key_is_free_where_certainly_nothing_was_delivered(disposition):
    assert (disposition in FREEING) is frees_its_key(receipt(disposition, part()))


@pytest.mark.parametrize("outcome", ["delivered", "deleted", "unknown"])
def test_a_part_that_may_have_arrived_keeps_the_key(outcome):
    assert not frees_its_key(receipt(Disposition.EXPIRED, part(), part(outcome)))


@pytest.mark.parametrize(("dispatched", "free"), [("no", True), ("unknown", False)])
def test_a_try_that_may_have_been_dispatched_keeps_the_key(dispatched, free):
    ended = receipt(Disposition.EXHAUSTED, part("not_sent", dispatched))
    assert free is frees_its_key(ended)


def test_a_possible_duplicate_keeps_the_key():
    assert not frees_its_key(receipt(possible_duplicate=True))


# -- what is remembered

A, B = ("bot", "r", "send", "a"), ("bot", "r", "send", "b")


def delivery(id_="e"):
    return Delivery(id_, SEND, ())


@pytest.fixture
def keys():
    """Three keys for ten nanoseconds."""
    return Keys(most=3, window=10)


def ended(keys, scope, id_="e", at=0, *, room=None):
    keys.begin(scope, delivery(id_), "print", at)
    done = receipt(Disposition.DELIVERED)
    keys.end(scope, attrs.evolve(done, envelope_id=id_, external_room_id=room or scope[1]), at)


def test_a_new_key_stands_for_nothing(keys):
    assert keys.find(A, 0) is None
    assert 0 == len(keys)


def test_a_key_stands_for_its_flight_while_it_lasts(keys):
    mine = delivery()
    keys.begin(A, mine, "print", 0)
    known = keys.find(A, 1_000)
    assert (mine, "print", "e", None) == (
        known.delivery,
        known.fingerprint,
        known.envelope_id,
        known.receipt,
    )


def test_then_for_its_receipt(keys):
    keys.begin(A, delivery(), "print", 0)
    delivered = receipt(Disposition.DELIVERED)
    keys.end(A, delivered, 5)
    known = keys.find(A, 5)
    assert (None, delivered, 5) == (known.delivery, known.receipt, known.since)


def test_an_ending_that_delivered_nothing_frees_the_key(keys):
    keys.begin(A, delivery(), "print", 0)
    keys.end(A, receipt(Disposition.CANCELLED), 5)
    assert keys.find(A, 5) is None


def test_the_ending_of_another_envelope_changes_nothing(keys):
    mine = delivery("mine")
    keys.begin(A, mine, "print", 0)
    keys.end(A, receipt(Disposition.CANCELLED), 5)
    keys.end(B, receipt(Disposition.DELIVERED), 5)
    assert mine is keys.find(A, 5).delivery
    assert keys.find(B, 5) is None


def test_a_key_is_remembered_for_its_window_after_the_end(keys):
    keys.begin(A, delivery(), "print", 0)
    keys.end(A, receipt(Disposition.DELIVERED), 100)
    assert keys.find(A, 110) is not None
    assert keys.find(A, 111) is None
    assert 0 == len(keys)


def test_the_oldest_that_ended_is_dropped_for_a_new_one(keys):
    for number, name in enumerate("abc"):
        ended(keys, ("bot", "r", "send", name), name, at=number)
    keys.begin(("bot", "r", "send", "d"), delivery("d"), "print", 3)
    assert [None, True, True, True] == [
        keys.find(("bot", "r", "send", name), 3) and True for name in "abcd"
    ]


def test_those_in_flight_are_never_dropped(keys):
    for name in "abcdefgh":
        keys.begin(("bot", "r", "send", name), delivery(name), "print", 0)
    assert all(keys.find(("bot", "r", "send", name), 1_000) for name in "abcdefgh")


def test_once_they_end_the_bound_is_kept_again(keys):
    scopes = [("bot", "r", "send", f"{n}") for n in range(50)]
    for scope in scopes:
        keys.begin(scope, delivery(scope[3]), "print", 0)
    for scope in scopes:
        keys.end(scope, attrs.evolve(receipt(Disposition.DELIVERED), envelope_id=scope[3]), 1)
    for n in range(20):
        ended(keys, ("bot", "r", "send", f"new {n}"), f"new {n}", at=2)
    assert 3 >= len(keys)


def test_old_keys_are_dropped_as_new_ones_come(keys):
    ended(keys, A, at=0)
    keys.begin(B, delivery("b"), "print", 11)
    assert 1 == len(keys)


def test_a_key_of_an_earlier_life_answers_with_its_receipt(keys):
    keys.remember(A, "print", receipt(Disposition.DELIVERED), 0)
    assert "e" == keys.find(A, 10).envelope_id
    assert keys.find(A, 11) is None


def test_keys_of_an_earlier_life_are_bounded_too(keys):
    for n in range(50):
        keys.remember(("bot", "r", "send", f"{n}"), "print", receipt(Disposition.DELIVERED), 0)
    assert 3 >= len(keys)


def test_a_key_of_what_was_never_accepted_is_free(keys):
    keys.begin(A, delivery(), "print", 0)
    keys.forget(A)
    keys.forget(B)
    assert keys.find(A, 0) is None


def test_the_key_of_what_another_process_goes_on_with_is_the_outbox_s_alone(keys):
    mine = delivery("mine")
    keys.begin(A, mine, "print", 0)
    keys.leave(A, delivery("another's"))
    keys.leave(B, mine)
    assert mine is keys.find(A, 0).delivery
    keys.leave(A, mine)
    assert 0 == len(keys)


def test_the_ended_keys_of_a_room_may_be_forgotten():
    """Those too that policies moved there from another one."""
    keys = Keys(most=9, window=10)
    ended(keys, A)
    others = [("bot", room, "send", "a") for room in ("other", "s")]
    for scope in others:
        ended(keys, scope, "other")
    moved = ("bot", "asked for", "send", "a")
    ended(keys, moved, "moved", room="r")
    keys.begin(B, delivery("b"), "print", 0)
    keys.forget_room("bot", "r")
    assert [False, False, True, True, True] == [
        keys.find(scope, 0) is not None for scope in (A, moved, B, *others)
    ]
