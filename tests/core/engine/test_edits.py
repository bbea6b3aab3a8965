"""Edits and deletes: the target is the newest revision when they start, and order is kept."""

from __future__ import annotations

from random import Random

import attrs
import pytest
import trio

from gateway_core import (
    Address,
    Button,
    Delete,
    DeliveryError,
    Disposition,
    Edit,
    File,
    Invalid,
    KeyRef,
    Limit,
    MessageRef,
    Part,
    PartRef,
    Poll,
    Reason,
)
from gateway_core.authors import Answer, Traits, hookimpl
from gateway_core.testing import (
    EPOCH,
    FakeChannel,
    MemoryOutbox,
    event,
    open_test_gateway,
    run_seeded,
)


class Words(FakeChannel):
    """A message for each word."""

    @hookimpl
    def chunk(self, envelope):
        words, at = [], 0
        for word in envelope.text.split():
            at = envelope.text.index(word, at)
            words.append(Part(payload={"text": word}, span=(at, at + len(word))))
        return words


def operations(channel: FakeChannel) -> list[tuple[str, str]]:
    """What the platform was asked, in order: the operation, and the text or the message."""
    asked = []
    for made in channel.made:
        part = made.attempt.part
        said = part.payload["text"] if part is not None else made.attempt.message_id
        asked.append((made.attempt.operation, said))
    return asked


def edit_of(target, text: str, **fields) -> Edit:
    return Edit(
        instance_id=target.instance_id,
        external_room_id=target.external_room_id,
        target=target,
        text=text,
        **fields,
    )


def one_a_second(_room: str, _operation: str) -> list[Limit]:
    return [Limit("account", 1, 1.0)]


KEY = KeyRef(instance_id="bot", external_room_id="r", key="k")


# -- how the target is named


async def test_an_edit_by_ref_makes_a_new_revision(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "one")
        first = await gateway.edit(sent.ref, "two")
        second = await gateway.edit(first.ref, "three")
        assert [0, 1, 2] == [receipt.ref.revision for receipt in (sent, first, second)]
        assert {sent.envelope_id} == {r.ref.envelope_id for r in (sent, first, second)}
        assert ["three"] == channel.texts("r")


async def test_a_stale_ref_is_resolved_to_the_newest_revision(engine, autojump_clock):
    """The first ref knows one part; the message has grown to three since."""
    channel = Words()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "a")
        await gateway.edit(sent.ref, "a b c")
        edited = await gateway.edit(sent.ref, "x")
        assert 2 == edited.ref.revision
        assert ["x"] == channel.texts("r")


async def test_an_edit_by_ticket_waits_until_its_message_was_sent(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message())
        edited = await gateway.edit(ticket, "changed")
        assert [("send", "hello"), ("edit", "changed")] == operations(channel)
        assert ticket.id == edited.ref.envelope_id
        assert ["changed"] == channel.texts("r")


async def test_an_edit_by_ref_of_a_ticket_survives_in_storage(engine, say, autojump_clock):
    """The ref names no part yet; it is resolved when the edit starts."""
    async with engine() as gateway:
        ticket = await gateway.submit(say.message())
        ref = ticket.ref
        assert () == ref.parts
        await ticket.receipt()
        assert 1 == (await gateway.edit(ref, "changed")).ref.revision


async def test_an_edit_by_key(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "one", key="k")
        edited = await gateway.edit(KEY, "two")
        assert sent.envelope_id == edited.ref.envelope_id
        assert ["two"] == channel.texts("r")


async def test_an_edit_by_key_waits_until_its_message_was_sent(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    async with engine(channel) as gateway:
        await gateway.submit(say.message(key="k", order="none"))
        await gateway.edit(KEY, "changed")
        assert [("send", "hello"), ("edit", "changed")] == operations(channel)


async def test_the_ref_of_an_edit_by_key_is_the_messages_own(engine, autojump_clock):
    """Stale or not, it follows the message like any other of its refs."""
    channel = Words()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "one", key="k")
        by_key = await gateway.edit(KEY, "two")
        await gateway.edit(sent.ref, "three four")
        last = await gateway.edit(by_key.ref, "five")
        assert ["five"] == channel.texts("r")
        assert 3 == last.ref.revision


async def test_a_key_that_nobody_used_names_no_message(engine, autojump_clock):
    async with engine() as gateway:
        with pytest.raises(DeliveryError) as caught:
            await gateway.edit(KEY, "x")
        assert Disposition.REJECTED is caught.value.receipt.disposition
        assert Reason.MESSAGE_GONE is caught.value.receipt.verdict.reason


async def test_a_stored_ref_with_parts_needs_no_memory_of_its_message(engine, autojump_clock):
    """As after a restart: nothing is known here but what the ref says."""
    channel = Words()
    channel.rooms["r"] = {"7": "a", "8": "b"}
    ref = MessageRef(
        instance_id="bot",
        external_room_id="r",
        envelope_id="of an earlier life",
        parts=(PartRef(message_id="7"), PartRef(message_id="8")),
        revision=4,
    )
    async with engine(channel) as gateway:
        edited = await gateway.edit(ref, "x")
        assert [("edit", "x"), ("delete", "8")] == operations(channel)
        assert 5 == edited.ref.revision
        grown = await gateway.edit(ref, "x y")
        assert ["x", "y"] == channel.texts("r")
        assert 6 == grown.ref.revision


async def test_a_ref_without_parts_that_is_not_known_is_refused(engine, autojump_clock):
    ref = MessageRef(instance_id="bot", external_room_id="r", envelope_id="long forgotten")
    async with engine() as gateway:
        receipt = await gateway.edit(ref, "x", raises=False)
        assert Disposition.REJECTED is receipt.disposition
        assert 0 == receipt.attempts


async def test_a_message_that_never_arrived_cannot_be_edited(engine, say, autojump_clock):
    channel = FakeChannel(latency=1, script=say.script(say.rejected()))
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message())
        receipt = await gateway.edit(ticket, "x", raises=False)
        assert Reason.MESSAGE_GONE is receipt.verdict.reason
        assert 1 == len(channel.made)


# -- parts


async def test_parts_that_stay_are_not_touched(engine, autojump_clock):
    channel = Words()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "a b c")
        channel.made.clear()
        edited = await gateway.edit(sent.ref, "a X c")
        assert [("edit", "X")] == operations(channel)
        assert ["unchanged", "delivered", "unchanged"] == [p.outcome for p in edited.parts]
        assert [p.message_id for p in sent.ref.parts] == [p.message_id for p in edited.ref.parts]


async def test_an_edit_that_grows_appends(engine, autojump_clock):
    channel = Words()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "a")
        between = await gateway.send("bot", "r", "between")
        channel.made.clear()
        edited = await gateway.edit(sent.ref, "a b c")
        assert [("send", "b"), ("send", "c")] == operations(channel)
        assert ["a", "between", "b", "c"] == channel.texts("r")
        assert 3 == len(edited.ref.parts)
        assert 1 == len(between.ref.parts)


async def test_an_edit_that_shrinks_deletes_the_last_first(engine, autojump_clock):
    channel = Words()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "a b c d")
        ids = [part.message_id for part in sent.ref.parts]
        channel.made.clear()
        edited = await gateway.edit(sent.ref, "X b")
        assert [("edit", "X"), ("delete", ids[3]), ("delete", ids[2])] == operations(channel)
        assert ["X", "b"] == channel.texts("r")
        assert ids[:2] == [part.message_id for part in edited.ref.parts]


async def test_an_edit_to_the_same_text_asks_nobody(engine, autojump_clock):
    channel = Words()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "a b")
        edited = await gateway.edit(sent.ref, "a b")
        assert edited.delivered
        assert 0 == edited.attempts
        assert ["unchanged", "unchanged"] == [part.outcome for part in edited.parts]
        later = await gateway.edit(sent.ref, "a c")
        assert later.ref.revision == edited.ref.revision + 1


async def test_other_extra_fields_are_a_change(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "a", extra={"buttons": [1]})
        assert (
            "unchanged"
            == (await gateway.edit(sent.ref, "a", extra={"buttons": [1]})).parts[0].outcome
        )
        assert (
            "delivered"
            == (await gateway.edit(sent.ref, "a", extra={"buttons": [2]})).parts[0].outcome
        )
        assert [{"buttons": [1]}, {"buttons": [2]}] == [m.attempt.extra for m in channel.made]


async def test_a_half_made_edit_is_mended_by_the_next(engine, say, autojump_clock):
    """What the broken edit did stands in its receipt; the next one starts from there."""
    channel = Words()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "a b c")
        channel.script = say.script(None, say.rejected())
        broken = await gateway.edit(sent.ref, "X Y Z", raises=False)
        assert Disposition.REJECTED is broken.disposition
        assert ["delivered", "failed", "not_sent"] == [part.outcome for part in broken.parts]
        channel.made.clear()
        mended = await gateway.edit(sent.ref, "X Y Z")
        assert [("edit", "Y"), ("edit", "Z")] == operations(channel)
        assert ["X", "Y", "Z"] == channel.texts("r")
        assert 2 == mended.ref.revision


async def test_a_half_sent_message_can_be_edited(engine, say, autojump_clock):
    channel = Words(script=say.script(None, say.rejected()))
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "a b c", raises=False)
        assert 1 == len(sent.ref.parts)
        await gateway.edit(sent.ref, "a b c")
        assert ["a", "b", "c"] == channel.texts("r")


async def test_an_edit_of_unknown_outcome_is_made_again(engine, say, autojump_clock):
    """Safe to repeat, so it is no doubt that anybody needs to hear of."""
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "a")
        channel.script = say.script(say.unknown(), say.unknown(), say.unknown())
        edited = await gateway.edit(sent.ref, "b")
        assert edited.delivered
        assert not edited.possible_duplicate
        assert 4 == edited.attempts


# -- the platform's own fields


@pytest.mark.parametrize("refused", [{"buttons": 2}, {}])
async def test_fields_that_were_refused_are_not_sent_again(engine, say, refused, autojump_clock):
    """The message keeps those that it had, and an edit that names none leaves them there."""
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "one", extra={"buttons": 1})
        channel.script = say.script(say.rejected())
        failed = await gateway.edit(sent.ref, "two", extra=refused, raises=False)
        assert {"buttons": 1} == failed.ref.extra
        edited = await gateway.edit(sent.ref, "three")
        assert {"buttons": 1} == channel.made[-1].attempt.extra == edited.ref.extra


async def test_fields_of_a_refused_new_part_are_not_sent_again(engine, say, autojump_clock):
    """The next edit puts back the fields that the part before it has lost."""
    channel = Words()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "a b", extra={"buttons": 1})
        channel.script = say.script(None, say.rejected())
        failed = await gateway.edit(sent.ref, "a b c", extra={"buttons": 2}, raises=False)
        assert {"buttons": 1} == failed.ref.extra
        channel.made.clear()
        await gateway.edit(sent.ref, "a b")
        assert [{"buttons": 1}] == [made.attempt.extra for made in channel.made]


@pytest.mark.parametrize("refused", [False, True])
async def test_a_poll_stays_fixed_when_the_buttons_under_it_are_edited(
    engine, say, refused, autojump_clock
):
    """A later edit of the text is refused as before, and deletes nothing."""
    channel = FakeChannel()
    async with engine(channel) as gateway:
        vote = Poll("Lunch?", ["Pizza", "Sushi"])
        ask = [Button("A", "a")]
        sent = await gateway.send("bot", "r", "Vote:", poll=vote, buttons=ask, key="k")
        channel.script = say.script(say.rejected()) if refused else None
        changed = await gateway.edit(sent.ref, buttons=[Button("B", "b")], raises=False)
        assert changed.delivered is not refused
        assert [False, True] == [part.fixed for part in changed.ref.parts]
        with pytest.raises(Invalid, match="cannot be edited"):
            await gateway.edit(changed.ref, "new")
        assert Reason.UNSUPPORTED is (await gateway.edit(KEY, "new", raises=False)).verdict.reason
        assert ["Vote:", "Lunch?"] == channel.texts("r")


async def test_fields_that_may_have_arrived_are_remembered(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "one", extra={"buttons": 1})
        channel.script = say.script(*[say.unknown()] * 50)
        failed = await gateway.edit(sent.ref, "two", extra={"buttons": 2}, ttl=9, raises=False)
        assert "unknown" == failed.parts[0].outcome
        assert {"buttons": 2} == failed.ref.extra


async def test_fields_that_the_adapter_left_out_are_not_sent_again(engine, autojump_clock):
    """Neither those of a send nor those of an edit: `Answer.extra` has the others."""
    channel = FakeChannel()

    async def without_cards(attempt):
        kept = {name: value for name, value in (attempt.extra or {}).items() if name != "cards"}
        return Answer(message_id="7", extra=kept)

    channel.script = without_cards
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "one", extra={"buttons": 1, "cards": 2})
        assert {"buttons": 1} == sent.ref.extra
        edited = await gateway.edit(sent.ref, "two", extra={"cards": 3})
        assert edited.ref.extra is None
        again = await gateway.edit(sent.ref, "two")
        assert "unchanged" == again.parts[0].outcome


# -- waiting edits


async def test_a_waiting_edit_behind_a_newer_one_is_superseded_not_raised(
    engine, say, autojump_clock
):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "0")
        gateway.suspend("bot")
        receipts = {}

        async def edit(text: str) -> None:
            receipts[text] = await gateway.edit(sent.ref, text)

        async with trio.open_nursery() as nursery:
            for n in range(1, 5):
                nursery.start_soon(edit, f"{n}")
                await trio.sleep(0.1)
            gateway.resume("bot")
        ends = [receipts[f"{n}"].disposition.value for n in range(1, 5)]
        assert ["superseded"] * 3 + ["delivered"] == ends
        assert [("send", "0"), ("edit", "4")] == operations(channel)
        assert 1 == receipts["4"].ref.revision


async def test_a_newer_text_leaves_the_files_and_fields_of_a_waiting_edit(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "0", files=[File(b"one", name="1")])
        gateway.suspend("bot")
        changes = {"files": (File(b"two", name="2"),)}, {"extra": {"look": "new"}}, {}, {}
        tickets = [
            await gateway.submit(edit_of(sent.ref, f"{n}", **fields))
            for n, fields in enumerate(changes)
        ]
        gateway.resume("bot")
        receipts = [await ticket.receipt() for ticket in tickets]
    ends = [receipt.disposition.value for receipt in receipts]
    assert ["delivered", "delivered", "superseded", "delivered"] == ends
    ref = receipts[-1].ref
    assert (["3"], {"look": "new"}) == (channel.texts("r"), ref.extra)
    assert [b"two"] == [channel.contents[file.id] for file in ref.parts[0].files]


async def test_an_edit_under_way_is_not_superseded(engine, autojump_clock):
    channel = FakeChannel(latency=5)
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "0")
        receipts = []

        async def edit(text: str) -> None:
            receipts.append(await gateway.edit(sent.ref, text))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(edit, "1")
            await trio.sleep(1)
            nursery.start_soon(edit, "2")
        assert [1, 2] == [receipt.ref.revision for receipt in receipts]
        assert all(receipt.delivered for receipt in receipts)
        assert ["2"] == channel.texts("r")


async def test_edits_by_other_names_of_one_message_supersede_each_other(
    engine, say, autojump_clock
):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "0", key="k")
        gateway.suspend("bot")
        tickets = [
            await gateway.submit(edit_of(target, text))
            for target, text in ((sent.ref, "1"), (KEY, "2"), (sent.ref, "3"))
        ]
        gateway.resume("bot")
        ends = [(await ticket.receipt()).disposition.value for ticket in tickets]
        assert ["superseded", "superseded", "delivered"] == ends


async def test_messages_of_the_same_key_or_number_in_other_rooms_are_others(engine, autojump_clock):
    """A message's number means something in its room only."""
    channel = FakeChannel()
    channel.rooms["r"], channel.rooms["s"] = {"7": "in r"}, {"7": "in s"}

    def foreign(room: str) -> MessageRef:
        part = PartRef(message_id="7")
        return MessageRef(instance_id="bot", external_room_id=room, envelope_id="", parts=(part,))

    async with engine(channel, partition_count=1) as gateway:
        for room in ("r", "s"):
            await gateway.send("bot", room, "0", key="k")
        gateway.suspend("bot")
        keys = [attrs.evolve(KEY, external_room_id=room) for room in ("r", "s")]
        targets = [*keys, foreign("r"), foreign("s")]
        tickets = [await gateway.submit(edit_of(target, "changed")) for target in targets]
        gateway.resume("bot")
        for ticket in tickets:
            assert (await ticket.receipt()).delivered
        assert ["changed"] * 2 == channel.texts("r") == channel.texts("s")


async def test_the_message_of_an_event_can_be_changed_though_no_envelope_made_it(autojump_clock):
    channel = FakeChannel()
    channel.rooms["r"] = {"7": "asked"}
    async with open_test_gateway(channel) as gateway:
        place = gateway.address("bot", event("asked", room="r", id="7"))
        message = MessageRef.at("bot", place)
        changed = await gateway.edit(message, "answered")
        assert ["answered"] == channel.texts("r")
        await gateway.delete(changed.ref)
        assert [] == channel.texts("r")


def by_id(message_id: str) -> MessageRef:
    """The message, as an event's address names it."""
    return MessageRef.at("bot", Address(external_room_id="r", message_id=message_id))


@pytest.mark.parametrize("named", ["ref", "ticket", "key"])
async def test_an_edit_after_one_by_the_messages_id_is_made(engine, say, named, autojump_clock):
    """Back to the text that the gateway sent, and without the buttons that are gone."""
    channel = FakeChannel()
    async with engine(channel) as gateway:
        ask = [Button("Yes", "yes")]
        ticket = await gateway.submit(say.message(text="Deploy?", buttons=ask, key="k"))
        sent = await ticket.receipt()
        target = {"ref": sent.ref, "ticket": ticket, "key": KEY}[named]
        await gateway.edit(by_id("1"), "Deploying", buttons=())
        back = await gateway.edit(target, "Deploy?")
        assert ("delivered", 1) == (back.parts[0].outcome, back.attempts)
        assert (["Deploy?"], {}) == (channel.texts("r"), channel.pressable)
        assert "unchanged" == (await gateway.edit(target, "Deploy?")).parts[0].outcome


async def test_a_refused_edit_by_the_messages_id_leaves_it_as_it_is(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "Deploy?", buttons=[Button("Yes", "yes")], key="k")
        channel.script = say.script(say.rejected())
        await gateway.edit(by_id("1"), "Deploying", buttons=(), raises=False)
        assert "unchanged" == (await gateway.edit(KEY, "Deploy?")).parts[0].outcome
        await gateway.edit(KEY, "Deployed")
    assert "yes" == channel.pressable["1"][0][0].value


async def test_of_several_parts_only_the_one_edited_by_its_id_is_doubtful(engine, autojump_clock):
    channel = Words()
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "a b c", buttons=[Button("Yes", "yes")], key="k")
        await gateway.edit(by_id("2"), "B")
        edited = await gateway.edit(KEY, "a b c")
    assert ["unchanged", "delivered", "unchanged"] == [part.outcome for part in edited.parts]
    assert (["a", "b", "c"], ["3"]) == (channel.texts("r"), list(channel.pressable))


async def test_an_edit_to_the_text_of_a_message_deleted_by_its_id_is_tried(
    engine, say, autojump_clock
):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "one", key="k")
        await gateway.delete(by_id("1"))
        channel.script = say.script(say.rejected())
        edited = await gateway.edit(KEY, "one", raises=False)
    assert (Disposition.REJECTED, 1) == (edited.disposition, edited.attempts)


async def test_a_room_is_forgotten_with_what_was_edited_by_id(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel, partition_count=1) as gateway:
        sent = await gateway.send("bot", "r", "one", extra={"buttons": 1})
        await gateway.edit(by_id("1"), "x", extra={"buttons": 2})
        await gateway.edit(sent.ref, "two")
        assert {"buttons": 2} == channel.made[-1].attempt.extra
        await gateway.edit(by_id("1"), "x", extra={"buttons": 3})
        gateway._partitions[0].targets.forget_room("bot", "r")
        await gateway.edit(sent.ref, "two")
        assert {"buttons": 1} == channel.made[-1].attempt.extra


@pytest.mark.parametrize("address", [None, Address(external_room_id="r")])
def test_an_event_without_a_message_has_no_ref(address):
    assert MessageRef.at("bot", address) is None


async def test_a_superseded_edit_that_is_awaited_by_ticket_tells_so(engine, say, autojump_clock):
    async with engine() as gateway:
        sent = await gateway.send("bot", "r", "0")
        gateway.suspend("bot")
        first = await gateway.submit(edit_of(sent.ref, "1"))
        second = await gateway.submit(edit_of(sent.ref, "2"))
        assert Disposition.SUPERSEDED is (await first.receipt()).disposition
        assert not second.ended
        gateway.resume("bot")
        assert (await second.receipt()).delivered


async def test_a_newer_edit_that_is_cancelled_does_not_bring_the_older_back(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "0")
        gateway.suspend("bot")
        first = await gateway.submit(edit_of(sent.ref, "1"))
        second = await gateway.submit(edit_of(sent.ref, "2"))
        assert await gateway.cancel(second)
        third = await gateway.submit(edit_of(sent.ref, "3"))
        gateway.resume("bot")
        ends = [(await t.receipt()).disposition.value for t in (first, second, third)]
        assert ["superseded", "cancelled", "delivered"] == ends


async def test_an_interim_edit_waits_behind_finals_of_other_rooms(engine, say, autojump_clock):
    channel = FakeChannel(limits=one_a_second)
    async with engine(channel, partition_count=1) as gateway:
        sent = await gateway.send("bot", "r", "0")
        await gateway.submit(say.message("first"))
        interim = await gateway.submit(edit_of(sent.ref, "passing", interim=True))
        finals = [await gateway.submit(say.message(f"room {n}")) for n in range(3)]
        for ticket in (*finals, interim):
            await ticket.receipt()
        assert "passing" == operations(channel)[-1][1]


async def test_a_final_takes_the_place_of_the_interim_edits_before_it(engine, say, autojump_clock):
    channel = FakeChannel(limits=one_a_second)
    async with engine(channel, partition_count=1) as gateway:
        sent = await gateway.send("bot", "r", "0")
        interims = [
            await gateway.submit(edit_of(sent.ref, f"{n}", interim=True)) for n in range(1, 5)
        ]
        others = [await gateway.submit(say.message(f"room {n}")) for n in range(3)]
        final = await gateway.submit(edit_of(sent.ref, "final"))
        ends = [(await ticket.receipt()).disposition.value for ticket in interims]
        assert ["superseded"] * 4 == ends
        for ticket in (*others, final):
            assert (await ticket.receipt()).delivered
        assert ["final"] == channel.texts("r")


async def test_an_interim_edit_newer_than_a_final_begins_another_stream(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "0")
        gateway.suspend("bot")
        final = await gateway.submit(edit_of(sent.ref, "final"))
        newer = await gateway.submit(edit_of(sent.ref, "passing", interim=True))
        gateway.resume("bot")
        assert Disposition.SUPERSEDED is (await final.receipt()).disposition
        assert (await newer.receipt()).delivered
        assert ["passing"] == channel.texts("r")


# -- deletes


async def test_a_delete_takes_all_parts_the_last_first(engine, autojump_clock):
    channel = Words()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "a b c")
        channel.made.clear()
        deleted = await gateway.delete(sent.ref)
        ids = [part.message_id for part in sent.ref.parts]
        assert [("delete", id_) for id_ in reversed(ids)] == operations(channel)
        assert ["deleted"] * 3 == [part.outcome for part in deleted.parts]
        assert deleted.ref is None
        assert [] == channel.texts("r")


async def test_a_deleted_message_can_be_neither_edited_nor_deleted(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "a", key="k")
        await gateway.delete(sent.ref)
        for target in (sent.ref, KEY):
            for change in (
                gateway.edit(target, "x", raises=False),
                gateway.delete(target, raises=False),
            ):
                receipt = await change
                assert Reason.MESSAGE_GONE is receipt.verdict.reason
        assert 2 == len(channel.made)


async def test_a_delete_by_ticket_before_it_was_sent(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message())
        assert (await gateway.delete(ticket)).delivered
        assert [] == channel.texts("r")
        assert 2 == len(channel.made)


async def test_a_delete_by_key_of_a_grown_message_takes_all_of_it(engine, autojump_clock):
    channel = Words()
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "a", key="k")
        await gateway.edit(KEY, "a b c")
        await gateway.delete(KEY)
        assert [] == channel.texts("r")


async def test_an_edit_behind_a_delete_is_refused_and_one_before_it_is_made(
    engine, say, autojump_clock
):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "0")
        gateway.suspend("bot")
        before = await gateway.submit(edit_of(sent.ref, "1"))
        delete = await gateway.submit(
            Delete(instance_id="bot", external_room_id="r", target=sent.ref)
        )
        gateway.resume("bot")
        assert (await before.receipt()).disposition in (
            Disposition.DELIVERED,
            Disposition.SUPERSEDED,
        )
        assert (await delete.receipt()).delivered
        after = await gateway.edit(sent.ref, "2", raises=False)
        assert Disposition.REJECTED is after.disposition
        assert [] == channel.texts("r")


# -- scheduled sends, and order="none"


async def test_an_edit_of_a_scheduled_send_waits_for_it_and_holds_up_nobody(
    engine, say, autojump_clock
):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message(not_before=EPOCH + 100))
        edit = await gateway.submit(edit_of(ticket.ref, "changed"))
        await gateway.send("bot", "r", "meanwhile")
        assert 0 == trio.current_time()
        assert "target" == (await gateway.status(edit)).cause
        assert (await edit.receipt()).delivered
        assert [("send", "meanwhile"), ("send", "hello"), ("edit", "changed")] == operations(
            channel
        )
        assert 100 == pytest.approx(trio.current_time())


async def test_edits_of_a_scheduled_send_supersede_each_other(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message(not_before=EPOCH + 100))
        edits = [await gateway.submit(edit_of(ticket.ref, f"{n}")) for n in range(3)]
        ends = [(await edit.receipt()).disposition.value for edit in edits]
        assert ["superseded", "superseded", "delivered"] == ends
        assert ["2"] == channel.texts("r")


async def test_an_edit_that_waits_for_its_time_leaves_those_of_now_alone(
    engine, say, autojump_clock
):
    """It competes with others once it is due."""
    channel = FakeChannel()
    async with engine(channel) as gateway:
        ref = (await gateway.send("bot", "r", "hello")).ref
        gateway.suspend("bot")
        now = await gateway.submit(edit_of(ref, "now"))
        later = await gateway.submit(edit_of(ref, "later", not_before=EPOCH + 100))
        too = await gateway.submit(edit_of(ref, "now too"))
        assert Disposition.SUPERSEDED is (await now.receipt()).disposition
        gateway.resume("bot")
        assert (await too.receipt()).delivered
        assert 0 == trio.current_time()
        assert (await later.receipt()).delivered
        assert 100 == pytest.approx(trio.current_time())
    assert ["later"] == channel.texts("r")


@pytest.mark.parametrize("after", [50, 150], ids=["accepted before it is due", "and after"])
async def test_of_edits_that_wait_the_one_whose_time_came_last_is_the_newest(
    engine, say, autojump_clock, after
):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        ref = (await gateway.send("bot", "r", "hello")).ref
        gateway.suspend("bot")
        scheduled = await gateway.submit(edit_of(ref, "scheduled", not_before=EPOCH + 100))
        await trio.sleep(after)
        other = await gateway.submit(edit_of(ref, "other"))
        await trio.sleep(200)
        gateway.resume("bot")
        ends = [(await ticket.receipt()).disposition.value for ticket in (other, scheduled)]
    assert ["superseded", "delivered"] == (ends if after < 100 else ends[::-1])
    assert ["scheduled" if after < 100 else "other"] == channel.texts("r")


async def test_an_edit_of_a_cancelled_scheduled_send_ends_at_once(engine, say, autojump_clock):
    async with engine() as gateway:
        ticket = await gateway.submit(say.message(not_before=EPOCH + 100))
        edit = await gateway.submit(edit_of(ticket.ref, "changed"))
        await trio.sleep(1)
        assert await gateway.cancel(ticket)
        assert Reason.MESSAGE_GONE is (await edit.receipt()).verdict.reason
        assert 1 == trio.current_time()


async def test_an_edit_that_waits_for_its_message_expires(engine, say, autojump_clock):
    async with engine() as gateway:
        ticket = await gateway.submit(say.message(not_before=EPOCH + 100))
        edit = await gateway.submit(edit_of(ticket.ref, "changed", ttl=10))
        assert Disposition.EXPIRED is (await edit.receipt()).disposition
        assert 10 == pytest.approx(trio.current_time())
        assert (await ticket.receipt()).delivered


async def test_an_edit_out_of_order_passes_the_rooms_backlog(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "0")
        for n in range(3):
            await gateway.submit(say.message(text=f"backlog {n}"))
        edit = await gateway.submit(edit_of(sent.ref, "changed", order="none"))
        await edit.receipt()
        assert 10 == trio.current_time()


async def test_an_edit_out_of_order_still_follows_its_message(engine, say, autojump_clock):
    channel = FakeChannel(latency=5)
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message())
        edit = await gateway.submit(edit_of(ticket.ref, "changed", order="none"))
        await edit.receipt()
        assert ["changed"] == channel.texts("r")


async def test_changes_of_one_message_are_never_in_flight_together(engine, say, autojump_clock):
    """Out of order or not: whichever landed last would stand, and nobody would know which."""
    channel = FakeChannel()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "0")
        channel.script = say.script(5.0, 1.0)
        first = await gateway.submit(edit_of(sent.ref, "older"))
        await trio.sleep(1)
        second = await gateway.submit(edit_of(sent.ref, "newer", order="none"))
        assert (await first.receipt()).delivered
        assert (await second.receipt()).delivered
        assert ["newer"] == channel.texts("r")
        assert [0, 0, 5] == channel.times


async def test_an_edit_by_key_of_a_message_in_a_thread_goes_to_its_thread(
    engine, say, autojump_clock
):
    channel = FakeChannel(traits=Traits(independent_threads=True))
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "0", thread="t", key="k")
        edited = await gateway.edit(KEY, "1")
        assert ["t", "t"] == [made.attempt.thread for made in channel.made]
        assert "t" == edited.ref.thread_id


async def test_a_stored_ref_that_is_not_remembered_proves_nothing_unchanged(
    engine, say, autojump_clock
):
    """It says what the message once held; an edit back to that is made, and not believed done."""
    channel = FakeChannel()
    async with engine(channel, partition_count=1, history=2) as gateway:
        first = await gateway.send("bot", "r", "old")
        await gateway.edit(first.ref, "new")
        for n in range(5):
            await gateway.send("bot", "r", f"{n}")
        again = await gateway.edit(first.ref, "old")
        assert again.delivered
        assert "delivered" == again.parts[0].outcome
    assert "old" == channel.texts("r")[0]


async def test_history_is_bounded_and_refs_with_parts_outlive_it(engine, autojump_clock):
    channel = FakeChannel()
    async with engine(channel, partition_count=1, history=5) as gateway:
        refs = [(await gateway.send("bot", "r", f"{n}")).ref for n in range(20)]
        assert (await gateway.edit(refs[0], "changed")).delivered
        bare = attrs.evolve(refs[1], parts=())
        assert Disposition.REJECTED is (await gateway.edit(bare, "x", raises=False)).disposition
        assert 10 >= len(gateway._partitions[0].targets._revisions)


async def test_an_edited_message_is_remembered_while_others_are_only_sent(engine, autojump_clock):
    """A ref from before the edit tells nothing of the part that it appended."""
    channel = Words()
    async with engine(channel, partition_count=1, history=5) as gateway:
        stored = (await gateway.send("bot", "r", "one")).ref
        await gateway.edit(stored, "one two")
        for n in range(20):
            await gateway.send("bot", "other", f"{n}")
        assert (await gateway.edit(stored, "one three")).delivered
    assert ["one", "three"] == channel.texts("r")


# -- many interleavings


def _stream(new_engine, say, seed: str) -> None:
    """Sends, edits and deletes of a few messages by all their names; the last word stands."""
    rng = Random(seed)
    channel = Words(latency=0.25)
    final: dict[int, str] = {}

    async def writer(gateway, n: int) -> None:
        key = f"{n}"
        name = KeyRef(instance_id="bot", external_room_id="r", key=key)
        order = rng.choice(["room", "none"])
        ticket = await gateway.submit(say.message(text=f"m{n}", key=key, order=order))
        last = None
        for state in range(rng.randint(1, 6)):
            await trio.sleep(rng.randrange(5) / 4)
            target = rng.choice([ticket.ref, name])
            words = " ".join(f"m{n}s{state}w{w}" for w in range(rng.randint(1, 3)))
            fields = {"interim": rng.random() < 0.3, "order": rng.choice(["room", "none"])}
            last = words, await gateway.submit(edit_of(target, words, **fields))
        await last[1].receipt()
        words = f"m{n} final"
        await gateway.edit(rng.choice([ticket.ref, name]), words)
        final[n] = words

    async def main() -> None:
        async with new_engine()(channel, partition_count=2) as gateway:
            async with trio.open_nursery() as nursery:
                for n in range(4):
                    nursery.start_soon(writer, gateway, n)
            standing = channel.texts("r")
            assert sorted(standing) == sorted(w for words in final.values() for w in words.split())

    run_seeded(seed, main)


def test_whatever_the_order_the_last_edit_stands(new_engine, say):
    for n in range(50):
        _stream(new_engine, say, f"edits {n}")


@pytest.mark.parametrize("ahead", [10.0, 100.0])
@pytest.mark.parametrize("durable", [False, True], ids=["in_memory", "durable"])
async def test_a_scheduled_edit_replaces_nothing_before_its_time(durable, ahead, autojump_clock):
    """And none that comes meanwhile takes its place."""
    channel = FakeChannel(limits=one_a_second)
    outbox = MemoryOutbox() if durable else None
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        ref = (await gateway.send("bot", "r", "original")).ref
        now = await gateway.submit(edit_of(ref, "now"))
        later = await gateway.submit(edit_of(ref, "later", not_before=EPOCH + ahead))
        assert (await now.receipt()).delivered
        await trio.sleep(1)
        assert (await gateway.edit(ref, "meanwhile")).delivered
        assert ["meanwhile"] == channel.texts("r")
        assert (await later.receipt()).delivered
        assert ["later"] == channel.texts("r")
        assert ahead == pytest.approx(trio.current_time(), abs=0.1)


async def test_a_scheduled_edit_replaces_those_that_wait_as_its_time_comes(engine, autojump_clock):
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("account", 1, 20.0)])
    async with engine(channel) as gateway:
        ref = (await gateway.send("bot", "r", "original")).ref
        now = await gateway.submit(edit_of(ref, "now"))
        later = await gateway.submit(edit_of(ref, "later", not_before=EPOCH + 10))
        assert Disposition.SUPERSEDED is (await now.receipt()).disposition
        assert 10 == pytest.approx(trio.current_time())
        assert (await later.receipt()).delivered


async def test_an_edit_that_waits_finds_its_message_however_many_were_sent_since(
    engine, say, autojump_clock
):
    channel = FakeChannel(limits=lambda room, _operation: [Limit(room, 1, 9.0)] * (room == "r"))
    async with engine(channel, history=1, partition_count=1) as gateway:
        ticket = await gateway.submit(say.message(text="one"))
        await gateway.submit(say.message(text="two"))
        edits = [await gateway.submit(edit_of(ticket.ref, "edited", order="none"))]
        edits.append(await gateway.submit(edit_of(ticket.ref, "edited again")))
        for n in range(9):
            await trio.sleep(1)
            await gateway.send("bot", f"{n}", "x")
        assert (await edits[1].receipt()).delivered
        assert ["edited again", "two"] == channel.texts("r")
        await gateway.send("bot", "other", "x")
        await gateway.send("bot", "other", "y")
        assert 2 >= len(gateway._partitions[0].targets._revisions)


async def test_a_message_whose_deletion_was_answered_nonsense_is_gone(engine, autojump_clock):
    """The platform said yes, whatever the hook made of it: its text does not stand any more."""

    class Muddled(FakeChannel):
        @hookimpl
        async def delete(self, attempt):
            return "done"

    async with engine(Muddled()) as gateway:
        sent = await gateway.send("bot", "r", "text")
        receipt = await gateway.delete(sent.ref, raises=False)
        assert (Disposition.CRASHED, "deleted") == (receipt.disposition, receipt.parts[0].outcome)
        again = await gateway.edit(sent.ref, "text", raises=False)
        assert Disposition.REJECTED is again.disposition
