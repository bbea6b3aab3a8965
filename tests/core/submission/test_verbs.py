"""The verbs: each builds its envelope, waits for the end, and says what is wrong with it."""

from __future__ import annotations

import asyncio  # noqa: TID251 - whoever calls from another loop
import inspect
import pickle
from functools import partial

import attrs
import outcome
import pytest
import trio.testing

from gateway_core import (
    ConfigError,
    Delivered,
    DeliveryError,
    Disposition,
    Gateway,
    GatewayConfig,
    Invalid,
    KeyRef,
    MessageRef,
    Receipt,
    Send,
    UnknownInstance,
    Verdict,
    from_json,
    open_gateway,
    to_json,
)
from gateway_core.authors import Answer, hookimpl
from gateway_core.deliveries.delivery import Delivery
from gateway_core.submission.tickets import with_ref
from gateway_core.testing import Failure, FakeChannel, FakeSettings, MemoryOutbox, open_test_gateway


@pytest.fixture
async def gateway(autojump_clock):
    async with open_test_gateway(FakeChannel(), drain_timeout=0) as opened:
        yield opened


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"priority": "asap"}, "priority"),
        ({"order": "lifo"}, "order"),
        ({"format": "html"}, "format"),
        ({"on_unknown": "hope"}, "on_unknown"),
        ({"on_cancel": "ignore"}, "on_cancel"),
        ({"on_cancel": None}, "on_cancel"),
        ({"on_cancel": ["detach"]}, "on_cancel"),
        ({"ttl": -1}, "ttl"),
        ({"ttl": "5"}, "ttl"),
        ({"extra": "x"}, "extra"),
        ({"extra": [("a", 1)]}, "extra"),
        ({"extra": ""}, "extra"),
        ({"extra": {"a": 10**5000}}, "extra.a"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-",
)
async def test_a_value_that_there_is_not_is_named_with_its_field(
    gateway, fields, place, autojump_clock
):
    with pytest.raises(Invalid) as caught:
        await gateway.send("bot", "r", "x", **fields)
    assert [place] == [problem.place for problem in caught.value.problems]
    assert 0 == gateway.statistics().accepted


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("send", ("bot", "r", "x")),
        ("edit", (KEY := KeyRef(instance_id="bot", external_room_id="r", key="k"), "x")),
        ("delete", (KEY,)),
        ("call", ("bot", "r", "pin")),
    ],
)
async def test_every_verb_knows_two_words_for_a_caller_that_goes_away(
    gateway, verb, words, autojump_clock
):
    with pytest.raises(Invalid, match="on_cancel: must be 'withdraw' or 'detach', not 'stay'"):
        await getattr(gateway, verb)(*words, on_cancel="stay")


@pytest.mark.parametrize("verb", ["edit", "delete"])
async def test_a_target_of_another_kind_is_refused(gateway, verb, autojump_clock):
    more = ("new",) if verb == "edit" else ()
    with pytest.raises(Invalid, match=r"or a Ticket, not str: KeyRef\(.*key=…\) names a message"):
        await getattr(gateway, verb)("018bcfe5", *more)
    receipt = await gateway.send("bot", "r", "text")
    with pytest.raises(Invalid, match="or a Ticket, not Delivered: give the receipt's `ref`"):
        await getattr(gateway, verb)(receipt, *more)


@pytest.mark.parametrize("verb", ["edit", "delete"])
async def test_a_ref_that_is_none_is_refused_with_the_reason(gateway, verb, autojump_clock):
    """As of a message that is there though nobody could read its answer."""
    more = ("new",) if verb == "edit" else ()
    with pytest.raises(Invalid, match="NoneType: nothing arrived, or the platform's answer"):
        await getattr(gateway, verb)(None, *more)


async def test_every_kind_of_target_names_the_message(gateway, autojump_clock):
    receipt = await gateway.send("bot", "r", "0", key="k")
    key = KeyRef(instance_id="bot", external_room_id="r", key="k")
    for number, target in enumerate((receipt.ref, key)):
        edited = await gateway.edit(target, f"{number + 1}")
        assert number + 1 == edited.ref.revision
    assert (await gateway.delete(key)).delivered


async def test_a_call_gives_the_platforms_answer(gateway, autojump_clock):
    receipt = await gateway.call("bot", "r", "pin", {"message": "1"}, order="none")
    assert {"message": "1"} == receipt.result


class Seen:
    """A policy that remembers what was handed over."""

    def __init__(self):
        self.envelopes = []

    @hookimpl
    def admit(self, envelope):
        self.envelopes.append(envelope)


async def test_every_field_of_an_envelope_can_be_given(autojump_clock):
    """A verb that lacked one would send its callers to `submit`."""
    fields = {"thread": "t", "key": "k", "ttl": 60.0, "priority": "urgent", "order": "none"}
    fields |= {"on_unknown": "give_up", "on_conflict": "replay"}
    sent = {**fields, "reply_to": "5", "not_before": 1e9, "format": "plain", "extra": {"a": 1}}
    how = {"mentions": True, "link_previews": True}
    seen = Seen()
    async with open_test_gateway(FakeChannel(), drain_timeout=0, plugins=[seen]) as gateway:
        done = await gateway.send("bot", "r", "x", **sent, **how, silent=True)
        await gateway.edit(done.ref, "y", key="e", ttl=60.0, priority="bulk", format="plain", **how)
        await gateway.call("bot", "r", "typing", {"a": 1}, **fields)
    send, edit, call = seen.envelopes
    assert (True, True, True) == (send.mentions, send.link_previews, send.silent)
    assert (True, True) == (edit.mentions, edit.link_previews)
    assert ("t", "k", "none") == (call.thread_id, call.key, call.order)
    assert ["give_up"] * 2 == [send.on_unknown, call.on_unknown]
    assert ["replay"] * 2 == [send.on_conflict, call.on_conflict]


# -- enqueue


async def test_a_message_is_enqueued_in_the_words_of_send(autojump_clock):
    """The same envelope; it goes on without its caller, and its ref is usable at once."""
    seen = Seen()
    async with open_test_gateway(FakeChannel(), plugins=[seen]) as gateway:
        for hand_over in (gateway.send, gateway.enqueue):
            await hand_over("bot", "r", "x", thread="t", ttl=60.0, priority="urgent", silent=True)
        ticket = await gateway.enqueue("bot", "r", "hello", key="k")
        edited = await gateway.edit(ticket.ref, "bye")
        assert (ticket.id, 1) == (edited.ref.envelope_id, edited.ref.revision)
        assert (await ticket.receipt()).delivered
    assert seen.envelopes[0] == seen.envelopes[1]


def test_enqueue_takes_what_send_takes():
    """But for the two words about the end, which it does not wait for."""
    send, enqueue = (
        dict(inspect.signature(verb).parameters) for verb in (Gateway.send, Gateway.enqueue)
    )
    assert {"on_cancel", "raises"} == set(send) - set(enqueue)
    assert {name: p for name, p in send.items() if name in enqueue} == enqueue


async def test_what_enqueue_is_given_is_looked_at_as_by_send(gateway, autojump_clock):
    with pytest.raises(Invalid, match="priority: must be"):
        await gateway.enqueue("bot", "r", "x", priority="asap")
    with pytest.raises(Invalid, match="text: is empty"):
        await gateway.enqueue("bot", "r", "")
    with pytest.raises(UnknownInstance):
        await gateway.enqueue("nobody", "r", "x")


# -- what is returned: a receipt with a ref


class Silent(FakeChannel):
    """Its platform never tells an id."""

    @hookimpl
    async def send(self, attempt):
        self.rooms[attempt.room]["?"] = attempt.payload["text"]
        await trio.lowlevel.checkpoint()
        return Answer()


async def test_what_arrived_is_returned_with_its_ref(gateway, autojump_clock):
    for raises in (True, False):
        sent = await gateway.send("bot", "r", "x", raises=raises)
        assert isinstance(sent, Delivered)
        assert ["1"] == [part.message_id for part in sent.ref.parts][:1] or not raises
        edited = await gateway.edit(sent.ref, "y", raises=raises)
        assert isinstance(edited, Delivered)
        assert (sent.envelope_id, 1) == (edited.ref.envelope_id, edited.ref.revision)
        assert Receipt is type(await gateway.delete(edited.ref, raises=raises))
    assert Receipt is type(await gateway.call("bot", "r", "pin"))


async def test_what_did_not_arrive_is_a_plain_receipt(autojump_clock):
    async def refuse(_attempt):
        raise Failure(Verdict(error_class="non_retryable", reason="bad_request"))

    async with open_test_gateway(FakeChannel(script=refuse)) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
        assert (Receipt, None) == (type(receipt), receipt.ref)
        with pytest.raises(DeliveryError) as caught:
            await gateway.send("bot", "r", "x")
        assert Receipt is type(caught.value.receipt)


async def test_a_message_whose_id_nobody_told_has_a_ref_without_parts(autojump_clock):
    """A change of it ends `rejected`: the gateway knows no message of that name."""
    async with open_test_gateway(Silent()) as gateway:
        sent = await gateway.send("bot", "r", "x", thread="t")
        named = {"instance_id": "bot", "external_room_id": "r", "thread_id": "t"}
        assert MessageRef(envelope_id=sent.envelope_id, **named) == sent.ref
        assert (await gateway.status(sent.envelope_id)).receipt.ref is None
        for change in (gateway.edit(sent.ref, "y"), gateway.delete(sent.ref)):
            with pytest.raises(DeliveryError) as caught:
                await change
            assert "message_gone" == caught.value.receipt.verdict.reason


async def test_a_receipt_given_again_has_the_same_ref(autojump_clock):
    for channel in (FakeChannel(), Silent()):
        async with open_test_gateway(channel) as gateway:
            first = await gateway.send("bot", "r", "x", key="k")
            again = await gateway.send("bot", "r", "x", key="k")
            assert (True, Delivered) == (again.replayed, type(again))
            assert first.ref == again.ref

    async with open_test_gateway() as gateway:
        sent = await gateway.send("bot", "r", "x")
        first = await gateway.edit(sent.ref, "y", key="e")
        again = await gateway.edit(sent.ref, "y", key="e")
        assert (False, True) == (first.replayed, again.replayed)
        assert first.ref == again.ref


@pytest.mark.parametrize("known", [True, False])
async def test_a_superseded_edit_has_the_ref_of_its_message(known, autojump_clock):
    """By a ref, a ticket or a key. A key that nobody has names no message."""
    channel = FakeChannel(latency=1.0)
    found = {}
    async with open_test_gateway(channel) as gateway:
        ticket = await gateway.enqueue("bot", "r", "x", key="k")
        sent = await ticket.receipt()
        key = KEY if known else attrs.evolve(KEY, key="nobody's")
        targets = {"ref": sent.ref, "ticket": ticket, "key": key} if known else {"key": key}
        for name, target in targets.items():
            await gateway.enqueue("bot", "r", "busy")

            async def edit(name=name, target=target):
                found[name] = await gateway.edit(target, "older")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(edit)
                await trio.sleep(0.1)
                nursery.start_soon(partial(gateway.edit, target, "newer", raises=False))
        for receipt in found.values():
            assert (Disposition.SUPERSEDED, Delivered) == (receipt.disposition, type(receipt))
        if known:
            assert {ticket.id} == {receipt.ref.envelope_id for receipt in found.values()}
            assert (await gateway.edit(found["key"].ref, "last")).delivered
            assert "last" == channel.texts("r")[0]
        else:
            with pytest.raises(Invalid, match="target: names no message"):
                await gateway.edit(found["key"].ref, "last")


async def test_a_delivered_receipt_is_the_receipt_that_is_stored(autojump_clock):
    outbox = MemoryOutbox()
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        sent = await gateway.send("bot", "r", "x", key="k")
        assert sent == (await gateway.status(sent.envelope_id)).receipt
        stored = from_json(Receipt, to_json(outbox.look_up(sent.envelope_id).receipt))
    assert [Delivered, Receipt] == [type(sent), type(stored)]
    assert stored == sent
    assert sent == stored
    assert hash(sent) == hash(stored)
    assert sent != attrs.evolve(stored, attempts=9)
    assert sent != attrs.evolve(sent, attempts=9)
    assert sent != "receipt"
    assert to_json(stored) == to_json(sent)
    assert sent == from_json(Receipt, to_json(sent))
    assert Delivered is type(from_json(Delivered, to_json(sent)))
    assert sent == pickle.loads(pickle.dumps(sent))  # noqa: S301 - made one line above


def test_a_delivered_receipt_says_all_that_the_receipt_says():
    """Whatever fields a receipt has, or is given one day."""
    ref = MessageRef(instance_id="bot", external_room_id="r", envelope_id="1")
    fields = {name: f"the {name}" for name in attrs.fields_dict(Receipt)} | {"ref": ref}
    receipt = Receipt(**fields)
    given = with_ref(
        Delivery("1", Send(instance_id="bot", external_room_id="r", text="x"), ()), receipt
    )
    assert receipt == given
    assert fields == {name: getattr(given, name) for name in attrs.fields_dict(Delivered)}


@pytest.mark.parametrize("value", ["x", None, 5, [Send], Send], ids=str)
async def test_what_is_no_envelope_is_refused(gateway, value, autojump_clock):
    text = "envelope: must be a Send, Edit, Delete or Call, not"
    with pytest.raises(Invalid, match=text):
        await gateway.submit(value)
    with pytest.raises(Invalid, match=text):
        gateway.preview(value)


@pytest.mark.parametrize("value", [5, None, b"id", []], ids=str)
async def test_what_names_no_envelope_has_no_status(gateway, value, autojump_clock):
    """A receipt given by mistake must not look like an envelope that is not known."""
    with pytest.raises(Invalid, match="what: must be a Ticket, a KeyRef or an envelope's id, not"):
        await gateway.status(value)
    with pytest.raises(Invalid, match="what: must be a Ticket or an envelope's id, not"):
        await gateway.cancel(value)


async def test_asking_and_cancelling_are_checkpoints(gateway, autojump_clock):
    """Others have their turn, and who is cancelled already has done nothing."""
    gateway.suspend("bot")
    ticket = await gateway.enqueue("bot", "r", "x", key="k")
    key = KeyRef(instance_id="bot", external_room_id="r", key="k")
    for ask in (gateway.status, gateway.cancel):
        for what in (ticket, ticket.id, "0" * 30, *([key] if ask == gateway.status else [])):
            with trio.CancelScope() as scope:
                scope.cancel()
                await ask(what)
            assert scope.cancelled_caught
    assert not ticket.ended
    with trio.testing.assert_checkpoints():
        assert "unfinished" == (await gateway.status(ticket)).state
    with trio.testing.assert_checkpoints():
        assert await gateway.status("0" * 30) is None
    with trio.testing.assert_checkpoints():
        assert await gateway.cancel(ticket)
    with trio.testing.assert_checkpoints():
        assert not await gateway.cancel(ticket)


async def test_with_a_durable_outbox_they_are_checkpoints_too(autojump_clock):
    async with open_test_gateway(outbox=MemoryOutbox()) as gateway:
        for ask in (gateway.status, gateway.cancel):
            with trio.testing.assert_checkpoints():
                assert not await ask("0" * 30)


async def test_the_answer_is_as_of_the_call(autojump_clock):
    """What is waiting is withdrawn before anybody else has a turn, and told as it was then."""
    channel = FakeChannel(latency=1.0)
    async with open_test_gateway(channel) as gateway:
        await gateway.enqueue("bot", "r", "first")
        ticket = await gateway.enqueue("bot", "r", "second")
        asked = gateway.status(ticket).__await__()
        asked.send(None)  # it stands at its checkpoint
        assert not ticket.ended
        withdrawn = gateway.cancel(ticket).__await__()
        withdrawn.send(None)
        assert ticket.ended
        answers = []
        for waiting in (asked, withdrawn):
            with pytest.raises(StopIteration) as done:
                waiting.send(outcome.Value(None))
            answers.append(done.value.value)
        assert ("unfinished", True) == (answers[0].state, answers[1])


@pytest.mark.parametrize("value", [5, None, [], "nobody"], ids=str)
async def test_an_instance_that_there_is_not_is_told(gateway, value, autojump_clock):
    for ask in (gateway.suspend, gateway.resume):
        with pytest.raises(UnknownInstance, match="there is no instance"):
            ask(value)


async def test_what_is_no_instance_is_not_taken_in(gateway, autojump_clock):
    for ask in (gateway.add_instance, gateway.replace_instance):
        with pytest.raises(ConfigError, match="must be an Instance, not str"):
            ask("bot")


@pytest.mark.parametrize("config", [None, {}, b"gateway.toml", 5], ids=str)
async def test_a_gateway_is_opened_with_a_configuration(config):
    text = r"`config` must be a GatewayConfig or the path of a gateway\.toml, not"
    with pytest.raises(TypeError, match=text):
        async with open_gateway(config):
            pass


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["a text", "a path"])
async def test_a_gateway_is_opened_with_the_path_of_its_file(kind, tmp_path, autojump_clock):
    """The given plugins serve its channels."""
    file = tmp_path / "gateway.toml"
    file.write_text('partition_count = 3\n[instances.bot]\nchannel = "fake"\nname = "x"\n')
    channel = FakeChannel()
    async with open_gateway(kind(file), plugins=[("fake", channel)]) as gateway:
        await gateway.send("bot", "r", "hello")
        assert (3, FakeSettings("x")) == (
            gateway.config.partition_count,
            gateway.config.instances[0].settings,
        )
    assert ["hello"] == channel.texts("r")


async def test_mistakes_in_the_file_are_told_as_it_is_opened(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        async with open_gateway(tmp_path / "nowhere.toml"):
            pass
    (tmp_path / "gateway.toml").write_text("partition_count = 0\n")
    with pytest.raises(ConfigError, match="partition_count"):
        async with open_gateway(tmp_path / "gateway.toml"):
            pass


async def test_a_provider_alone_is_not_taken_for_both():
    with pytest.raises(TypeError, match=r"must be Providers\(tracers=…, meters=…\), not object"):
        async with open_gateway(GatewayConfig(), providers=object()):
            pass


async def test_the_outbox_s_url_belongs_into_the_configuration():
    with pytest.raises(TypeError, match="a URL belongs in the config"):
        async with open_gateway(GatewayConfig(), outbox="sqlite:outbox.db"):
            pass


class Entered(MemoryOutbox):
    """Knows that it was entered."""

    entered = False

    async def __aenter__(self):
        self.entered = True
        return await super().__aenter__()


async def test_an_outbox_is_entered_though_it_is_empty(autojump_clock):
    """One with a length is false as long as it stores nothing."""
    outbox = Entered()
    assert not len(outbox)
    async with open_gateway(GatewayConfig(), outbox=outbox):
        assert outbox.entered


def test_on_another_loop_than_trios_it_says_what_it_runs_on():
    opening = open_gateway(GatewayConfig()).__aenter__()
    with pytest.raises(RuntimeError, match=r"runs on trio, .*use gateway_core.aio with asyncio"):
        opening.send(None)


async def test_one_that_is_not_entered_says_how_it_is():
    opening = open_gateway(GatewayConfig())
    with pytest.raises(AttributeError, match=r"write `async with open_gateway\(…\) as gateway:`"):
        opening.send  # noqa: B018 - what a newcomer asks for
    with pytest.raises(TypeError, match="asynchronously: write `async with"), opening:
        pass
    with pytest.raises(TypeError, match="end of a block: write `async with"):
        await opening


@pytest.mark.parametrize("verb", ["send", "submit"])
async def test_from_another_event_loop_nothing_is_accepted_and_the_room_goes_on(verb):
    async with open_test_gateway(FakeChannel(), drain_timeout=0) as gateway:

        async def elsewhere() -> None:
            if verb == "send":
                await gateway.send("bot", "room", "from asyncio")
            else:
                envelope = Send(instance_id="bot", external_room_id="room", text="from asyncio")
                await gateway.submit(envelope)

        with pytest.raises(RuntimeError, match="in another event loop"):
            await trio.to_thread.run_sync(asyncio.run, elsewhere())
        assert 0 == gateway.statistics().instances[0].accepted
        with trio.fail_after(5):
            await gateway.send("bot", "room", "from trio")
        assert 0 == gateway.statistics().unfinished
