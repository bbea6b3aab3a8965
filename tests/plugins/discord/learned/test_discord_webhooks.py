"""Interactions and webhooks: tokens of their own, buckets of their own."""

import pytest
import trio
import trio.testing

from gateway_plugin_discord import hooks
from gateway_plugin_discord.errors import DiscordApiError
from gateway_plugin_discord.learned.invalid_answers import InvalidAnswers, times_of
from gateway_plugin_discord.learned.webhooks import MOST, BucketSpentError
from gateway_plugin_discord.methods import route_of

FOLLOW_UP = "call:POST /webhooks/{webhook}/{token}"
CHANGE = "call:PATCH /webhooks/{webhook}/{token}/messages/@original"
SPENT = {
    "X-RateLimit-Bucket": "abc",
    "X-RateLimit-Limit": "5",
    "X-RateLimit-Remaining": "0",
    "X-RateLimit-Reset-After": "2.5",
}


def step(attempt, operation=FOLLOW_UP, token="t"):
    return attempt(operation, arguments={"webhook": 9, "token": token, "content": "hi"})


async def test_a_spent_bucket_is_not_asked_again_until_it_is_fresh(
    discord, session, attempt, autojump_clock
):
    discord.will_say({"id": "5"}, headers=SPENT)
    await hooks.call(session=session, attempt=step(attempt))
    with pytest.raises(BucketSpentError, match=r"empty for 2\.500 s") as caught:
        await hooks.call(session=session, attempt=step(attempt))
    assert (2.5, 1) == (caught.value.retry_after, len(discord.requests))
    await hooks.call(session=session, attempt=step(attempt, token="another"))
    await trio.sleep(2.5)
    await hooks.call(session=session, attempt=step(attempt))
    assert 3 == len(discord.requests)


async def test_a_refusal_tells_of_the_bucket_as_well(discord, session, attempt):
    refusal = {"message": "slow", "retry_after": 2.5, "global": False}
    discord.will_say(refusal, status=429, headers={**SPENT, "Via": "1.1 google"})
    with pytest.raises(DiscordApiError):
        await hooks.call(session=session, attempt=step(attempt))
    with pytest.raises(BucketSpentError):
        await hooks.call(session=session, attempt=step(attempt))


async def test_attempts_in_flight_count_before_their_answers(discord, session, attempt):
    discord.will_say({"id": "5"}, headers={**SPENT, "X-RateLimit-Remaining": "1"})
    await hooks.call(session=session, attempt=step(attempt))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: hooks.call(session=session, attempt=step(attempt)))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BucketSpentError):
            await hooks.call(session=session, attempt=step(attempt))


async def test_routes_of_one_bucket_share_it(discord, session, attempt):
    for operation in (FOLLOW_UP, CHANGE):
        discord.will_say({"id": "5"}, headers={**SPENT, "X-RateLimit-Remaining": "3"})
        await hooks.call(session=session, attempt=step(attempt, operation))
    discord.will_say({"id": "5"}, headers=SPENT)
    await hooks.call(session=session, attempt=step(attempt))
    with pytest.raises(BucketSpentError):
        await hooks.call(session=session, attempt=step(attempt, CHANGE))


async def test_what_is_remembered_is_bounded(discord, session, attempt):
    webhooks = session.webhooks
    for number in range(2 * MOST):
        one = step(attempt, token=str(number))
        route = route_of(one.operation)
        lower = {name.lower(): value for name, value in SPENT.items()}
        webhooks.learn(route, one, {**lower, "x-ratelimit-reset-after": str(number)}, 0.0)
    assert MOST // 2 <= len(webhooks._standing) <= MOST
    with pytest.raises(BucketSpentError):
        webhooks.take(route, one, 1.0)


async def test_no_webhooks_token_is_kept_in_the_words(discord, session, attempt):
    """What stands between may quote the path that was asked for."""
    discord.will_say(b"<html>no such page: /webhooks/9/aSecretToken</html>", status=404)
    with pytest.raises(DiscordApiError) as caught:
        await hooks.call(session=session, attempt=step(attempt, token="aSecretToken"))
    verdict = hooks.classify_error(attempt=step(attempt), error=caught.value)
    assert "HTTP 404, not from the platform: no such page: /webhooks/9/***" == verdict.raw


async def test_no_bots_token_is_kept_in_the_words(discord, session, attempt, instance):
    token = instance.settings.token.reveal()
    discord.will_say({"code": 0, "message": f"401: Bot {token} is unknown"}, status=401)
    with pytest.raises(DiscordApiError) as caught:
        await hooks.send(session=session, attempt=attempt("send"))
    verdict = hooks.classify_error(attempt=attempt("send"), error=caught.value)
    assert "HTTP 401, code 0: 401: *** is unknown" == verdict.raw


async def test_invalid_answers_count_by_address_and_outlive_the_session(discord, instance, attempt):
    """Two bots of one process, and a session that was closed when idle, stop together."""
    for _ in range(2):
        async with hooks.open_session(instance=instance) as session:
            discord.will_say({"code": 50001}, status=403, headers={"Via": "1.1 google"})
            with pytest.raises(DiscordApiError):
                await hooks.send(session=session, attempt=attempt("send"))
    async with hooks.open_session(instance=instance) as session:
        assert 2 == session.meter.count(trio.current_time())
    elsewhere = InvalidAnswers(10, "other", times_of("https://proxy.example"))
    assert 0 == elsewhere.count(trio.current_time())
