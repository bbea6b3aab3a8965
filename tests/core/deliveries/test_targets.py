"""Which message an edit or delete is of, and what stands of it now."""

import attrs
import pytest

from gateway_core import (
    Button,
    Call,
    Delete,
    Disposition,
    Edit,
    File,
    KeyRef,
    MessageRef,
    Part,
    PartRef,
    Receipt,
    Send,
)
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Keys
from gateway_core.deliveries.revisions import Revisions
from gateway_core.deliveries.targets import Targets

REF = MessageRef(
    instance_id="bot", external_room_id="r", envelope_id="e", parts=(PartRef(message_id="1"),)
)
TICKET = attrs.evolve(REF, parts=())
KEY = KeyRef(instance_id="bot", external_room_id="r", key="k")
SCOPE = ("bot", "r", "send", "k")


def delivery_of(id_, envelope, plan=(), **known):
    """A delivery; those are in order that their names are."""
    order = int.from_bytes(id_.encode().ljust(7, b" "), "big")
    return Delivery(id_, envelope, plan, sequence=order, **known)


class World:
    """Keys, revisions and deliveries of one partition, and the targets above them."""

    def __init__(self, **keys):
        self.keys = Keys(most=9, window=9, **keys)
        self.revisions = Revisions(9)
        self.deliveries = {}
        self.targets = Targets(lambda _scope: self.keys, self.revisions, self.deliveries)

    def sending(self, id_="e"):
        """A send of key `k` that is under way."""
        envelope = Send(instance_id="bot", external_room_id="r", text="hello", key="k")
        delivery = self.deliveries[id_] = delivery_of(id_, envelope, ())
        self.keys.begin(SCOPE, delivery, "print", 0)
        return delivery

    def sent(self, id_="e", ref=REF, disposition=Disposition.DELIVERED):
        """It ended so."""
        self.deliveries.pop(id_, None)
        receipt = receipt_of(id_, ref, disposition)
        self.keys.end(SCOPE, receipt, 0)
        self.targets.sent(receipt)

    def change(self, change, *, id_="v", started=True):
        """An edit or delete that was accepted, and its steps where it has started."""
        delivery = delivery_of(id_, change, (Part(payload={"text": "new"}),))
        overtaken = None
        if isinstance(change, Edit):
            overtaken = self.targets.overtaken(delivery, 0)
        if started:
            assert self.targets.before(delivery, change, 0) is None
            delivery.steps = self.targets.steps(delivery, change, 0)
            delivery.started = True
        return delivery, overtaken

    def changed(self, delivery, ref, disposition=Disposition.DELIVERED):
        receipt = receipt_of(delivery.id, ref, disposition)
        delivery.receipt = receipt
        self.targets.changed(delivery, receipt, 0)


def receipt_of(id_, ref, disposition):
    return Receipt(
        envelope_id=id_,
        instance_id="bot",
        external_room_id="r",
        disposition=disposition,
        ref=ref,
    )


def edit(target=REF, room="r", **fields):
    return Edit(instance_id="bot", external_room_id=room, target=target, text="new", **fields)


def later(envelope):
    """A delivery that was accepted after all others."""
    return delivery_of("z", envelope, ())


def of(target):
    """A change of it."""
    return later(edit(target))


def delete(target=REF):
    return Delete(instance_id="bot", external_room_id="r", target=target)


@pytest.fixture
def world():
    return World()


# -- what it is of


def test_a_ticket_or_a_key_leads_to_the_send_under_way(world):
    delivery = world.sending()
    assert delivery is world.targets.origin(of(TICKET), 0)
    assert delivery is world.targets.origin(of(KEY), 0)


def test_a_ref_with_parts_waits_for_the_send_that_is_made_again(world):
    delivery = world.sending()
    assert delivery is world.targets.origin(of(REF), 0)
    world.sent()
    assert world.targets.origin(of(REF), 0) is None


def test_what_nobody_knows_leads_nowhere(world):
    assert world.targets.origin(of(TICKET), 0) is None
    assert world.targets.origin(of(KEY), 0) is None
    assert world.targets.newest(of(TICKET), 0) is None
    assert world.targets.newest(of(KEY), 0) is None
    assert not world.targets.knows(REF.envelope_id)


def test_a_change_is_not_of_what_took_its_key_after_it(world):
    world.sending(id_="e")
    world.sent(disposition=Disposition.CANCELLED, ref=None)
    early = delivery_of("f", edit(KEY), ())
    delivery = world.sending(id_="g")
    assert world.targets.origin(early, 0) is None
    assert delivery is world.targets.origin(of(KEY), 0)
    assert world.targets.overtaken(early, 0) is None
    assert world.targets.overtaken(later(edit(KEY)), 0) is None
    world.sent(id_="g", ref=attrs.evolve(REF, envelope_id="g", thread_id="t"))
    assert world.targets.newest(early, 0) is None
    assert world.targets.thread(early, 0) is None
    assert "t" == world.targets.newest(of(KEY), 0).thread_id


def test_what_was_sent_is_found_by_ref_ticket_and_key(world):
    world.sending()
    assert world.targets.knows(REF.envelope_id)
    assert world.targets.newest(of(KEY), 0) is None
    world.sent()
    assert [REF] * 3 == [world.targets.newest(of(target), 0) for target in (REF, TICKET, KEY)]
    assert world.targets.origin(of(KEY), 0) is None
    assert world.targets.knows(REF.envelope_id)


def test_a_message_is_found_by_its_key_although_many_were_sent_since(world):
    """More than messages are remembered of: what the key's receipt says of it counts."""
    world.sending()
    world.sent()
    for n in range(9):
        world.revisions.record(attrs.evolve(REF, envelope_id=f"{n}"), f"{n}")
    assert REF == world.targets.newest(of(KEY), 0)


def test_a_message_is_found_by_its_key_where_the_outbox_has_the_receipt():
    """Of older keys only the id is remembered there, and what stands of the message by that."""
    world = World(newest=1, stored=True)
    world.sending()
    world.sent()
    other = receipt_of("f", None, Disposition.REJECTED)
    world.keys.remember(("bot", "r", "send", "l"), "print", other, 0)
    assert world.keys.find(SCOPE, 0) is None
    assert REF == world.targets.newest(of(KEY), 0)


def test_a_send_of_which_nothing_arrived_leaves_nothing(world):
    world.sending()
    world.sent(ref=None, disposition=Disposition.REJECTED)
    assert world.targets.newest(of(TICKET), 0) is None
    assert world.targets.newest(of(KEY), 0) is None


# -- steps


def test_an_edit_makes_the_next_revision(world):
    delivery, _ = world.change(edit(attrs.evolve(REF, revision=4)))
    assert ["edit"] == [step.kind for step in delivery.steps]
    assert 5 == delivery.revision


def test_a_delete_takes_all_parts(world):
    parts = (PartRef(message_id="1"), PartRef(message_id="2"))
    delivery, _ = world.change(delete(attrs.evolve(REF, parts=parts)))
    assert [("delete", "2"), ("delete", "1")] == [(s.kind, s.message_id) for s in delivery.steps]


@pytest.mark.parametrize("target", [TICKET, KEY], ids=["ticket", "key"])
def test_there_are_no_steps_for_what_is_not_there(world, target):
    delivery, _ = world.change(edit(target))
    assert delivery.steps is None


@pytest.mark.parametrize("room", ["r", "elsewhere"])
def test_what_a_key_names_is_left_alone_from_another_room(world, room):
    """An id names another message there."""
    world.sending()
    world.sent()
    call = Call(instance_id="bot", external_room_id=room, target=KEY, method="react")
    steps = world.targets.call_steps(later(call), 0)
    assert (room == "r") == (steps is not None)
    change = edit(KEY, room)
    assert (room == "r") == (world.targets.steps(later(change), change, 0) is not None)


# -- revisions


@pytest.mark.parametrize("target", [REF, TICKET, KEY], ids=["ref", "ticket", "key"])
def test_after_an_edit_every_target_leads_to_the_new_revision(world, target):
    world.sending()
    world.sent()
    delivery, _ = world.change(edit(target))
    parts = (PartRef(message_id="1", digest="new"),)
    world.changed(delivery, attrs.evolve(REF, envelope_id="c", parts=parts, revision=1))
    newest = attrs.evolve(REF, parts=parts, revision=1)
    assert [newest] * 3 == [world.targets.newest(of(each), 0) for each in (REF, TICKET, KEY)]


def test_after_a_delete_there_is_no_message_any_more(world):
    world.sending()
    world.sent()
    delivery, _ = world.change(delete(KEY))
    world.changed(delivery, None)
    assert [None] * 3 == [world.targets.newest(of(each), 0) for each in (REF, TICKET, KEY)]


@pytest.mark.parametrize("change", [edit(), delete()], ids=["edit", "delete"])
def test_a_change_that_never_started_leaves_the_message_as_it_was(world, change):
    world.sending()
    world.sent()
    delivery, _ = world.change(change, started=False)
    world.changed(delivery, None, Disposition.CANCELLED)
    assert REF == world.targets.newest(of(REF), 0)


def test_a_delete_that_failed_leaves_the_message_as_it_was(world):
    world.sending()
    world.sent()
    delivery, _ = world.change(delete())
    world.changed(delivery, None, Disposition.REJECTED)
    assert REF == world.targets.newest(of(REF), 0)


def test_after_half_a_delete_the_other_half_stands(world):
    parts = (PartRef(message_id="1"), PartRef(message_id="2"))
    delivery, _ = world.change(delete(attrs.evolve(REF, parts=parts)))
    delivery.steps[0].outcome, delivery.steps[1].outcome = "deleted", "failed"
    world.changed(delivery, None, Disposition.REJECTED)
    assert attrs.evolve(REF, revision=1) == world.targets.newest(of(REF), 0)


def test_of_an_album_the_files_stand_that_a_delete_left(world):
    one, two, three = (File(name.encode(), name=name) for name in "123")
    album = PartRef(message_id="1", files=(one, two, three), more=("2", "3"))
    delivery, _ = world.change(delete(attrs.evolve(REF, parts=(album,))))
    assert ["3", "2", "1"] == [step.message_id for step in delivery.steps]
    delivery.steps[0].outcome, delivery.steps[1].outcome = "deleted", "failed"
    world.changed(delivery, None, Disposition.REJECTED)
    left = world.targets.newest(of(REF), 0).parts
    assert [("1", (one,)), ("2", (two,))] == [(part.message_id, part.files) for part in left]


def test_of_several_that_a_delete_left_all_stand_in_their_order(world):
    parts = tuple(PartRef(message_id=name) for name in "1234")
    delivery, _ = world.change(delete(attrs.evolve(REF, parts=parts)))
    for step, outcome in zip(delivery.steps, ["deleted", *["failed"] * 3], strict=True):
        step.outcome = outcome
    world.changed(delivery, None, Disposition.REJECTED)
    assert parts[:3] == world.targets.newest(of(REF), 0).parts


def test_a_change_of_an_earlier_life_finds_its_message_anew(world):
    """Its steps were planned there: only the ref itself tells the message."""
    delivery = delivery_of("v", edit(), ())
    delivery.started = True
    world.changed(delivery, attrs.evolve(REF, revision=1))
    assert 1 == world.targets.newest(of(REF), 0).revision


# -- threads


def test_the_thread_of_a_change_by_key_is_its_message_s(world):
    assert world.targets.thread(later(edit(KEY)), 0) is None
    envelope = Send(instance_id="bot", external_room_id="r", text="hello", key="k", thread_id="t")
    delivery = delivery_of("e", envelope, ())
    world.keys.begin(SCOPE, delivery, "print", 0)
    assert "t" == world.targets.thread(later(edit(KEY)), 0)
    world.sent(ref=attrs.evolve(REF, thread_id="t"))
    assert "t" == world.targets.thread(later(delete(KEY)), 0)


def test_the_thread_of_what_never_arrived_is_none(world):
    world.sending()
    world.sent(ref=None, disposition=Disposition.REJECTED)
    assert world.targets.thread(later(edit(KEY)), 0) is None


def test_the_thread_of_others_is_their_own(world):
    send = Send(instance_id="bot", external_room_id="r", text="hello", thread_id="t")
    assert "t" == world.targets.thread(later(send), 0)
    assert "u" == world.targets.thread(later(edit(attrs.evolve(REF, thread_id="u"))), 0)


def test_a_stored_message_without_an_envelope_is_not_kept_under_no_name(world):
    stored = attrs.evolve(REF, envelope_id="")
    delivery, _ = world.change(edit(stored))
    world.changed(delivery, attrs.evolve(stored, revision=1))
    assert 0 == len(world.revisions)


# -- newer edits


def test_a_newer_edit_of_the_same_message_overtakes_one_that_waits(world):
    first, overtaken = world.change(edit(), id_="w1", started=False)
    assert overtaken is None
    _, overtaken = world.change(edit(), id_="w2", started=False)
    assert first is overtaken


YES, NONE = (Button("Yes", "y"),), ()
FILES = (File(b"one", name="1"),)
LEFT = [  # what the older changes, the newer, and whether nothing is left of the older then
    ({"text": "a"}, {"text": "b"}, True),
    ({"text": "a"}, {"buttons": YES}, False),
    ({"text": "a", "buttons": YES}, {"text": "b"}, False),
    ({"text": "a", "buttons": YES}, {"text": "b", "buttons": NONE}, True),
    ({"text": "a", "buttons": YES}, {"text": "b", "extra": {}}, True),
    ({"text": "a", "buttons": YES}, {"buttons": NONE}, False),
    ({"buttons": YES}, {"buttons": NONE}, True),
    ({"buttons": YES}, {"text": "b"}, False),
    ({"buttons": YES}, {"text": "b", "buttons": NONE}, True),
    ({"text": "a", "files": FILES}, {"text": "b"}, False),
    ({"text": "a", "files": ()}, {"text": "b"}, False),
    ({"text": "a", "files": FILES}, {"text": "b", "files": ()}, True),
    ({"text": "a", "files": FILES}, {"buttons": NONE}, False),
    ({"text": "a", "extra": {"e": 1}}, {"text": "b"}, False),
    ({"text": "a", "extra": {"e": 1}}, {"text": "b", "buttons": YES}, False),
    ({"text": "a", "extra": {"e": 1}}, {"text": "b", "extra": {}}, True),
]


@pytest.mark.parametrize(("older", "newer", "useless"), LEFT)
def test_one_that_changes_what_the_newer_leaves_is_made_all_the_same(world, older, newer, useless):
    """Text, buttons, files and the platform's own fields can be changed apart from each other."""
    where = {"instance_id": "bot", "external_room_id": "r", "target": REF}
    first, _ = world.change(Edit(**where, **older), id_="w1", started=False)
    _, overtaken = world.change(Edit(**where, **newer), id_="w2", started=False)
    assert useless is (overtaken is first)


def test_an_older_text_that_comes_in_after_newer_buttons_is_made(world):
    where = {"instance_id": "bot", "external_room_id": "r", "target": REF}
    world.change(Edit(**where, buttons=YES), id_="w2", started=False)
    assert world.change(Edit(**where, text="a"), id_="w1", started=False)[1] is None


@pytest.mark.parametrize("begun", [False, True], ids=["waits", "has begun"])
def test_older_files_that_come_in_after_a_newer_text_go_before_it(world, begun):
    """Once that has begun, they come too late: they would bring their old text back."""
    where = {"instance_id": "bot", "external_room_id": "r", "target": REF}
    newer, _ = world.change(Edit(**where, text="b"), id_="w2", started=begun)
    older, overtaken = world.change(Edit(**where, text="a", files=FILES), id_="w1", started=False)
    assert begun is (overtaken is older)
    if not begun:
        assert older is world.targets.before(newer, newer.envelope, 0)
        assert world.targets.before(older, older.envelope, 0) is None


def test_the_first_of_a_former_run_is_not_overtaken_since_it_may_have_begun(world):
    """It may have changed the message, and nothing of it was recorded before the kill."""
    former = [delivery_of(name, edit(), restored=True) for name in ("w1", "w2")]
    for delivery in former:
        world.targets.comes(delivery, 0)
        assert world.targets.overtaken(delivery, 0) is None
    assert former[1] is world.change(edit(), id_="w3", started=False)[1]
    world.targets.leaves(former[0])
    assert {} == world.targets._restored


def test_one_that_has_started_is_not_overtaken(world):
    world.change(edit(), id_="w1")
    assert world.change(edit(), id_="w2", started=False)[1] is None


@pytest.mark.parametrize("begun", [False, True], ids=["waits", "has begun"])
def test_an_older_one_that_comes_in_later_is_overtaken_itself(world, begun):
    """As after a restart, where it had waited for its message and so stands behind."""
    world.change(edit(), id_="w2", started=begun)
    older, overtaken = world.change(edit(), id_="w1", started=False)
    assert older is overtaken
    newest, overtaken = world.change(edit(), id_="w3", started=False)
    assert (begun, "w3") == (overtaken is None, newest.id)


def test_one_that_has_ended_is_not_overtaken(world):
    first, _ = world.change(edit(), id_="w1", started=False)
    first.receipt = receipt_of("1", None, Disposition.CANCELLED)
    assert world.change(edit(), id_="w2", started=False)[1] is None


@pytest.mark.parametrize("sent", [False, True], ids=["under way", "sent"])
def test_a_message_is_the_same_by_its_key_and_by_its_id(world, sent):
    world.sending()
    if sent:
        world.sent()
    first, _ = world.change(edit(KEY), id_="w1", started=False)
    assert first is world.change(edit(TICKET), id_="w2", started=False)[1]


def test_edits_of_different_messages_do_not_meet(world):
    others = (
        attrs.evolve(REF, envelope_id="other"),
        attrs.evolve(REF, envelope_id=""),
        attrs.evolve(REF, envelope_id="", parts=(PartRef(message_id="2"),)),
        KEY,
        attrs.evolve(KEY, key="l"),
        attrs.evolve(KEY, external_room_id="s"),
        attrs.evolve(REF, envelope_id="", external_room_id="s"),
        attrs.evolve(REF, envelope_id="", instance_id="other"),
    )
    world.change(edit(), id_="first", started=False)
    overtaken = [
        world.change(
            Edit(
                instance_id=target.instance_id,
                external_room_id=target.external_room_id,
                target=target,
                text="new",
            ),
            id_=f"{n}",
            started=False,
        )[1]
        for n, target in enumerate(others)
    ]
    assert [None] * len(others) == overtaken


def test_a_revision_of_the_message_is_the_same_message(world):
    first, _ = world.change(edit(), id_="w1", started=False)
    _, overtaken = world.change(edit(attrs.evolve(REF, revision=3)), id_="w2", started=False)
    assert first is overtaken


def test_an_edit_that_ended_is_remembered_no_more(world):
    delivery, _ = world.change(edit())
    world.changed(delivery, attrs.evolve(REF, revision=1))
    assert {} == world.targets._edits


def test_a_change_waits_for_the_send_of_its_message(world):
    sending = world.sending()
    waiting = delivery_of("w1", edit(TICKET), ())
    assert sending is world.targets.before(waiting, waiting.envelope, 0)
    world.sent()
    assert world.targets.before(waiting, waiting.envelope, 0) is None


def test_two_changes_of_one_message_are_never_under_way_together(world):
    first, _ = world.change(edit(), id_="w1")
    second = delivery_of("w2", delete(), ())
    assert first is world.targets.before(second, second.envelope, 0)
    world.changed(first, attrs.evolve(REF, revision=1))
    assert world.targets.before(second, second.envelope, 0) is None
    assert world.targets.before(second, second.envelope, 0) is None, "asked again"


def test_nothing_is_kept_of_changes_that_have_ended(world):
    for change in (edit(), delete(), edit(KEY)):
        delivery, _ = world.change(change)
        world.changed(delivery, None, Disposition.REJECTED)
    assert ({}, {}) == (world.targets._edits, world.targets._begun)


def test_an_older_edit_s_end_leaves_the_newer_one_in_place(world):
    first, _ = world.change(edit(), id_="w1")
    second, _ = world.change(edit(), id_="w2", started=False)
    world.changed(first, attrs.evolve(REF, revision=1))
    assert second is world.change(edit(), id_="w3", started=False)[1]


@pytest.mark.parametrize(
    ("stored", "held", "recorded"), [(0, 0, True), (2, 1, True), (1, 1, True), (1, 2, False)]
)
def test_what_the_outbox_has_of_a_message_counts_unless_the_caller_holds_a_later_one(
    world, stored, held, recorded
):
    world.targets.recalled(attrs.evolve(REF, revision=held), attrs.evolve(REF, revision=stored))
    assert recorded == world.targets.knows("e")
