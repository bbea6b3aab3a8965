"""The verbs: each builds its envelope, waits for the end, and says what is wrong with it."""

from __future__ import annotations

import pytest

from gateway_core import (
    ConfigError,
    GatewayConfig,
    Invalid,
    KeyRef,
    Send,
    UnknownInstance,
    open_gateway,
)
from gateway_core.authors import hookimpl
from gateway_core.testing import FakeChannel, open_test_gateway


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


@pytest.mark.parametrize("verb", ["edit", "delete"])
async def test_a_target_of_another_kind_is_refused(gateway, verb, autojump_clock):
    more = ("new",) if verb == "edit" else ()
    with pytest.raises(Invalid, match="target: must be a MessageRef, a KeyRef or a Ticket"):
        await getattr(gateway, verb)("018bcfe5", *more)


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
    sent = {**fields, "reply_to": "5", "not_before": 0.0, "format": "plain", "extra": {"a": 1}}
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
    with pytest.raises(TypeError, match="must be a Ticket, a KeyRef or an envelope's id, not"):
        gateway.status(value)
    with pytest.raises(TypeError, match="must be a Ticket or an envelope's id, not"):
        gateway.cancel(value)


@pytest.mark.parametrize("value", [5, None, [], "nobody"], ids=str)
async def test_an_instance_that_there_is_not_is_told(gateway, value, autojump_clock):
    for ask in (gateway.suspend, gateway.resume):
        with pytest.raises(UnknownInstance, match="there is no instance"):
            ask(value)


async def test_what_is_no_instance_is_not_taken_in(gateway, autojump_clock):
    for ask in (gateway.add_instance, gateway.replace_instance):
        with pytest.raises(ConfigError, match="must be an Instance, not str"):
            ask("bot")


@pytest.mark.parametrize("config", ["gateway.toml", None, {}], ids=str)
async def test_a_gateway_is_opened_with_a_configuration(config):
    with pytest.raises(TypeError, match="`config` must be a GatewayConfig"):
        async with open_gateway(config):
            pass


async def test_a_provider_alone_is_not_taken_for_both():
    with pytest.raises(TypeError, match=r"must be Providers\(tracers=…, meters=…\), not object"):
        async with open_gateway(GatewayConfig(), providers=object()):
            pass


async def test_the_outbox_s_url_belongs_into_the_configuration():
    with pytest.raises(TypeError, match="a URL belongs into the config"):
        async with open_gateway(GatewayConfig(), outbox="sqlite:outbox.db"):
            pass


def test_on_another_loop_than_trios_it_says_what_it_runs_on():
    opening = open_gateway(GatewayConfig()).__aenter__()
    with pytest.raises(RuntimeError, match=r"the gateway runs on trio: begin with trio\.run"):
        opening.send(None)
