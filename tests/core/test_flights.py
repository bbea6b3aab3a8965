"""An accepted envelope on its way: its steps, what is known of each, and its receipt."""

import attrs
import pytest

from gateway_core import (
    Answer,
    Call,
    Delete,
    Disposition,
    Edit,
    ErrorClass,
    KeyRef,
    MessageRef,
    Part,
    PartRef,
    Reason,
    Send,
    Verdict,
)
from gateway_core.flights import LONG_AGO, Flight, Step, send_steps, sent_digest, standing

SEND = Send(
    instance_id="bot",
    external_room_id="r",
    text="abc",
    thread_id="t",
    reply_to="7",
    extra={"buttons": 1},
)
REF = MessageRef(
    instance_id="bot",
    external_room_id="r",
    envelope_id="e",
    thread_id="u",
    parts=(PartRef(message_id="1"), PartRef(message_id="2")),
)
VERDICT = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.FORBIDDEN)


def parts(text):
    return [Part(payload={"text": c}, span=(n, n + 1)) for n, c in enumerate(text)]


def sending(text="abc"):
    """A send of as many parts as letters, its steps ready."""
    flight = Flight("id", SEND, parts(text))
    flight.steps = send_steps(SEND, flight.plan)
    return flight


def ended(flight, disposition=Disposition.DELIVERED, verdict=None):
    return flight.end(disposition, verdict=verdict, ended_wall=9.0)


# -- the steps of a send


def test_the_reply_is_on_the_first_step_and_extra_on_the_last():
    steps = sending().steps
    assert ["7", None, None] == [step.reply for step in steps]
    assert [None, None, {"buttons": 1}] == [step.extra for step in steps]
    assert [("send", 0), ("send", 1), ("send", 2)] == [(step.kind, step.serial) for step in steps]


def test_of_one_part_it_is_both():
    (step,) = sending("a").steps
    assert ("7", {"buttons": 1}) == (step.reply, step.extra)


def test_no_extra_is_none():
    (step,) = send_steps(attrs.evolve(SEND, extra={}), parts("a"))
    assert step.extra is None


# -- whose turn it is


def test_steps_have_their_turns_one_after_another():
    flight = sending("ab")
    first, second = flight.steps
    assert first is flight.step
    first.outcome = "delivered"
    assert second is flight.step
    second.outcome = "unknown"
    assert flight.step is None


def test_before_it_begins_there_is_no_step():
    assert Flight("id", SEND, parts("a")).step is None


# -- attempts


def test_an_attempt_carries_what_the_adapter_needs():
    flight = sending("ab")
    attempt = flight.attempt(flight.step, "new address")
    assert ("send", "id", "bot", "new address", "t", "7", None) == (
        attempt.operation,
        attempt.envelope_id,
        attempt.instance_id,
        attempt.room,
        attempt.thread,
        attempt.reply,
        attempt.extra,
    )
    assert (flight.plan[0], 1, "id.0", "as_asked") == (
        attempt.part,
        attempt.number,
        attempt.key,
        attempt.mode,
    )


def test_the_key_stays_while_the_number_rises():
    flight = sending("a")
    flight.step.number = 4
    attempt = flight.attempt(flight.step, "r")
    assert (5, "id.0") == (attempt.number, attempt.key)


def test_a_call_carries_its_method_and_arguments():
    call = Call(instance_id="bot", external_room_id="r", method="react", arguments={"a": 1})
    attempt = Flight("id", call, ()).attempt(Step("call", 0), "r")
    assert ("call:react", "react", {"a": 1}) == (
        attempt.operation,
        attempt.method,
        attempt.arguments,
    )


def test_a_change_goes_to_the_thread_of_the_message_found():
    key = KeyRef(instance_id="bot", external_room_id="r", key="k")
    flight = Flight("id", Delete(instance_id="bot", external_room_id="r", target=key), ())
    assert flight.thread_id is None
    flight.target = REF
    assert "u" == flight.attempt(Step("delete", 0, message_id="1"), "r").thread


# -- answers


def test_an_acknowledged_send_has_its_message():
    flight = sending("a")
    step = flight.step
    step.started = True
    flight.acknowledge(step, Answer(message_id="41"))
    assert (False, "delivered", "41") == (step.started, step.outcome, step.message_id)


def test_an_answer_without_an_id_keeps_the_one_that_is_known():
    step = Step("edit", 0, message_id="41")
    sending("a").acknowledge(step, Answer())
    assert ("delivered", "41") == (step.outcome, step.message_id)


def test_an_acknowledged_delete_keeps_the_id_of_what_it_deleted():
    step = Step("delete", 0, message_id="41")
    sending("a").acknowledge(step, Answer(message_id="other"))
    assert ("deleted", "41") == (step.outcome, step.message_id)


def test_a_call_s_result_is_kept():
    flight = sending("a")
    flight.acknowledge(Step("call", 0), Answer(result={"ok": True}))
    assert {"ok": True} == flight.result


# -- new parts for a refused one


def test_new_parts_stand_where_the_refused_one_stood():
    """The first keeps message, key, reply and tries; the last keeps extra; keys stay unique.

    What may have arrived of the old one had the text of all of them.
    """
    flight = sending("abc")
    refused = flight.steps[2]
    refused.number, refused.attempts, refused.maybe_sent, refused.first_at = 3, 2, 1, 77
    refused.doubtful, refused.transforms = True, 1
    flight.replace(refused, parts("xy"), "stricter")
    assert ["a", "b", "x", "y"] == [step.part.payload["text"] for step in flight.steps]
    assert [0, 1, 2, 3] == [step.serial for step in flight.steps]
    first, last = flight.steps[2:]
    assert (3, 2, 1, 77, True) == (
        first.number,
        first.attempts,
        first.maybe_sent,
        first.first_at,
        first.doubtful,
    )
    assert (0, 0, 1, LONG_AGO, True) == (
        last.number,
        last.attempts,
        last.maybe_sent,
        last.first_at,
        last.doubtful,
    )
    assert [None, {"buttons": 1}] == [first.extra, last.extra]
    assert [("stricter", 1)] * 2 == [(step.mode, step.transforms) for step in (first, last)]


def test_a_refused_edit_goes_on_with_sends():
    edit = Edit(instance_id="bot", external_room_id="r", target=REF, text="xy")
    flight = Flight("id", edit, parts("z"))
    flight.steps = [Step("edit", 0, part=flight.plan[0], message_id="1", reply="7")]
    flight.replace(flight.steps[0], parts("xy"), "plain")
    assert [("edit", "1", "7"), ("send", None, None)] == [
        (step.kind, step.message_id, step.reply) for step in flight.steps
    ]


# -- endings


def test_delivered_is_what_has_no_unknown_part():
    flight = sending("ab")
    flight.steps[0].outcome = flight.steps[1].outcome = "delivered"
    assert Disposition.DELIVERED is flight.disposition()
    flight.steps[1].outcome = "unknown"
    assert Disposition.UNKNOWN is flight.disposition()


def test_a_receipt_tells_each_part_s_own_outcome():
    flight = sending("abc")
    first, second, _ = flight.steps
    first.number, second.number = 2, 1
    flight.acknowledge(first, Answer(message_id="1"))
    second.outcome, second.verdict = "failed", VERDICT
    receipt = ended(flight, Disposition.REJECTED, VERDICT)
    assert [
        (0, "delivered", "1", 2, (0, 1), None),
        (1, "failed", None, 1, (1, 2), VERDICT),
        (2, "not_sent", None, 0, (2, 3), None),
    ] == [(p.index, p.outcome, p.message_id, p.attempts, p.span, p.verdict) for p in receipt.parts]
    assert (3, VERDICT, False, 9.0) == (
        receipt.attempts,
        receipt.verdict,
        receipt.delivered,
        receipt.ended_at,
    )


def test_a_part_in_doubt_is_unknown():
    flight = sending("a")
    flight.step.doubtful = True
    assert ["unknown"] == [part.outcome for part in ended(flight, Disposition.EXPIRED).parts]


def test_what_never_began_has_its_plan_not_sent():
    receipt = ended(Flight("id", SEND, parts("ab")), Disposition.CANCELLED)
    assert ["not_sent", "not_sent"] == [part.outcome for part in receipt.parts]
    assert (None, 0) == (receipt.ref, receipt.attempts)


def test_a_receipt_carries_what_happened_on_the_way():
    flight = sending("a")
    flight.accepted_wall, flight.moved_to, flight.verdict = 5.0, "s", VERDICT
    flight.degradations, flight.transforms = ("bold lost",), ("plain",)
    flight.possible_duplicate = True
    receipt = ended(flight)
    assert ("id", "bot", "r", 5.0, "s", VERDICT) == (
        receipt.envelope_id,
        receipt.instance_id,
        receipt.external_room_id,
        receipt.accepted_at,
        receipt.moved_to,
        receipt.verdict,
    )
    assert (("bold lost",), ("plain",), True) == (
        receipt.degradations,
        receipt.transforms,
        receipt.possible_duplicate,
    )


def test_a_flight_ends_once():
    flight = sending("a")
    ended(flight)
    with pytest.raises(AssertionError, match="id"):
        ended(flight)


# -- refs


def test_a_ref_names_what_arrived():
    flight = sending("abc")
    flight.acknowledge(flight.steps[0], Answer(message_id="1"))
    flight.acknowledge(flight.steps[1], Answer())
    ref = flight.ref()
    assert ("id", "t", 0, ("1",)) == (
        ref.envelope_id,
        ref.thread_id,
        ref.revision,
        tuple(part.message_id for part in ref.parts),
    )


def test_a_digest_is_told_only_where_it_is_certain_what_stands():
    """The last part's has the platform's own fields in it."""
    first, second, third = sending("abc").steps
    for number, step in enumerate((first, second, third)):
        step.message_id = f"{number}"
    first.outcome, third.outcome = "delivered", "unchanged"
    assert [first.part.digest, "", sent_digest(third.part, {"buttons": 1})] == [
        ref.digest for ref in standing([first, second, third])
    ]


def test_what_an_edit_did_not_delete_still_stands():
    """Deletes are made from the end: of 2 and 3 the later is gone, the other is not."""
    steps = [
        Step("edit", 0, part=parts("a")[0], message_id="1"),
        Step("delete", 2, message_id="3"),
        Step("delete", 1, message_id="2"),
    ]
    steps[1].outcome = "deleted"
    assert ["1", "2"] == [ref.message_id for ref in standing(steps)]


@pytest.mark.parametrize("known", [False, True])
def test_the_ref_of_an_edit_is_the_message_s_own(known):
    key = KeyRef(instance_id="bot", external_room_id="r", key="k")
    target = key if known else REF
    edit = Edit(instance_id="bot", external_room_id="r", target=target, text="x")
    flight = Flight("id", edit, parts("x"))
    if known:
        flight.target = REF
    flight.revision = 3
    flight.steps = [Step("edit", 0, part=flight.plan[0], message_id="1")]
    ref = flight.ref()
    assert ("e", 3, "u") == (ref.envelope_id, ref.revision, ref.thread_id)


@pytest.mark.parametrize(
    "envelope",
    [
        Call(instance_id="bot", external_room_id="r", method="react"),
        Delete(instance_id="bot", external_room_id="r", target=REF),
    ],
    ids=["call", "delete"],
)
def test_calls_and_deletes_have_no_ref(envelope):
    flight = Flight("id", envelope, ())
    flight.steps = [Step("send", 0, message_id="1")]
    assert flight.ref() is None


# -- digests


def test_a_step_s_digest_is_of_what_is_sent():
    part = parts("a")[0]
    assert part.digest == Step("send", 0, part=part).digest
    assert part.digest != Step("send", 0, part=part, extra={"a": 1}).digest
    assert "" == Step("delete", 0, message_id="1").digest
