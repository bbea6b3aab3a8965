"""Replies whose message or thread Slack refuses: the text arrives in the room all the same."""

import pytest
import trio

from gateway_contrib.emulators.slack import SlackEmulator
from gateway_core import File, GatewayConfig, Reason, open_gateway
from gateway_core.testing import MemoryOutbox, open_network, virtual_wall

ROOM = "C024BE91L"
LONG = "word " * 2000


@pytest.fixture
def workspace():
    return SlackEmulator()


@pytest.fixture
async def gateway(workspace, instance, autojump_clock):
    async with open_network() as network:
        for host in ("slack.com", "files.slack.com", "hooks.slack.com"):
            network.mount(f"https://{host}", workspace.app)
        async with open_gateway(GatewayConfig(instances=[instance])) as opened:
            yield opened


def threads(workspace):
    return [message.thread for message in workspace.rooms.conversation(ROOM)]


@pytest.mark.parametrize(("text", "files"), [(LONG, ()), ("A cat", [File(b"1", name="1.txt")])])
async def test_an_answer_to_a_deleted_question_stands_in_the_room(workspace, gateway, text, files):
    question = await gateway.send("support", ROOM, "question")
    await gateway.delete(question.ref)
    asked = question.ref.parts[0].message_id
    receipt = await gateway.send("support", ROOM, text, files=files, reply_to=asked)
    assert [None] * len(receipt.parts) == threads(workspace)
    assert (("without_reply",), ("reply dropped",)) == (receipt.transforms, receipt.degradations)
    assert 1 + len(receipt.parts) == sum(part.attempts for part in receipt.parts)


async def test_a_thread_that_is_locked_between_two_parts_has_only_the_first(workspace, gateway):
    question = await gateway.send("support", ROOM, "question")
    asked = question.ref.parts[0].message_id
    ticket = await gateway.enqueue("support", ROOM, LONG, reply_to=asked)
    await trio.sleep(1.5)  # a channel takes one message a second
    assert [None, asked] == threads(workspace)
    workspace.lock_thread(ROOM, asked)
    receipt = await ticket.receipt()
    assert [None, asked, None, None] == threads(workspace)
    assert (("without_reply",), ("reply dropped",)) == (receipt.transforms, receipt.degradations)


@pytest.mark.parametrize("ephemeral", [False, True])
async def test_a_press_on_a_deleted_message_is_answered_by_its_url(workspace, gateway, ephemeral):
    sent = await gateway.send("support", ROOM, "Deploy?", extra={"blocks": [BUTTONS]})
    press = workspace.people.press(ROOM, sent.ref.parts[0].message_id, "yes")
    await gateway.delete(sent.ref)
    receipt = await gateway.reply(press, "Deployed.", ephemeral=ephemeral)
    assert ("without_reply",) == receipt.transforms
    assert [2] == [part.attempts for part in receipt.parts]
    assert [] == [thread for thread in threads(workspace) if thread]


async def test_the_next_life_knows_that_the_reply_was_refused(slack, instance, autojump_clock):
    config, outbox = GatewayConfig(instances=[instance], drain_timeout=1.0), MemoryOutbox()
    slack.will_say({"ok": False, "error": "thread_not_found"})
    slack.will_say({"ok": True, "channel": ROOM, "ts": "1700000000.000200"})
    slack.will_say({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "60"})
    async with open_gateway(config, wall_clock=virtual_wall, outbox=outbox) as first:
        ticket = await first.enqueue("support", ROOM, LONG, reply_to="1700000000.000100")
        await trio.sleep(10)
    async with open_gateway(config, wall_clock=virtual_wall, outbox=outbox) as second:
        await trio.sleep(100)
        receipt = (await second.status(ticket.id)).receipt
    asked = ["1700000000.000100", None, None, None, None]
    assert asked == [sent.fields.get("thread_ts") for sent in slack.requests]
    assert (True, ("reply dropped",)) == (receipt.delivered, receipt.degradations)


async def test_a_message_for_a_thread_is_not_sent_to_the_room(workspace, gateway):
    question = await gateway.send("support", ROOM, "question")
    asked = question.ref.parts[0].message_id
    await gateway.delete(question.ref)
    receipt = await gateway.send("support", ROOM, "answer", thread=asked, raises=False)
    assert Reason.THREAD_GONE is receipt.verdict.reason
    assert [] == threads(workspace)


BUTTONS = {
    "type": "actions",
    "elements": [
        {
            "type": "button",
            "action_id": "yes",
            "text": {"type": "plain_text", "text": "Yes"},
            "value": "yes",
        }
    ],
}
