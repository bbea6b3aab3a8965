"""What follows from a verdict: retries, outcomes that nobody knows, changes to what is sent."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import attrs
import pytest
import trio

from gateway_core import (
    Disposition,
    Edit,
    ErrorClass,
    KeyRef,
    Limit,
    Part,
    Reason,
    RetrySettings,
    Scope,
    Verdict,
)
from gateway_core.authors import Traits, TransportError, hookimpl
from gateway_core.backoff import Backoff
from gateway_core.testing import Failure, FakeChannel, open_test_gateway

ONE_BY_ONE = {"partition_count": 1}


def gaps(times: list[float]) -> list[float]:
    return [b - a for a, b in pairwise(times)]


# -- retries


async def test_a_retryable_failure_is_tried_again_up_to_its_bound(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(*[say.busy()] * 99))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
        assert Disposition.EXHAUSTED is receipt.disposition
        assert 6 == receipt.attempts == len(channel.made)
        assert [1, 2, 3, 4, 5, 6] == [m.attempt.number for m in channel.made]
        assert "failed" == receipt.parts[0].outcome
        assert 1 == len({m.attempt.key for m in channel.made})


async def test_delays_have_full_jitter_from_the_generator_that_was_passed_in(say, autojump_clock):
    """The partition's generator is drawn from the gateway's own: the same seed, the same delays."""
    runs = []
    for seed in ("a", "a", "b"):
        channel = FakeChannel(script=say.script(*[say.busy()] * 5))
        async with open_test_gateway(channel, seed=seed, **ONE_BY_ONE) as gateway:
            await gateway.send("bot", "r", "x")
        runs.append(gaps(channel.times))
    assert runs[0] == pytest.approx(runs[1])
    assert runs[0] != pytest.approx(runs[2])
    backoff = RetrySettings().backoff
    for run in runs:
        assert all(0 <= gap <= backoff.ceiling(n) + 1e-6 for n, gap in enumerate(run, 1))


def test_full_jitter_is_drawn_evenly_from_zero_to_the_ceiling():
    rng = Random(1)
    drawn = [Backoff(base=1.0, cap=8.0).delay(9, rng=rng) for _ in range(4000)]
    assert 0 <= min(drawn) < 0.1
    assert 7.9 < max(drawn) <= 8
    assert 4 == pytest.approx(sum(drawn) / len(drawn), abs=0.15)


async def test_retry_after_wins_over_the_backoff(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.busy(retry_after=30.0), say.busy(retry_after=0.0)))
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "x")
    assert [0, 30, 30] == pytest.approx(channel.times)


async def test_a_wait_beyond_the_deadline_ends_it_at_once(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.busy(retry_after=100.0)))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x", ttl=60, raises=False)
        assert Disposition.EXPIRED is receipt.disposition
        assert 0 == trio.current_time()
        assert 100.0 == receipt.verdict.retry_after


async def test_only_steps_not_yet_acknowledged_are_tried_again(engine, say, autojump_clock):
    channel = _Words(script=say.script(None, say.busy(), None, say.busy(), say.busy()))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "one two three")
        assert ["one", "two", "three"] == channel.texts("r")
        assert [1, 2, 3] == [part.attempts for part in receipt.parts]
        assert 6 == receipt.attempts


class _Words(FakeChannel):
    """One part for each word; `plain` and `stricter` plans say so."""

    @hookimpl
    def chunk(self, envelope, mode):
        parts, at = [], 0
        for word in envelope.text.split():
            at = envelope.text.index(word, at)
            text = word if mode == "as_asked" else f"{mode}:{word}"
            if mode == "stricter" and len(word) > 1:
                middle = (len(word) + 1) // 2
                for start, end in ((0, middle), (middle, len(word))):
                    piece = Part(payload={"text": word[start:end]}, span=(at + start, at + end))
                    parts.append(piece)
            else:
                parts.append(Part(payload={"text": text}, span=(at, at + len(word))))
            at += len(word)
        return parts


async def test_a_rejection_ends_it_at_once_with_the_platforms_words(engine, say, autojump_clock):
    channel = _Words(script=say.script(None, say.rejected(raw="chat not found")))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "one two three", raises=False)
        assert Disposition.REJECTED is receipt.disposition
        assert ["delivered", "failed", "not_sent"] == [part.outcome for part in receipt.parts]
        assert "chat not found" == receipt.verdict.raw
        assert 1 == len(receipt.ref.parts)


async def test_a_fatal_message_ends_alone(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.fatal(Scope.MESSAGE)))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
        assert Disposition.FATAL is receipt.disposition
        assert gateway.statistics().instances[0].suspended is None


async def test_done_counts_as_delivered(engine, say, autojump_clock):
    channel = FakeChannel()
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x")
        done = Verdict(error_class=ErrorClass.DONE, reason=Reason.NOT_MODIFIED)
        channel.script = say.script(Failure(done))
        edited = await gateway.edit(receipt.ref, "y")
        assert edited.delivered
        assert "unchanged" == edited.parts[0].outcome


@pytest.mark.parametrize("scope", [Scope.ROOM, Scope.THREAD, Scope.MESSAGE])
async def test_a_gone_room_ends_its_backlog_with_the_reason(engine, say, scope, autojump_clock):

    async def gone(attempt):
        if attempt.room == "r" and len(channel.made) <= 2:
            raise say.rejected(scope, raw="gone")

    channel = FakeChannel(script=gone, latency=1)
    async with engine(channel, drain_timeout=100) as gateway:
        first = await gateway.submit(say.message("r", "1", thread_id="t"))
        same = await gateway.submit(say.message("r", "2", thread_id="t"))
        thread = await gateway.submit(say.message("r", "3", thread_id="u"))
        alone = await gateway.submit(say.message("r", "4", thread_id="t", not_before=1_700_000_050))
        other = await gateway.submit(say.message("s", "5"))
        ended = {
            name: (await ticket.receipt()).disposition is Disposition.REJECTED
            for name, ticket in {
                "first": first,
                "same": same,
                "thread": thread,
                "alone": alone,
                "other": other,
            }.items()
        }
    assert {
        "first": True,
        "same": scope is not Scope.MESSAGE,
        "thread": scope is Scope.ROOM,
        "alone": False,  # what is scheduled tries when it is due
        "other": False,
    } == ended


# -- outcomes that nobody knows


async def test_an_unknown_outcome_waits_until_the_instance_works_again(engine, say, autojump_clock):
    """No probe answers for ten minutes: not one copy is made in that time."""
    channel = FakeChannel(script=say.script(say.unknown()))
    channel.probe_error = say.refused()
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message())
        await trio.sleep(600)
        assert 1 == len(channel.made)
        channel.probe_error = None
        receipt = await ticket.receipt()
        assert receipt.delivered
        assert receipt.possible_duplicate
        assert 2 == len(channel.made)
        assert trio.current_time() < 700


async def test_other_traffic_shows_that_it_works_as_well(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.unknown()))
    channel.probe_error = say.refused()
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message())
        await trio.sleep(100)
        await gateway.send("bot", "other", "x")
        assert (await ticket.receipt()).possible_duplicate
        assert 100 == pytest.approx(trio.current_time(), abs=0.1)


async def test_that_it_works_makes_no_quarantine_shorter(engine, say, autojump_clock):
    """The try may still arrive: what follows it waits, whoever else was answered."""
    channel = FakeChannel(script=say.script(say.unknown()))
    async with engine(channel, retries=RetrySettings(quarantine=5.0)) as gateway:
        ticket = await gateway.submit(say.message())
        await trio.sleep(1)
        await gateway.send("bot", "other", "x")
        assert (await ticket.receipt()).possible_duplicate
        assert 5 <= trio.current_time()


async def test_at_most_max_ambiguous_sends_may_have_been_accepted(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(*[say.unknown()] * 9))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
        assert Disposition.UNKNOWN is receipt.disposition
        assert 2 == len(channel.made)
        assert "unknown" == receipt.parts[0].outcome
        assert receipt.possible_duplicate


@pytest.mark.parametrize("most", [1, 3, 5])
async def test_max_ambiguous_is_a_setting(engine, say, most, autojump_clock):
    channel = FakeChannel(script=say.script(*[say.unknown()] * 9))
    async with engine(channel, retries=RetrySettings(max_ambiguous=most)) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
        assert Disposition.UNKNOWN is receipt.disposition
        assert most == len(channel.made)
        assert receipt.possible_duplicate == (most > 1)


async def test_give_up_makes_no_second_try(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.unknown()))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x", on_unknown="give_up", raises=False)
        assert Disposition.UNKNOWN is receipt.disposition
        assert not receipt.possible_duplicate
        assert 1 == len(channel.made)


async def test_after_an_unknown_part_the_others_still_go(engine, say, autojump_clock):
    channel = _Words(script=say.script(None, say.unknown()))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "1 2 3", on_unknown="give_up", raises=False)
        assert Disposition.UNKNOWN is receipt.disposition
        assert ["delivered", "unknown", "delivered"] == [p.outcome for p in receipt.parts]


async def test_a_quarantine_keeps_the_room_in_order_after_an_unknown_outcome(
    engine, say, autojump_clock
):
    channel = FakeChannel(script=say.script(say.unknown()))
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "x", on_unknown="give_up", raises=False)
        assert (await gateway.send("bot", "other", "y")).delivered
        assert 0 == trio.current_time()
        assert (await gateway.send("bot", "r", "z")).delivered
        assert 2 == pytest.approx(trio.current_time())


async def test_an_expiry_within_the_quarantine_does_not_shorten_it(engine, say, autojump_clock):
    """The first of two parts is in doubt, and at 1 s the message expires: the next waits till 2."""
    channel = _Words(script=say.script(say.unknown()))
    async with engine(channel) as gateway:
        first = await gateway.submit(say.message("r", "1 2", ttl=1, on_unknown="give_up"))
        await gateway.submit(say.message("r", "next"))
        assert Disposition.EXPIRED is (await first.receipt()).disposition
        assert 1 == pytest.approx(trio.current_time())
        await trio.sleep(5)
    assert [0, 2] == [round(m.at, 6) for m in channel.made]
    assert ["next"] == channel.texts("r")


@pytest.mark.parametrize("settings", [{"attempts": 1}, {"base": 90.0, "cap": 90.0}])
async def test_an_end_in_doubt_lets_the_next_wait_for_the_quarantine(
    engine, say, settings, autojump_clock
):
    """A repeat would be safe and there is none, as no try is left, or no time: it may yet come."""
    channel = FakeChannel(script=say.script(say.unknown()), traits=Traits(deduplicates_for=600.0))
    async with engine(channel, retries=RetrySettings(**settings)) as gateway:
        first = await gateway.submit(say.message("r", "x", ttl=1e-3))
        await gateway.send("bot", "r", "next")
        receipt = await first.receipt()
        assert receipt.disposition in (Disposition.EXPIRED, Disposition.EXHAUSTED)
    assert [0, 2] == [round(m.at, 6) for m in channel.made]


@pytest.mark.parametrize("comes_at", [0.0, 1.5])
async def test_an_expiry_at_the_moment_of_a_retry_lets_the_next_wait_as_well(
    engine, say, comes_at, autojump_clock
):
    """In doubt from 0 s; at 1 s it is due again and too late: the next goes at 2 s.

    Once, also where it comes when the lane has been empty for a while.
    """
    lost = Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.OUTCOME_UNKNOWN,
        scope=Scope.MESSAGE,
        dispatched="unknown",
        retry_after=1.0,
    )
    channel = FakeChannel(script=say.script(Failure(lost)), traits=Traits(deduplicates_for=600.0))
    async with engine(channel) as gateway:
        first = await gateway.submit(say.message("r", "x", ttl=1))
        await trio.sleep(comes_at)
        await gateway.send("bot", "r", "next")
        assert Disposition.EXPIRED is (await first.receipt()).disposition
    assert [0, 2] == [round(m.at, 6) for m in channel.made]


async def test_what_is_given_up_after_a_part_in_doubt_is_in_doubt_itself(
    engine, say, autojump_clock
):
    """Its instance is taken out within the quarantine, before the second part."""
    channel = _Words(script=say.script(say.unknown()))
    async with engine(channel) as gateway:
        first = await gateway.submit(say.message("r", "1 2", on_unknown="give_up"))
        await trio.sleep(1)
        await gateway.remove_instance("bot")
        receipt = await first.receipt()
    assert ["unknown", "not_sent"] == [part.outcome for part in receipt.parts]
    assert Disposition.UNKNOWN is receipt.disposition


async def test_certainly_unsent_tries_are_no_copies(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(*[say.refused()] * 5))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x")
        assert receipt.delivered
        assert not receipt.possible_duplicate
        assert 6 == receipt.attempts


async def test_what_the_platform_deduplicates_is_repeated_and_makes_no_copy(
    engine, say, autojump_clock
):
    channel = FakeChannel(
        script=say.script(*[say.unknown()] * 3), traits=Traits(deduplicates_for=600.0)
    )
    channel.probe_error = say.refused()
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x")
        assert receipt.delivered
        assert not receipt.possible_duplicate
        assert 4 == receipt.attempts
        assert 1 == len({m.attempt.key for m in channel.made})


async def test_the_deduplication_counts_from_the_start_of_the_first_try(
    engine, say, autojump_clock
):
    """A try of 50 s, and a platform that remembers for 60: a repeat at 65 s is a copy."""

    async def slow(attempt):
        if attempt.number == 1:
            await trio.sleep(50)
            raise TransportError("late", dispatched="unknown")
        if attempt.number == 2:
            raise say.busy(retry_after=15)

    channel = FakeChannel(script=slow, traits=Traits(deduplicates_for=60.0))
    async with engine(channel, retries=RetrySettings(base=0.001)) as gateway:
        await trio.sleep(10)
        receipt = await gateway.send("bot", "r", "x")
        assert receipt.delivered
        assert receipt.possible_duplicate


async def test_a_try_at_the_very_start_is_remembered_no_longer(engine, say, autojump_clock):
    """Time 0 is a time like any other."""

    async def slow(attempt):
        if attempt.number == 1:
            raise say.unknown()
        if attempt.number == 2:
            raise say.busy(retry_after=100)

    channel = FakeChannel(script=slow, traits=Traits(deduplicates_for=60.0))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x")
        assert receipt.possible_duplicate


async def test_edits_and_deletes_are_safe_to_repeat(engine, say, autojump_clock):
    channel = FakeChannel()
    channel.probe_error = say.refused()
    async with engine(channel) as gateway:
        sent = await gateway.send("bot", "r", "x")
        channel.script = say.script(*[say.unknown()] * 4)
        edited = await gateway.edit(sent.ref, "y")
        assert edited.delivered
        assert not edited.possible_duplicate
        channel.script = say.script(*[say.unknown()] * 4)
        assert (await gateway.delete(sent.ref)).delivered
        assert [] == channel.texts("r")


@pytest.mark.parametrize("safe", [True, False])
async def test_calls_are_repeated_only_where_the_channel_says_so(engine, say, safe, autojump_clock):
    traits = Traits(repeat_safe_calls=frozenset({"typing"} if safe else ()))
    channel = FakeChannel(script=say.script(*[say.unknown()] * 3), traits=traits)
    async with engine(channel) as gateway:
        receipt = await gateway.call("bot", "r", "typing", raises=False)
        assert safe == receipt.delivered
        assert (4 if safe else 2) == receipt.attempts


async def test_an_envelope_in_doubt_that_expires_says_so(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.unknown()))
    channel.probe_error = say.refused()
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x", ttl=60, key="k", raises=False)
        assert Disposition.EXPIRED is receipt.disposition
        assert "unknown" == receipt.parts[0].outcome
        channel.probe_error = None
        again = await gateway.send("bot", "r", "x", key="k", raises=False)
        assert again.replayed  # the key is not free: it may have arrived


async def test_a_duplicate_is_never_announced_where_the_first_try_did_it(
    engine, say, autojump_clock
):
    channel = FakeChannel(script=say.script(say.busy()))
    async with engine(channel) as gateway:
        assert not (await gateway.send("bot", "r", "x")).possible_duplicate


# -- transformations


async def test_plain_is_sent_where_formatting_was_refused(engine, say, autojump_clock):
    channel = _Words(script=say.script(None, say.rejected(transform="plain")))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "one two three")
        assert ["one", "plain:two", "three"] == channel.texts("r")
        assert ("plain",) == receipt.transforms
        assert ("plain",) == receipt.degradations
        assert ["as_asked", "as_asked", "plain", "as_asked"] == [
            m.attempt.mode for m in channel.made
        ]


async def test_stricter_plans_the_refused_part_anew_with_spans_of_the_whole_text(
    engine, say, autojump_clock
):
    channel = _Words(script=say.script(None, say.rejected(transform="stricter")))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "one four six")
        assert ["one", "fo", "ur", "six"] == channel.texts("r")
        assert [(0, 3), (4, 6), (6, 8), (9, 12)] == [part.span for part in receipt.parts]
        assert ("stricter",) == receipt.transforms
        assert 4 == len({part.message_id for part in receipt.parts})
        keys = [m.attempt.key for m in channel.made]
        assert keys[1] == keys[2]
        assert 4 == len(set(keys))


async def test_the_platforms_own_fields_stay_on_the_last_part(engine, say, autojump_clock):
    channel = _Words(script=say.script(None, say.rejected(transform="stricter")))
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "one four", extra={"buttons": 1})
        assert [None, {"buttons": 1}, None, {"buttons": 1}] == [
            m.attempt.extra for m in channel.made
        ]


async def test_the_reply_is_dropped_where_its_message_is_gone(engine, say, autojump_clock):
    channel = FakeChannel(script=say.script(say.rejected(transform="without_reply")))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x", reply_to="gone")
        assert ["gone", None] == [m.attempt.reply for m in channel.made]
        assert ("without_reply",) == receipt.transforms
        assert ("reply dropped",) == receipt.degradations


async def test_no_part_has_a_reply_once_it_is_refused(engine, say, autojump_clock):
    channel = _Words(script=say.script(say.rejected(transform="without_reply")))
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "one two", reply_to="gone")
    attempts = [m.attempt for m in channel.made]
    assert ["gone", None, None] == [attempt.reply for attempt in attempts]
    assert [False, True, True] == [attempt.without_reply for attempt in attempts]


async def test_a_moved_room_is_followed_and_remembered(engine, say, autojump_clock):
    moved = say.busy().verdict
    moved = attrs.evolve(moved, reason=Reason.ROOM_MOVED, moved_to="new", scope=Scope.ROOM)
    channel = FakeChannel(
        script=say.script(Failure(moved)),
        limits=lambda room, _: [Limit(f"room {room}", 1, 1.0)],
    )
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "old", "x")
        assert "new" == receipt.moved_to
        assert "old" == receipt.external_room_id
        assert ["old", "new"] == [m.attempt.room for m in channel.made]
        assert (await gateway.send("bot", "old", "y")).delivered
        assert ["x", "y"] == channel.texts("new")
        assert (await gateway.edit(receipt.ref, "z")).delivered
        assert ["z", "y"] == channel.texts("new")


@pytest.mark.parametrize("transform", ["plain", "stricter", "without_reply"])
async def test_changes_are_bounded(engine, say, transform, autojump_clock):
    channel = FakeChannel(script=say.script(*[say.rejected(transform=transform)] * 99))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x", reply_to="1", raises=False)
        assert Disposition.REJECTED is receipt.disposition
        assert (transform,) * 3 == receipt.transforms
        assert 4 == receipt.attempts
        assert 0 == trio.current_time()


async def test_moves_are_bounded_too(engine, say, autojump_clock):
    """Two rooms that each say that they are the other."""

    async def round_and_round(attempt):
        verdict = attrs.evolve(
            say.busy().verdict,
            reason=Reason.ROOM_MOVED,
            moved_to={"a": "b", "b": "a"}[attempt.room],
        )
        raise Failure(verdict)

    channel = FakeChannel(script=round_and_round)
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "a", "x", raises=False)
        assert Disposition.REJECTED is receipt.disposition
        assert 4 == receipt.attempts


async def test_a_plan_that_leaves_nothing_of_the_refused_part_ends_it(engine, say, autojump_clock):
    class Empty(FakeChannel):
        @hookimpl
        def chunk(self, mode):
            return [] if mode == "plain" else None

    channel = Empty(script=say.script(say.rejected(transform="plain", raw="bad markup")))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
        assert Disposition.REJECTED is receipt.disposition
        assert "bad markup" == receipt.verdict.raw
        assert "failed" == receipt.parts[0].outcome


async def test_a_transform_spends_no_attempt(engine, say, autojump_clock):
    changes = [say.rejected(transform="plain"), *[say.busy()] * 5]
    channel = FakeChannel(script=say.script(*changes))
    async with engine(channel) as gateway:
        receipt = await gateway.send("bot", "r", "x")
        assert receipt.delivered
        assert 7 == receipt.attempts


# -- a thread that is gone


@pytest.mark.parametrize("independent", [True, False], ids=["own_lanes", "one_lane"])
async def test_an_edit_by_key_that_finds_its_thread_gone_ends_what_waits_in_that_thread(
    engine, say, independent, autojump_clock
):
    gone = say.rejected(Scope.THREAD)
    channel = FakeChannel(
        script=say.script(None, None, gone, *[1.0] * 9),
        traits=Traits(independent_threads=independent),
        limits=lambda room, _operation: [Limit(room, 1, 1.0)],
    )
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "x", thread="t", key="k")
        await gateway.send("bot", "r", "y", thread="t", key="l")
        keys = [KeyRef(instance_id="bot", external_room_id="r", key=key) for key in "kl"]
        edits = [Edit(instance_id="bot", external_room_id="r", target=k, text="z") for k in keys]
        waiting = [say.message(thread_id="t"), say.message(), say.message(thread_id="u")]
        tickets = [await gateway.submit(each) for each in [*edits, *waiting]]
        ends = [(await ticket.receipt()).delivered for ticket in tickets]
        assert [False, False, False, True, True] == ends
