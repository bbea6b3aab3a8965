"""What stands in the room now of messages that were sent, and what an edit means for it."""

import attrs
import pytest

from gateway_core import MessageRef, Part, PartRef
from gateway_core.deliveries.revisions import Revisions, delete_steps, edit_steps
from gateway_core.deliveries.steps import Step, sent_digest

REF = MessageRef(
    instance_id="bot", external_room_id="r", envelope_id="e", parts=(PartRef(message_id="1"),)
)


def part(text):
    return Part(payload={"text": text})


def stands(*texts, extra=None):
    """Refs of messages 1, 2, … that hold these texts; `extra` was on the last."""
    last = len(texts) - 1
    return tuple(
        PartRef(message_id=f"{n + 1}", digest=sent_digest(part(text), extra if n == last else None))
        for n, text in enumerate(texts)
    )


def standing_at(parts, extra=None):
    return attrs.evolve(REF, parts=parts, extra=extra)


def steps(old, new, *, extra=None, had=None):
    """Kind, message and outcome of each step from the old messages to the new texts."""
    fields = had if extra is None else extra
    made = edit_steps([part(text) for text in new], standing_at(old, had), fields)
    return [(step.kind, step.message_id, step.outcome) for step in made]


def carried(old, new, *, extra=None, had=None):
    """The platform's own fields of each step, and what becomes of it."""
    fields = had if extra is None else extra
    made = edit_steps([part(text) for text in new], standing_at(old, had), fields)
    return [(step.kind, step.extra, step.outcome) for step in made]


# -- the newest revision


def test_what_is_not_known_here_is_the_ref_itself():
    revisions = Revisions(9)
    assert REF is revisions.newest(REF)
    assert not revisions.knows("e")


def test_a_ticket_s_ref_that_is_not_known_here_names_nothing():
    assert Revisions(9).newest(attrs.evolve(REF, parts=())) is None


def test_what_was_recorded_wins_over_the_ref():
    revisions, newer = Revisions(9), attrs.evolve(REF, revision=1)
    revisions.record(newer, "e")
    assert newer is revisions.newest(REF)
    assert newer is revisions.newest(attrs.evolve(REF, parts=()))
    assert revisions.knows("e")


def test_what_is_gone_is_gone_whatever_the_ref_says():
    revisions = Revisions(9)
    revisions.record(None, "e")
    assert revisions.newest(REF) is None
    assert revisions.knows("e")


def test_of_too_many_the_one_not_recorded_for_longest_is_forgotten():
    revisions = Revisions(2)
    for envelope_id in ("a", "b", "a", "c"):
        revisions.record(REF, envelope_id)
    assert [True, False, True] == [revisions.knows(envelope_id) for envelope_id in "abc"]
    assert 2 == len(revisions)


def test_what_was_changed_outlives_what_was_only_sent():
    """Of that, the ref of any receipt tells as much."""
    revisions, grown = Revisions(2), attrs.evolve(REF, revision=1, parts=stands("a", "b"))
    revisions.record(REF, "e")
    revisions.record(grown, "e")
    revisions.record(None, "gone")
    for n in range(9):
        revisions.record(attrs.evolve(REF, envelope_id=f"{n}"), f"{n}")
    assert grown is revisions.newest(REF)
    assert revisions.newest(attrs.evolve(REF, envelope_id="gone")) is None
    assert [False, True, True] == [revisions.knows(name) for name in "678"]
    revisions.record(attrs.evolve(grown, revision=2), "f")
    assert [False, True] == [revisions.knows("e"), revisions.knows("gone")]
    assert 4 == len(revisions)


def test_a_room_s_messages_can_be_forgotten():
    revisions = Revisions(9)
    revisions.record(REF, "e")
    revisions.record(attrs.evolve(REF, external_room_id="other"), "f")
    revisions.record(None, "g")
    revisions.forget_room("bot", "r")
    assert [False, True, True] == [revisions.knows(envelope_id) for envelope_id in "efg"]


def test_messages_that_were_changed_by_id_are_bounded_by_number():
    revisions = Revisions(2)
    for name in "123":
        change = Step("edit", 0, part=part("x"), message_id=name, extra={"n": int(name)})
        change.begin()
        change.acknowledge()
        revisions.changed_by_id(attrs.evolve(REF, envelope_id=""), [change])
    refs = [attrs.evolve(REF, parts=(PartRef(message_id=name),)) for name in "123"]
    assert [None, {"n": 2}, {"n": 3}] == [revisions.newest(ref).extra for ref in refs]


def test_what_an_outbox_recalls_is_corrected_by_what_was_changed_by_id_since():
    revisions, change = Revisions(9), Step("edit", 0, part=part("x"), message_id="1", extra={})
    change.begin()
    change.acknowledge()
    revisions.changed_by_id(attrs.evolve(REF, envelope_id=""), [change])
    revisions.recall(attrs.evolve(REF, parts=stands("a"), extra={"buttons": 1}), "e")
    assert revisions.newest(REF) == attrs.evolve(REF, extra=None)


def test_a_file_of_an_album_that_was_deleted_by_id_makes_the_album_doubtful():
    revisions, change = Revisions(9), Step("delete", 0, message_id="2")
    change.begin()
    change.acknowledge()
    album = PartRef(message_id="1", digest="d", more=("2",))
    revisions.record(attrs.evolve(REF, parts=(album,), extra={"n": 1}), "e")
    revisions.changed_by_id(attrs.evolve(REF, envelope_id=""), [change])
    found = revisions.newest(REF)
    assert ((attrs.evolve(album, digest=""),), {"n": 1}) == (found.parts, found.extra)


# -- edits


def test_changed_parts_are_edited_and_unchanged_ones_are_not():
    assert [("edit", "1", "unchanged"), ("edit", "2", None)] == steps(stands("a", "b"), "ac")


def test_missing_parts_are_appended():
    assert [("edit", "1", "unchanged"), ("send", None, None), ("send", None, None)] == steps(
        stands("a"), "abc"
    )


def test_spare_parts_are_deleted_the_newest_first():
    assert [("edit", "1", None), ("delete", "3", None), ("delete", "2", None)] == steps(
        stands("a", "b", "c"), "x"
    )


def test_a_part_of_which_nobody_knows_what_it_holds_is_edited():
    assert [("edit", "1", None)] == steps((PartRef(message_id="1"),), "a")


BUTTONS, OTHERS = {"b": 1}, {"b": 2}


def test_extra_goes_with_the_last_part_only():
    assert [("edit", None, "unchanged"), ("edit", BUTTONS, None)] == carried(
        stands("a", "b"), "ab", extra=BUTTONS
    )


@pytest.mark.parametrize("extra", [None, BUTTONS])
def test_the_same_extra_again_is_no_change(extra):
    assert [("edit", BUTTONS, "unchanged")] == carried(
        stands("a", extra=BUTTONS), "a", extra=extra, had=BUTTONS
    )


@pytest.mark.parametrize(
    ("extra", "then"), [(None, BUTTONS), (OTHERS, OTHERS), (BUTTONS, BUTTONS), ({}, {})]
)
def test_extra_is_kept_changed_or_dropped_as_the_edit_says(extra, then):
    assert [("edit", then, None)] == carried(
        stands("a", extra=BUTTONS), "x", extra=extra, had=BUTTONS
    )


@pytest.mark.parametrize(("extra", "then"), [(None, BUTTONS), (OTHERS, OTHERS), ({}, None)])
def test_extra_moves_to_the_new_last_part_and_off_the_old_one(extra, then):
    """The text of the old one is the same, and still it is edited: its buttons go."""
    assert [("edit", {}, None), ("send", then, None)] == carried(
        stands("a", extra=BUTTONS), "ab", extra=extra, had=BUTTONS
    )


def test_extra_moves_back_when_the_message_shrinks():
    old = stands("a", "b", extra=BUTTONS)
    assert [("edit", BUTTONS, None), ("delete", None, None)] == carried(old, "a", had=BUTTONS)


def test_the_old_last_part_is_not_touched_where_it_had_nothing():
    assert [("edit", {}, "unchanged"), ("send", None, None)] == carried(stands("a"), "ab")


def test_of_what_is_not_known_nothing_is_said():
    """A ref made by hand, of a message that may have buttons."""
    unknown = (PartRef(message_id="1"),)
    assert [("edit", None, None)] == carried(unknown, "x")
    assert [("edit", {}, None)] == carried(unknown, "x", extra={})


def test_an_edit_that_takes_extra_off_is_a_change():
    old = stands("a", extra=BUTTONS)
    assert [("edit", "1", None)] == steps(old, "a", extra={}, had=BUTTONS)


def test_each_step_has_a_number_of_its_own():
    """It is part of the key that deduplicates on the platform."""
    made = edit_steps([part("x")], standing_at(stands("a", "b", "c")), None)
    assert [0, 2, 1] == [step.serial for step in made]


def test_steps_carry_their_parts():
    made = edit_steps([part("x"), part("y")], standing_at(stands("a")), None)
    assert ["x", "y"] == [step.part.payload["text"] for step in made]


def test_an_edit_that_fails_in_every_form_leaves_the_payload_known():
    """By which its message's buttons can be edited alone."""
    old = PartRef(message_id="1", payload={"text": "old"})
    new = Part(payload={"text": "new"}, repeated=True)
    [step] = edit_steps([new], standing_at((old,)), BUTTONS)
    [plain] = step.divided([new], "plain", 1)
    plain.end("failed")
    assert {"text": "old"} == plain.payload


# -- deletes


@pytest.mark.parametrize(("count", "order"), [(0, ""), (1, "1"), (3, "321")])
def test_a_message_is_deleted_from_its_end(count, order):
    """What stays meanwhile never looks cut off."""
    made = delete_steps(stands(*"abc"[:count]))
    assert order == "".join(step.message_id for step in made)
    assert {"delete"} >= {step.kind for step in made}
