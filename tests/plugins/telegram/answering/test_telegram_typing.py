"""Typing on Telegram: sendChatAction each four seconds, in a topic or a chat."""

import trio

from gateway_core import GatewayConfig, open_gateway
from gateway_core.testing import virtual_wall

GROUP = {"chat": {"id": -100123, "type": "supergroup"}, "message_id": 8, "from": {"id": 5}}


async def shown(telegram, instance, message, seconds):
    config = GatewayConfig(instances=[instance])
    update = {"update_id": 1, "message": message}
    async with (
        open_gateway(config, wall_clock=virtual_wall) as gateway,
        gateway.typing(update),
    ):
        await trio.sleep(seconds)
    return telegram.posted


async def test_it_is_shown_each_four_seconds(telegram, instance, autojump_clock):
    topic = {**GROUP, "is_topic_message": True, "message_thread_id": 3}
    action = {"chat_id": -100123, "message_thread_id": 3, "action": "typing"}
    assert [("sendChatAction", action)] * 3 == await shown(telegram, instance, topic, 11)


async def test_a_chat_that_refuses_it_is_not_asked_again(telegram, instance, autojump_clock):
    telegram.answers(400, {"ok": False, "error_code": 400, "description": "Bad Request: x"})
    assert 1 == len(await shown(telegram, instance, GROUP, 100))


async def test_a_flood_wait_is_kept_to(telegram, instance, autojump_clock):
    telegram.answers(429, {"ok": False, "error_code": 429, "parameters": {"retry_after": 60}})
    assert 1 == len(await shown(telegram, instance, GROUP, 59))
