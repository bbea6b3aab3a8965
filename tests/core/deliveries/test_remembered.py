"""Keys of what has ended: all that is asked of them later, in few bytes."""

import gc
import tracemalloc
from random import Random

import attrs
import pytest
from amounts import amount

from gateway_core import (
    Disposition,
    ErrorClass,
    File,
    MessageRef,
    PartReceipt,
    PartRef,
    Reason,
    Receipt,
    Send,
    Verdict,
)
from gateway_core.clock import SECOND
from gateway_core.contract.ids import Ids
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Keys
from gateway_core.deliveries.remembered import (
    Remembered,
    digest_of,
    packed_id,
    packed_receipt,
    unpacked_id,
    unpacked_receipt,
)

DAY = 86_400 * SECOND
MOST = 16_000
SIZES = amount("numbers of remembered keys")
ID = "01a220d5d0d8000000d7899632186a"
VERDICT = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.UNREACHABLE)
PARTS = tuple(
    PartReceipt(index=n, outcome="delivered", message_id=f"{n}", attempts=1, span=(n, n + 1))
    for n in range(3)
)
FILE = File(id="7", name="cat.png", media_type="image/png", size=9)
REF = MessageRef(
    instance_id="bot",
    external_room_id="r",
    envelope_id=ID,
    thread_id="t",
    parts=tuple(PartRef(message_id=f"{n}", digest=f"{n:032x}") for n in range(3)),
)
ARRIVED = Receipt(
    envelope_id=ID,
    instance_id="bot",
    external_room_id="r",
    disposition=Disposition.DELIVERED,
    parts=PARTS,
    ref=REF,
    attempts=3,
    accepted_at=1_700_000_000.5,
    ended_at=1_700_000_001.5,
)
OTHERS = {
    "envelope_id": "another",
    "instance_id": "other",
    "external_room_id": "other",
    "disposition": Disposition.UNKNOWN,
    "parts": PARTS[:2],
    "ref": None,
    "attempts": 7,
    "verdict": VERDICT,
    "possible_duplicate": True,
    "degradations": ("plain",),
    "transforms": ("plain",),
    "moved_to": "elsewhere",
    "accepted_at": 5.0,
    "ended_at": 6.0,
    "replayed": True,
    "result": {"ok": True},
}
OF_PARTS = {
    "index": 9,
    "outcome": "unchanged",
    "message_id": "other",
    "attempts": 4,
    "span": (0, 0),
    "degraded": ("tables",),
    "verdict": VERDICT,
    "more": ("10",),
    "files": (0,),
}
OF_REFS = {
    "instance_id": "other",
    "external_room_id": "other",
    "envelope_id": "other",
    "thread_id": None,
    "parts": (),
    "revision": 2,
    "extra": {"a": 1},
    "version": 0,
    "possible_duplicate": True,
}


def test_a_receipt_of_any_content_comes_back_as_it_was():
    """Each field of it, of its parts and of its ref, with another value than usual."""
    assert set(attrs.fields_dict(Receipt)) == set(OTHERS)
    assert set(attrs.fields_dict(PartReceipt)) == set(OF_PARTS)
    assert set(attrs.fields_dict(MessageRef)) == set(OF_REFS)
    changed = [attrs.evolve(ARRIVED, **{name: value}) for name, value in OTHERS.items()]
    for name, value in OF_PARTS.items():
        parts = (attrs.evolve(PARTS[0], **{name: value}), *PARTS[1:])
        changed.append(attrs.evolve(ARRIVED, parts=parts))
    first = (PartRef(message_id="1", more=("2",)), PartRef(message_id="1", files=(FILE,)))
    refs = [attrs.evolve(REF, parts=(part, *REF.parts[1:])) for part in first]
    changed += [attrs.evolve(ARRIVED, ref=ref) for ref in refs]
    for name, value in OF_REFS.items():
        changed.append(attrs.evolve(ARRIVED, ref=attrs.evolve(REF, **{name: value})))
    for receipt in (ARRIVED, *changed):
        assert ("print", receipt) == unpacked_receipt(packed_receipt("print", receipt))


def test_that_of_a_message_which_arrived_takes_few_bytes():
    one = attrs.evolve(ARRIVED, parts=PARTS[:1], ref=attrs.evolve(REF, parts=REF.parts[:1]))
    assert len(packed_receipt("f" * 32, one)) < 200


@pytest.mark.parametrize("name", [ID, "e", "2b" + "0" * 28, "", "ABCD", "ü", "00 00"])
def test_an_id_of_any_form_comes_back_as_it_was(name):
    assert name == unpacked_id(packed_id(name))


def test_an_id_of_ours_takes_half_its_length():
    assert 15 == len(packed_id(ID))


def test_a_digest_tells_apart_where_one_name_ends_and_the_next_begins():
    scopes = [("a", "bc", "send", "k"), ("ab", "c", "send", "k"), ("a", "bcs", "end", "k")]
    scopes += [("a", "bc", "sendk", ""), ("a", "bc 4 ", "send", "k")]
    assert len(scopes) == len({digest_of(scope) for scope in scopes})


# -- bounds


def scope(n):
    return ("bot", f"room {n % 50}", "send", f"deploy {n}")


def test_the_oldest_are_forgotten_beyond_the_bound_and_an_eighth_at_once_at_the_most():
    known = Remembered(800, DAY)
    for n in range(5_000):
        known.put(scope(n), b"x", n)
        assert len(known) <= 800
    found = [n for n in range(5_000) if known.get(scope(n), 5_000)]
    assert list(range(5_000 - len(found), 5_000)) == found
    assert 700 <= len(found)


def test_a_key_is_known_for_its_window_to_the_nanosecond():
    known = Remembered(8, 10)
    known.put(scope(1), b"x", 5)
    assert (b"x", 5) == known.get(scope(1), 15)
    assert known.get(scope(1), 16) is None


def test_what_is_too_old_takes_no_memory_once_a_new_key_comes():
    known = Remembered(8_000, 10)
    for n in range(5_000):
        known.put(scope(n), b"x", n // 500)
    known.put(scope(-1), b"y", 1_000)
    assert 1 == len(known)


@pytest.mark.parametrize("most", [1, 2, 7, 9])
def test_a_small_bound_is_kept_as_well(most):
    known = Remembered(most, DAY)
    for n in range(100):
        known.put(scope(n), b"x", n)
        assert known.get(scope(n), n)
    assert len(known) <= most


# -- as the keys of a partition


@pytest.fixture(scope="module", autouse=True)
def _looks_at_new_things_only():
    """The whole suite's heap takes as long as a test, each time that garbage is looked for."""
    gc.freeze()
    yield
    gc.unfreeze()


def filled(number, **options):
    """Keys of messages that arrived one after another, and the bytes that each takes."""
    ids, text = Ids(Random("keys")), "f" * 32
    keys = Keys(most=MOST, window=DAY, **options)
    gc.collect()
    tracemalloc.start()
    for n in range(number):
        where = scope(n)
        name = ids.next(1_700_000_000 + n / 100)
        send = Send(instance_id="bot", external_room_id=where[1], text="x", key=where[3])
        keys.begin(where, Delivery(name, send, ()), text + "", n)
        ref = attrs.evolve(
            REF, external_room_id=where[1], envelope_id=name, parts=REF.parts[:1], thread_id=None
        )
        receipt = attrs.evolve(
            ARRIVED,
            envelope_id=name,
            external_room_id=where[1],
            parts=PARTS[:1],
            ref=ref,
            accepted_at=1.7e9 + n,
            ended_at=1.7e9 + n,
        )
        keys.end(where, receipt, n)
        del receipt, ref, send
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return keys, taken / number


@pytest.mark.parametrize("number", [9_000, 5_000, MOST][:SIZES])
def test_beside_a_durable_outbox_a_key_takes_less_than_200_bytes(number):
    keys, each = filled(number, newest=0, stored=True)
    assert each < 200
    known = keys.named(scope(number - 2), number)
    assert (30, None) == (len(known.envelope_id), known.receipt)
    assert keys.find(scope(number // 2), number) is None  # the outbox is asked


@pytest.mark.parametrize("number", [9_000, MOST][:SIZES])
def test_in_memory_a_key_and_its_receipt_take_less_than_450_bytes(number):
    keys, each = filled(number, newest=0)
    assert each < 450
    known = keys.find(scope(number - 2), number)
    assert (known.envelope_id, "f" * 32) == (known.receipt.envelope_id, known.fingerprint)
    assert (scope(number - 2)[1], "0") == (
        known.receipt.external_room_id,
        known.receipt.ref.parts[0].message_id,
    )


def test_the_newest_that_ended_stay_as_they_are():
    keys, _ = filled(100, newest=10)
    assert 100 == len(keys)
    receipts = [keys.find(scope(n), 100).receipt for n in (95, 95, 50, 50)]
    assert receipts[0] is receipts[1]
    assert receipts[2] == receipts[3]
    assert receipts[2] is not receipts[3]
