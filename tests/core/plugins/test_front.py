"""The typed front of one channel's hooks, where every error of a hookimpl stops."""

import math
from collections import UserDict
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from structlog.testing import capture_logs
from value_kinds import kinds

from gateway_core import (
    Address,
    Disposition,
    ErrorClass,
    File,
    HookContractError,
    Identity,
    Instance,
    Limit,
    Part,
    Problem,
    Reason,
    Receipt,
    Scope,
    Secret,
    Send,
    Verdict,
)
from gateway_core.authors import (
    Answer,
    Attempt,
    AttemptReport,
    BucketReport,
    Delay,
    Pressure,
    Streaming,
    Traits,
    TransportError,
    Upload,
    hookimpl,
)
from gateway_core.contract.envelopes import repeated
from gateway_core.plugins.loader import Filter, bind

INSTANCE = Instance("bot", "post")
SEND = Send(instance_id="bot", external_room_id="r", text="hello")
ATTEMPT = Attempt(operation="send", envelope_id="e", instance_id="bot", room="r")
PRESSURE = Pressure(partition=0, level="high", depth=9, bound=10)
LIMITS = ("rate_limit", INSTANCE, "r", None, "send", "normal")
RECEIPT = Receipt(
    envelope_id="e",
    instance_id="bot",
    external_room_id="r",
    disposition=Disposition.DELIVERED,
)
VERDICT = Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.PLATFORM_ERROR, raw="busy")


class Word(str):
    __slots__ = ()


class Whole(int):
    pass


class Single(float):
    pass


class Adapter:
    GATEWAY_CONTRACT = 1

    @hookimpl
    def settings_type(self):
        return dict

    @hookimpl
    async def send(self):
        return Answer(message_id="1")


def adapter(**hooks):
    """An adapter with these hooks, marked, beside the least."""
    return type("Post", (Adapter,), {name: hookimpl(hook) for name, hook in hooks.items()})()


def policy(name="Policy", **hooks):
    return type(name, (), {key: hookimpl(hook) for key, hook in hooks.items()})()


def bound(*policies, **hooks):
    return bind((*policies, ("post", adapter(**hooks))), Filter(allow=("nobody",)))["post"]


def answers(value):
    return lambda self: value  # noqa: ARG005 - a method


def raises(error):
    def hook(self):
        raise error

    return hook


def broken(call, *args):
    """The error that a call of a hook ends with."""
    with pytest.raises(HookContractError) as caught:
        call(*args)
    return caught.value


# -- what repeats something


async def test_what_repeats_an_attempt_or_probes_says_so_to_those_below():
    """A network's connection may be the reason why the one before failed."""
    seen = {}

    async def send(self, attempt):
        seen[attempt.number] = repeated.get()
        return Answer(message_id="1")

    async def probe(self):
        seen["probe"] = repeated.get()

    async def credentials(self):
        seen["credentials"] = repeated.get()

    hooks = bound(send=send, probe=probe, credentials=credentials)
    await hooks.perform(INSTANCE, None, ATTEMPT)
    await hooks.perform(INSTANCE, None, attrs.evolve(ATTEMPT, number=2))
    await hooks.probe(INSTANCE, None)
    await hooks.credentials(INSTANCE, None)
    assert {1: False, 2: True, "probe": True, "credentials": True} == seen
    assert not repeated.get()


# -- who answers


def test_the_first_that_does_not_decline_answers():
    asked = []
    parts = [Part(payload={"text": "mine"}, span=(0, 5), digest="d")]

    def chunks(name, value):
        def chunk(self):
            asked.append(name)
            return value

        return chunk

    hooks = bound(
        policy(chunk=chunks("declines", None)),
        policy(chunk=chunks("answers", parts)),
        policy(chunk=chunks("never asked", [])),
        chunk=chunks("adapter", []),
    )
    assert tuple(parts) == hooks.chunk(INSTANCE, SEND, "as_asked")
    assert ["declines", "answers"] == asked


def test_limits_of_policies_hold_beside_the_adapter_s_and_take_the_place_of_one_by_its_name():
    hooks = bound(
        policy(rate_limit=answers(None)),
        policy(rate_limit=answers([Limit("tenant", 5), Limit("bot", 10)])),
        policy(rate_limit=answers([Limit("tenant", 6)])),
        rate_limit=answers([Limit("room", of="room"), Limit("bot", 30)]),
    )
    found = hooks.rate_limit(INSTANCE, "r", None, "send", "normal")
    assert (Limit("tenant", 5), Limit("bot", 10), Limit("room", of="room")) == found


def test_an_impl_gets_the_arguments_that_it_lists():
    def rate_limit(self, operation, room):
        return [Limit(f"{operation} {room}")]

    hooks = bound(rate_limit=rate_limit)
    assert (Limit("send r"),) == hooks.rate_limit(INSTANCE, "r", None, "send", "normal")


def test_limits_may_differ_with_the_class_where_somebody_asks_for_it():
    def by_class(self, priority):
        return [Limit(priority)] if priority == "bulk" else None

    hooks = bound(policy(rate_limit=by_class), rate_limit=answers([Limit("own")]))
    assert hooks.by_class
    both = (Limit("bulk"), Limit("own"))
    assert both == hooks.rate_limit(INSTANCE, "r", None, "send", "bulk")
    assert (Limit("own"),) == hooks.rate_limit(INSTANCE, "r", None, "send", "normal")
    assert not bound(rate_limit=answers([Limit("own")])).by_class


def test_core_answers_where_nobody_else_does():
    hooks = bound(policy(chunk=answers(None), rate_limit=answers(None)))
    (part,) = hooks.chunk(INSTANCE, SEND, "as_asked")
    assert ({"text": "hello"}, (0, 5)) == (part.payload, part.span)
    assert () == hooks.rate_limit(INSTANCE, "r", None, "send", "normal")
    assert hooks.address(INSTANCE, {}) is None
    assert hooks.open_session(INSTANCE) is None
    assert [] == hooks.validate(INSTANCE, SEND)
    assert (None, None) == hooks.admit(SEND, PRESSURE)


def test_without_a_hook_for_limits_nobody_is_asked():
    assert () == bound().rate_limit(INSTANCE, "r", None, "send", "normal")


def test_a_problem_of_any_impl_counts():
    hooks = bound(
        policy(validate=answers([Problem("text", "too rude")])),
        policy(validate=answers(None)),
        validate=answers((Problem("room", "unknown"),)),
    )
    found = hooks.validate(INSTANCE, SEND)
    assert ["text: too rude", "room: unknown"] == [str(problem) for problem in found]


@pytest.mark.parametrize("value", ["typing", b"typing", None, 5, ["typing", 5]], ids=repr)
def test_one_text_is_no_set_of_texts(value):
    """A method whose name is a piece of the text would be in it."""
    with pytest.raises(ValueError, match="'repeat_safe_calls' must be a set of texts, not "):
        Traits(repeat_safe_calls=value)
    with pytest.raises(ValueError, match="'extra' must be a set of texts, not "):
        Streaming(how="append", extra=value)


def test_the_traits_are_asked_once():
    hooks = bound(traits=answers(Traits(edit=False, delete=False, independent_threads=True)))
    assert hooks.traits.independent_threads


def test_an_address_is_read_out_of_an_event():
    def address(self, event):
        return Address(external_room_id=event["chat"])

    assert Address(external_room_id="r") == bound(address=address).address(INSTANCE, {"chat": "r"})


def test_a_session_is_given_unopened():
    opened = []

    @asynccontextmanager
    async def open_session(self, instance):
        opened.append(instance)
        yield "session"

    assert bound(open_session=open_session).open_session(INSTANCE) is not None
    assert [] == opened


# -- wrong answers


@pytest.mark.parametrize(
    ("hook", "answer", "call", "text"),
    [
        ("chunk", 5, ("chunk", INSTANCE, SEND, "as_asked"), "int, expected Sequence"),
        ("chunk", "text", ("chunk", INSTANCE, SEND, "as_asked"), "str, expected Sequence"),
        ("chunk", ["text"], ("chunk", INSTANCE, SEND, "as_asked"), "str, expected Part"),
        (
            "rate_limit",
            5,
            LIMITS,
            "int, expected Sequence",
        ),
        (
            "rate_limit",
            [5],
            LIMITS,
            "int, expected Limit",
        ),
        ("validate", ["bad"], ("validate", INSTANCE, SEND), "str, expected Problem"),
        ("validate", "bad", ("validate", INSTANCE, SEND), "str, expected Problem"),
        ("validate", 5, ("validate", INSTANCE, SEND), "int, expected Sequence"),
        ("address", "r", ("address", INSTANCE, {}), "str, expected Address or None"),
        ("open_session", "s", ("open_session", INSTANCE), "str, expected Abstract"),
    ],
)
def test_a_wrong_answer_names_hook_and_plugin(hook, answer, call, text):
    hooks = bound(**{hook: answers(answer)})
    error = broken(getattr(hooks, call[0]), *call[1:])
    assert (hook, "Post") == (error.hook, error.plugin)
    assert error.text.startswith(f"answered with {text}")
    assert {("Post", hook): 1} == hooks.failures


def test_a_wrong_answer_names_all_that_may_have_given_it():
    hooks = bound(policy("Mine", chunk=answers(5)), chunk=answers(None))
    assert "Mine or Post" == broken(hooks.chunk, INSTANCE, SEND, "as_asked").plugin


@pytest.mark.parametrize("hook", ["traits", "settings_type"])
def test_a_wrong_answer_at_binding_keeps_the_channel_from_being_bound(hook):
    with pytest.raises(HookContractError, match="answered with int"):
        bound(**{hook: answers(5)})


@pytest.mark.parametrize(
    ("operation", "method"), [("send", None), ("edit", None), ("delete", None), ("call:x", "x")]
)
async def test_an_attempt_is_made_by_the_hook_of_its_operation(operation, method):
    async def hook(self, attempt):
        return Answer(message_id=attempt.operation)

    hooks = bound(**dict.fromkeys(("send", "edit", "delete", "call"), hook))
    attempt = Attempt(
        operation=operation, envelope_id="e", instance_id="bot", room="r", method=method
    )
    assert operation == (await hooks.perform(INSTANCE, None, attempt)).message_id


async def test_an_attempt_that_gives_no_answer_breaks_the_contract():
    async def send(self):
        return "1"

    hooks = bound(send=send)
    with pytest.raises(HookContractError) as caught:
        await hooks.perform(INSTANCE, None, ATTEMPT)
    assert "Post: hook send: answered with str, expected Answer" == str(caught.value)


async def test_what_an_attempt_raises_is_raised():
    async def send(self):
        raise KeyError("boom")

    with pytest.raises(KeyError):
        await bound(send=send).perform(INSTANCE, None, ATTEMPT)


@pytest.mark.parametrize("message_id", [5, b"5", ["5"], True], ids=ascii)
async def test_an_id_that_is_no_text_breaks_the_contract(message_id):
    """Telegram's are numbers: an adapter that forgets to make texts of them hears of it at once."""

    async def send(self):
        return Answer(message_id=message_id)

    with pytest.raises(HookContractError, match="expected Answer whose message_id is a text"):
        await bound(send=send).perform(INSTANCE, None, ATTEMPT)


@pytest.mark.parametrize("extra", [["a"], "a", {"a": {1}}, {1: "a"}], ids=ascii)
async def test_fields_that_no_outbox_could_store_break_the_contract(extra):
    with pytest.raises(HookContractError, match="expected Answer whose extra is "):
        await _performing(Answer(extra=extra)).perform(INSTANCE, None, ATTEMPT)


def _performing(answer, **known):
    async def hook(self):
        return answer

    return bound(**dict.fromkeys(("send", "call"), hook), **known)


@pytest.mark.parametrize(
    ("message_id", "fault"),
    [
        ("", "is empty"),
        ("a\x00b", "has a lone surrogate or NUL"),
        ("\ud800", "has a lone surrogate or NUL"),
        ("a\nb", "has a control character"),
        ("7" * 500_000, "has 500000 characters, at most 1024"),
        ("é" * 1025, "has 1025 characters, at most 1024"),
    ],
    ids=["empty", "nul", "surrogate", "control", "long", "long in other letters"],
)
async def test_an_id_that_a_platform_garbled_is_unknown_and_that_is_logged(message_id, fault):
    """The platform said yes: the message is there, whatever it is called."""
    hooks = _performing(Answer(message_id=message_id))
    with capture_logs() as lines:
        assert Answer() == await hooks.perform(INSTANCE, None, ATTEMPT)
    assert {("Post", "send"): 1} == hooks.failures
    (line,) = lines
    assert ("gateway.hook_failed", "Post", "send") == (line["event"], line["plugin"], line["hook"])
    assert f"answered with an unusable value: message_id {fault}" == line["error"]


HUGE = 10**6000
REPORT = BucketReport(bucket="b", limit=5, remaining=4, reset_after=1.0)


@pytest.mark.parametrize("files", [(5,), ["a"], "a", (None,)], ids=repr)
async def test_an_answer_names_files_by_texts(files):
    hooks = _performing(Answer(message_id="1", files=files))
    with pytest.raises(HookContractError, match="expected Answer whose files is a tuple of texts"):
        await hooks.perform(INSTANCE, None, attempt_with(1))


@pytest.mark.parametrize(
    ("names", "count", "fault"),
    [
        (("a", "b", "c"), 1, "files has 3 ids for 1 files"),
        (("a",), 2, "files has 1 ids for 2 files"),
        (("a",), 0, "files has 1 ids for 0 files"),
        (("a", ""), 2, "files is empty"),
        (("\ud800",), 1, "files has a lone surrogate or NUL"),
    ],
)
async def test_names_of_files_that_cannot_be_used_are_left_out_and_that_is_logged(
    names, count, fault
):
    hooks = _performing(Answer(message_id="1", files=names))
    with capture_logs() as lines:
        assert Answer(message_id="1") == await hooks.perform(INSTANCE, None, attempt_with(count))
    (line,) = lines
    assert f"answered with an unusable value: {fault}" == line["error"]


def attempt_with(count):
    """An attempt with so many files."""
    return attrs.evolve(ATTEMPT, files=(Upload(file=File("x"), open=None),) * count)


async def test_an_answer_is_of_plain_values():
    report = BucketReport(
        bucket=Word("b"), limit=Whole(5), reset_after=Single(1.5), provisional=Word("p")
    )
    for given in (
        Answer(message_id=Word("e7")),
        Answer(message_id="1", more=(Word("a"),), files=(Word("f"),)),
        Answer(message_id=Word("1"), files=("f",), buckets=(report,)),
        Answer(result={Word("a"): [Word("b"), Whole(1)]}),
    ):
        found = await _performing(given).perform(INSTANCE, None, attempt_with(1))
        assert given == found
        assert set(kinds(found)) <= PLAIN | {Answer, BucketReport}


def test_a_verdict_is_of_plain_values():
    report = BucketReport(bucket=Word("b"), remaining=Whole(0))
    verdict = _refusal(
        moved_to=Word("r"),
        raw=Word("no"),
        retry_after=Single(2.0),
        dispatched=Word("unknown"),
        transform=Word("plain"),
        buckets=(report,),
    )
    found = bound(classify_error=answers(verdict)).classify_error(INSTANCE, ATTEMPT, KeyError("x"))
    assert verdict == found
    assert set(kinds(found)) <= PLAIN | {Verdict, BucketReport, ErrorClass, Reason, Scope}


PLAIN = {str, int, float, bool, type(None), dict, list, tuple}


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (BucketReport(bucket="\ud800"), "bucket has a lone surrogate or NUL"),
        (BucketReport(bucket=7), "bucket must be a text, not int"),
        (BucketReport(bucket="b", provisional="\x00"), "provisional has a lone surrogate or NUL"),
        (BucketReport(bucket="b", limit=HUGE), "limit of a bucket must be a whole number"),
        (BucketReport(bucket="b", limit="5"), "limit of a bucket must be a whole number"),
        (BucketReport(bucket="b", remaining=1.5), "remaining of a bucket must be a whole number"),
        (BucketReport(bucket="b", reset_after=HUGE), "reset_after of a bucket must be a number"),
        (BucketReport(bucket="b", reset_after="1"), "reset_after of a bucket must be a number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_report_of_a_bucket_that_is_garbled_is_left_out(bad, fault):
    answer = Answer(message_id="1", buckets=(bad, REPORT))
    hooks = _performing(
        answer, classify_error=answers(_refusal(moved_to="r", buckets=(bad, REPORT)))
    )
    with capture_logs() as lines:
        taken = await hooks.perform(INSTANCE, None, ATTEMPT)
        verdict = hooks.classify_error(INSTANCE, ATTEMPT, KeyError("x"))
    assert Answer(message_id="1", buckets=(REPORT,)) == taken
    assert (REPORT,) == verdict.buckets
    assert [True, True] == [fault in line["error"] for line in lines]


def _refusal(**fields):
    return Verdict(error_class="retryable", reason="room_moved", **fields)


@pytest.mark.parametrize("buckets", [(), (REPORT,)], ids=["alone", "with a report"])
def test_a_room_that_moved_nowhere_is_a_mistake_that_is_logged(buckets):
    """The envelope ends `rejected`, and nobody else would say why."""
    refusal = _refusal(buckets=buckets)
    with capture_logs() as lines:
        found = bound(classify_error=answers(refusal)).classify_error(INSTANCE, ATTEMPT, OSError())
    assert (None, buckets) == (found.moved_to, found.buckets)
    (line,) = lines
    assert ("gateway.hook_failed", "classify_error") == (line["event"], line["hook"])
    fault = "moved_to is missing, which the reason room_moved needs"
    assert f"answered with an unusable value: {fault}" == line["error"]


@pytest.mark.parametrize("room", ["\ud800", "a\x00", "", "7" * 500_000], ids=["s", "n", "e", "l"])
def test_a_new_room_that_no_attempt_could_name_is_none(room):
    hooks = bound(classify_error=answers(_refusal(moved_to=room)))
    verdict = hooks.classify_error(INSTANCE, ATTEMPT, KeyError("x"))
    assert (None, "room_moved") == (verdict.moved_to, verdict.reason)
    assert {("Post", "classify_error"): 1} == hooks.failures


def test_a_wait_beyond_all_numbers_is_one_that_a_file_can_have():
    hooks = bound(classify_error=answers(_refusal(moved_to="r", retry_after=HUGE)))
    assert 1e9 == hooks.classify_error(INSTANCE, ATTEMPT, KeyError("x")).retry_after


# -- results of calls


def _cycle():
    cycle = {}
    cycle["again"] = [cycle, cycle]
    return cycle


def _nested(depth):
    value = "x"
    for _ in range(depth):
        value = [value]
    return value


class _Mean(UserDict):
    def items(self):
        raise KeyError("mean")


ODD = {
    "a key of None": ({None: 1}, "a key of the class NoneType"),
    "a key that is a number": ({"a": {1: 2}}, "a key of the class int"),
    "a key that cannot be sent": ({"\ud800": 1}, "a text in it has a lone surrogate or NUL"),
    "a text that cannot be sent": (["\x00"], "a text in it has a lone surrogate or NUL"),
    "an object": ({"a": object()}, "a value of the class object"),
    "octets": (b"x", "a value of the class bytes"),
    "a set": ({"a": {1}}, "a value of the class set"),
    "a cycle": (_cycle(), "nested deeper than 32"),
    "too deep": (_nested(450), "nested deeper than 32"),
    "many": ([[0] * 1000] * 1000, "more than 100000 values"),
    "long": (["x" * 1_000_000] * 5, "more than 4194304 characters"),
    "a huge number": ({"a": HUGE}, "a number in it has more than 64 bits"),
    "no number": ([math.nan], "a number in it is not finite"),
    "a table that raises": (_Mean(), "it cannot be read (KeyError)"),
}


@pytest.mark.parametrize("name", ODD)
async def test_a_result_that_no_outbox_could_store_is_left_out_and_that_is_logged(name):
    """The platform has carried out the call, so a `crashed` would invite a second one."""
    result, fault = ODD[name]
    call = Attempt(operation="call:x", envelope_id="e", instance_id="bot", room="r", method="x")
    hooks = _performing(Answer(result=result, message_id="7"))
    with capture_logs() as lines:
        assert Answer(message_id="7") == await hooks.perform(INSTANCE, None, call)
    (line,) = lines
    assert "answered with an unusable value: result is not plain JSON: " in line["error"]
    assert fault in line["error"]


async def test_a_result_is_a_copy_in_pythons_own_kinds():
    """What an adapter does with its own afterwards changes nothing that was stored."""
    inner = {"n": 1, "f": 1.5, "t": True, "none": None}
    given = UserDict({Word("a"): [inner, (Word("b"),)]})
    answer = await _performing(Answer(result=given)).perform(INSTANCE, None, ATTEMPT)
    given["later"] = inner["later"] = object()
    assert {"a": [{"n": 1, "f": 1.5, "t": True, "none": None}, ["b"]]} == answer.result
    (key,) = answer.result
    assert (str, str, list) == (type(key), type(answer.result["a"][1][0]), type(answer.result["a"]))


# -- plans, limits, votes


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (Part(payload={"a": object()}, digest="d"), "payload is plain JSON: it holds a value"),
        (Part(payload={"a": b"x"}, digest="d"), "payload is plain JSON: it holds a value"),
        (Part(payload=[1], digest="d"), "payload is a table"),
        (Part(payload={None: 1}, digest="d"), "payload is plain JSON: it has a key"),
        (Part(payload={"a": "\ud800"}, digest="d"), "payload is plain JSON: a text in it"),
        (Part(payload=_cycle(), digest="d"), "payload is plain JSON: it is nested"),
        (Part(payload=_Mean(), digest="d"), "payload is plain JSON: it cannot be read (KeyError)"),
        (Part(payload={}, span=(0, HUGE), digest="d"), "span is two places"),
        (Part(payload={}, span=(2, 1), digest="d"), "span is two places"),
        (Part(payload={}, span=[0, 1], digest="d"), "span is two places"),
        (Part(payload={}, digest=5), "digest is a text"),
        (Part(payload={}, digest="\ud800"), "digest is a text"),
        (Part(payload={}, digest="d", degraded=["a table"]), "degraded is a tuple of texts"),
        (Part(payload={}, digest="d", fixed=1), "fixed is true or false"),
        (Part(payload={}, digest="d", degraded=("\ud800",)), "degraded is a tuple of texts"),
        (Part(payload={}, digest="d", files=(False,)), "files is a tuple of places"),
        (Part(payload={}, digest="d", files=(0.0,)), "files is a tuple of places"),
        (Part(payload={}, digest="d", files=(-1,)), "files is a tuple of places"),
        (Part(payload={}, digest="d", files=[0]), "files is a tuple of places"),
        (Part(payload={}, digest="d", captioned=1), "captioned is the place of one of its files"),
        (Part(payload={}, digest="d", captioned="0"), "captioned is the place of one of its files"),
        (Part(payload={}, digest="d", cost="a"), "cost is a number of tokens"),
        (Part(payload={}, digest="d", cost=-1), "cost is a number of tokens"),
        (Part(payload={}, digest="d", cost=1.5), "cost is a number of tokens"),
        (Part(payload={}, digest="d", cost=HUGE), "cost is a number of tokens"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_part_that_no_outbox_could_store_breaks_the_contract(part, fault):
    error = broken(bound(chunk=answers([part])).chunk, INSTANCE, SEND, "as_asked")
    assert f"answered with Part, expected Part whose {fault}" in error.text


@pytest.mark.parametrize(
    "part",
    [
        Part(payload={Word("a"): [Word("b"), Whole(1), Single(1.5)]}, span=(Whole(0), Whole(5))),
        Part(payload={"text": Word("x")}),
        Part(payload=UserDict({"text": "x"}), digest="d"),
        Part(payload={"text": "x"}, digest=Word("d")),
        Part(payload={"text": "x"}, degraded=(Word("links"),)),
        Part(payload={"text": "x"}, files=(Whole(0),), cost=Whole(2)),
    ],
)
def test_a_part_is_of_plain_values(part):
    envelope = attrs.evolve(SEND, files=(File("x"),) * len(part.files))
    (found,) = bound(chunk=answers([part])).chunk(INSTANCE, envelope, "as_asked")
    assert part == attrs.evolve(found, payload=part.payload)
    assert part.payload == found.payload
    assert set(kinds(found)) <= {Part, str, int, float, bool, dict, list, tuple}


def test_a_part_may_hold_whatever_plain_json_holds():
    part = Part(payload={"text": "é", "n": 1, "flag": True, "rows": [{"a": None}]}, span=(0, 5))
    assert (part,) == bound(chunk=answers([part])).chunk(INSTANCE, SEND, "as_asked")


@pytest.mark.parametrize("bucket", [5, "", "\ud800", "b" * 2000], ids=ascii)
def test_a_bucket_has_a_name(bucket):
    hooks = bound(rate_limit=answers([Limit(bucket)]))
    assert "expected Limit whose bucket is a name" in broken(hooks.rate_limit, *LIMITS[1:]).text


def test_a_bucket_is_limited_once_in_an_answer():
    """Nobody would notice which of the two limits holds."""
    hooks = bound(rate_limit=answers([Limit("b", count=1), Limit("c"), Limit("b", count=9)]))
    assert "expected Limits of different buckets" in broken(hooks.rate_limit, *LIMITS[1:]).text


@pytest.mark.parametrize(
    ("plan", "count", "fault"),
    [
        ([Part(payload={}, files=(7,))], 1, "1 files in one part, not `Part.files` [7]"),
        ([Part(payload={}, files=(0,))], 2, "2 files in one part, not `Part.files` [0]"),
        ([Part(payload={}, files=(0,))] * 2, 1, "1 files in one part, not `Part.files` [0, 0]"),
        ([Part(payload={}, files=(0,))], 0, "0 files in one part, not `Part.files` [0]"),
        ([Part(payload={}, span=(3, 99))], 0, "span is two places in its text of 5 characters"),
        (
            [Part(payload={}, span=span) for span in ((3, 5), (2, 2), (0, 2), (1, 4))],
            0,
            "spans do not overlap: part 2 has (0, 2) and part 3 has (1, 4)",
        ),
    ],
)
def test_a_plan_that_does_not_fit_its_envelope_breaks_the_contract(plan, count, fault):
    envelope = attrs.evolve(SEND, files=(File("x"),) * count)
    error = broken(bound(chunk=answers(plan)).chunk, INSTANCE, envelope, "as_asked")
    assert fault in error.text


def test_spans_that_touch_or_are_empty_overlap_nothing():
    plan = tuple(Part(payload={}, span=span) for span in ((0, 2), (1, 1), (2, 5), (0, 0), (5, 5)))
    assert plan == bound(chunk=answers(list(plan))).chunk(INSTANCE, SEND, "as_asked")


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"external_room_id": 5}, "external_room_id is a text"),
        ({"external_room_id": None}, "external_room_id is a text"),
        ({"key": 5}, "key is a text"),
        ({"thread_id": 5}, "thread_id is a text"),
        ({"pressed": 5}, "pressed is a text"),
        ({"direct": 1}, "direct is true or false"),
        ({"interaction": "token"}, "interaction is an Interaction"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_address_that_no_answer_could_use_breaks_the_contract(fields, fault):
    address = Address(**{"external_room_id": "r", **fields})
    error = broken(bound(address=answers(address)).address, INSTANCE, {})
    assert f"answered with Address, expected Address whose {fault}" == error.text
    assert ("address", "Post") == (error.hook, error.plugin)


def test_an_address_is_of_plain_texts():
    address = Address(external_room_id=Word("r"), key=Word("k"), thread_id=Word("t"))
    found = bound(address=answers(address)).address(INSTANCE, {})
    assert address == found
    assert set(kinds(found)) <= PLAIN | {Address}


async def test_an_identity_is_two_texts():
    hooks = bound(probe=_constant(Identity(id=5, name="bot")))
    with pytest.raises(HookContractError, match="expected Identity of two texts"):
        await hooks.probe(INSTANCE, None)


class _Hostile:
    """Raises whatever is asked of it."""

    __hash__ = None

    def __eq__(self, other):
        raise KeyError("equal")

    def __repr__(self):
        raise KeyError("shown")


def test_a_vote_that_raises_whatever_is_asked_of_it_counts_as_none():
    hooks = bound(policy("Mine", admit=answers(_Hostile())), policy(admit=answers("bulk")))
    assert "bulk" == hooks.admit(SEND, PRESSURE).vote
    assert {("Mine", "admit"): 1} == hooks.failures


@pytest.mark.parametrize("message_id", [None, "5", "1700000000.000100", "сообщение"])
async def test_an_id_is_a_text_or_none(message_id):
    async def send(self):
        return Answer(message_id=message_id)

    assert message_id == (await bound(send=send).perform(INSTANCE, None, ATTEMPT)).message_id


@pytest.mark.parametrize("answer", [Identity(id="1", name="bot"), None])
async def test_a_probe_says_who_it_is_or_nothing(answer):
    assert answer == await bound(probe=_constant(answer)).probe(INSTANCE, None)


def _constant(answer):
    async def hook(self):
        return answer

    return hook


async def test_a_probe_that_says_something_else_breaks_the_contract():
    with pytest.raises(HookContractError, match="answered with int, expected Identity"):
        await bound(probe=_constant(5)).probe(INSTANCE, None)


async def test_credentials_are_a_secret_or_nothing():
    assert await bound().credentials(INSTANCE, None) is None
    assert await bound(credentials=_constant(None)).credentials(INSTANCE, None) is None
    secret = await bound(credentials=_constant(Secret("x"))).credentials(INSTANCE, None)
    assert Secret("x") == secret
    with pytest.raises(HookContractError, match="answered with str, expected Secret"):
        await bound(credentials=_constant("x")).credentials(INSTANCE, None)


# -- exceptions


class Stray(BaseException):
    pass


class Mute(ValueError):
    def __str__(self):
        raise KeyError("words")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("boom"), "raised ValueError: boom"),
        (Stray("boom"), "raised RuntimeError: Stray: boom"),
        (GeneratorExit(), "raised RuntimeError: GeneratorExit: "),
        (ExceptionGroup("two", [ValueError("a"), KeyError("b")]), "raised ExceptionGroup: two"),
        (ExceptionGroup("one", [ExceptionGroup("", [ValueError("a")])]), "raised ValueError: a"),
        (BaseExceptionGroup("one", [Stray("a")]), "raised RuntimeError: Stray: a"),
        (Mute(), "raised Mute"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_of_a_sync_hook_stops_here(error, text):
    hooks = bound(chunk=raises(error))
    caught = broken(hooks.chunk, INSTANCE, SEND, "as_asked")
    assert ("chunk", "Post") == (caught.hook, caught.plugin)
    assert caught.text.startswith(text)
    assert {("Post", "chunk"): 1} == hooks.failures


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_belongs_to_the_program_passes(kind):
    with pytest.raises(kind):
        bound(chunk=raises(kind())).chunk(INSTANCE, SEND, "as_asked")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_belongs_to_the_program_passes_out_of_groups(kind):
    group = BaseExceptionGroup("outer", [BaseExceptionGroup("in", [kind()]), ValueError("x")])
    with pytest.raises(BaseExceptionGroup) as caught:
        bound(chunk=raises(group)).chunk(INSTANCE, SEND, "as_asked")
    assert caught.group_contains(kind, depth=2)
    assert not caught.group_contains(ValueError)


async def test_cancelled_inside_a_group_reaches_its_scope():
    """A sync hook that raises `Cancelled` in a group cannot keep its caller from being cancelled.

    The cancellation is a real one, caught in a hook's own code and raised in a group.
    """
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            group = BaseExceptionGroup("both", [cancelled, ValueError("x")])
        hooks = bound(chunk=raises(group))
        hooks.chunk(INSTANCE, SEND, "as_asked")
    assert scope.cancelled_caught


def test_the_plugin_in_whose_code_it_broke_is_named(tmp_path, monkeypatch):
    (tmp_path / "clumsy_policy.py").write_text(
        "from gateway_core.authors import hookimpl\n@hookimpl\ndef chunk():\n    return 1 / 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import clumsy_policy  # noqa: PLC0415 - written by this test

    error = broken(bound(clumsy_policy).chunk, INSTANCE, SEND, "as_asked")
    assert "clumsy_policy: hook chunk: raised ZeroDivisionError: division by zero" == str(error)


def test_failures_are_counted():
    hooks = bound(chunk=raises(ValueError("boom")))
    for _ in range(3):
        broken(hooks.chunk, INSTANCE, SEND, "as_asked")
    assert {("Post", "chunk"): 3} == hooks.failures


# -- verdicts


def test_the_adapter_says_what_an_error_means():
    hooks = bound(classify_error=answers(VERDICT))
    assert VERDICT is hooks.classify_error(INSTANCE, ATTEMPT, ValueError())


def test_a_verdict_without_words_has_the_error_s_own():
    hooks = bound(classify_error=answers(attrs.evolve(VERDICT, raw="")))
    error = ValueError("no, says s3cret-token")
    instance = attrs.evolve(INSTANCE, settings=[Secret("s3cret-token")])
    said = hooks.classify_error(instance, ATTEMPT, error)
    assert said.raw.startswith("ValueError: no, says ")
    assert "s3cret-token" not in said.raw
    assert attrs.evolve(said, raw="busy") == VERDICT


def test_a_verdict_without_words_that_is_not_core_s_is_no_failure():
    mine = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.UNCLASSIFIED)
    hooks, error = bound(classify_error=answers(mine)), ValueError("a new one")
    hooks.failed(INSTANCE, ATTEMPT, error, hooks.classify_error(INSTANCE, ATTEMPT, error))
    assert {} == hooks.failures


def test_the_words_of_several_errors_are_all_in_core_s_verdict():
    several = ExceptionGroup("two", [OSError("broken"), ExceptionGroup("one", [ValueError("x")])])
    said = bound().classify_error(INSTANCE, ATTEMPT, several)
    assert said.raw == (
        "ExceptionGroup: two (2 sub-exceptions): OSError: broken; ExceptionGroup: one"
        " (1 sub-exception)"
    )
    many = ExceptionGroup("many", [OSError(f"{number}") for number in range(10_000)])
    assert bound().classify_error(INSTANCE, ATTEMPT, many).raw.endswith("OSError: 9; …")


def test_a_policy_s_verdict_wins():
    mine = Verdict(error_class=ErrorClass.FATAL, reason=Reason.FORBIDDEN, raw="barred")
    hooks = bound(policy(classify_error=answers(mine)), classify_error=answers(VERDICT))
    assert mine is hooks.classify_error(INSTANCE, ATTEMPT, ValueError())


@pytest.mark.parametrize(
    ("error", "error_class", "reason", "dispatched"),
    [
        (
            TransportError("t", dispatched="no"),
            ErrorClass.RETRYABLE,
            Reason.UNREACHABLE,
            "no",
        ),
        (
            TransportError("t", dispatched="unknown"),
            ErrorClass.RETRYABLE,
            Reason.OUTCOME_UNKNOWN,
            "unknown",
        ),
        (ValueError("v"), ErrorClass.NON_RETRYABLE, Reason.UNCLASSIFIED, "unknown"),
    ],
)
def test_core_s_own_verdict(error, error_class, reason, dispatched):
    said = bound(classify_error=answers(None)).classify_error(INSTANCE, ATTEMPT, error)
    assert (error_class, reason, dispatched) == (said.error_class, said.reason, said.dispatched)


def test_a_verdict_hook_that_raises_leaves_core_s_own_and_says_so():
    hooks = bound(classify_error=raises(KeyError("boom")))
    said = hooks.classify_error(INSTANCE, ATTEMPT, TransportError("t", dispatched="unknown"))
    assert (ErrorClass.RETRYABLE, Reason.HOOK_ERROR, "unknown") == (
        said.error_class,
        said.reason,
        said.dispatched,
    )
    assert {("Post", "classify_error"): 1} == hooks.failures


def test_a_verdict_hook_that_answers_nonsense_breaks_the_contract():
    hooks = bound(classify_error=answers("retry"))
    said = hooks.classify_error(INSTANCE, ATTEMPT, ValueError())
    assert (Reason.HOOK_CONTRACT, "unknown") == (said.reason, said.dispatched)


def test_a_broken_contract_is_not_asked_about():
    hooks = bound(classify_error=raises(AssertionError("asked")))
    error = HookContractError(hook="send", plugin="Post", text="answered with str")
    said = hooks.classify_error(INSTANCE, ATTEMPT, error)
    assert (Reason.HOOK_CONTRACT, str(error)) == (said.reason, said.raw)
    assert {} == hooks.failures


# -- votes


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        ((None, None), None),
        (("bulk", "urgent"), "bulk"),
        ((None, "urgent"), "urgent"),
        (("urgent", "shed"), "shed"),
        (("shed", "urgent"), "shed"),
    ],
)
def test_any_shed_wins_else_the_first_class_named(votes, outcome):
    hooks = bound(*[policy(admit=answers(vote)) for vote in votes])
    assert outcome == hooks.admit(SEND, PRESSURE).vote


def test_the_latest_delay_counts_beside_a_class():
    votes = (Delay(2e9 + 5), "bulk", Delay(2e9 + 9), None, Delay(2e9 + 7))
    hooks = bound(*[policy(admit=answers(vote)) for vote in votes])
    assert ("bulk", 2e9 + 9) == hooks.admit(SEND, PRESSURE)


@pytest.mark.parametrize("vote", ["maybe", 5, ["shed"], True])
def test_a_vote_that_is_none_does_not_count_but_is_noted(vote):
    hooks = bound(policy("Odd", admit=answers(vote)), policy(admit=answers("bulk")))
    assert "bulk" == hooks.admit(SEND, PRESSURE).vote
    assert {("Odd", "admit"): 1} == hooks.failures


def test_a_vote_that_raises_silences_no_other():
    hooks = bound(policy("Odd", admit=raises(ValueError())), policy(admit=answers("shed")))
    assert "shed" == hooks.admit(SEND, PRESSURE).vote
    assert {("Odd", "admit"): 1} == hooks.failures


# -- observers


OBSERVED = {
    "after_attempt": (INSTANCE, ATTEMPT, AttemptReport(answer=Answer())),
    "after_disposition": (SEND, RECEIPT),
    "pressure_changed": (PRESSURE, "nominal", set()),
    "instance_suspended": (INSTANCE, VERDICT),
    "room_moved": (INSTANCE, "r", "s"),
}


@pytest.mark.parametrize("name", OBSERVED)
@pytest.mark.parametrize("error", [ValueError("x"), Stray("x")], ids=["Exception", "Base"])
def test_an_observer_that_raises_silences_no_other(name, error):
    told = []

    def observer(self):
        told.append(type(self).__name__)

    hooks = bound(
        policy("First", **{name: observer}),
        policy("Bad", **{name: raises(error)}),
        policy("Last", **{name: observer}),
    )
    getattr(hooks, name)(*OBSERVED[name])
    assert ["First", "Last"] == told
    assert {("Bad", name): 1} == hooks.failures


@pytest.mark.parametrize("name", OBSERVED)
def test_an_observer_cannot_keep_the_program_from_stopping(name):
    hooks = bound(policy(**{name: raises(KeyboardInterrupt())}))
    with pytest.raises(KeyboardInterrupt):
        getattr(hooks, name)(*OBSERVED[name])


def test_observers_get_what_they_list():
    seen = []

    def after_attempt(self, report, instance):
        seen.append((instance.id, report.answer.message_id))

    report = AttemptReport(answer=Answer(message_id="1"))
    bound(policy(after_attempt=after_attempt)).after_attempt(INSTANCE, ATTEMPT, report)
    assert [("bot", "1")] == seen


def test_an_observer_of_several_channels_is_told_of_pressure_once():
    told = []

    def pressure_changed(self, pressure, previous):
        told.append((pressure.level, previous))

    plugins = (
        policy(pressure_changed=pressure_changed),
        ("post", adapter()),
        ("mail", adapter()),
    )
    already = set()
    for hooks in bind(plugins, Filter(allow=("nobody",))).values():
        hooks.pressure_changed(PRESSURE, "nominal", already)
    assert [("high", "nominal")] == told


def test_a_wrapped_hook_is_asked_through_pluggy():
    class Wrapper:
        @hookimpl(wrapper=True)
        def rate_limit(self):
            limits = yield
            return [*limits, [Limit("more")]]

    hooks = bound(Wrapper(), rate_limit=answers([Limit("own")]))
    limits = hooks.rate_limit(INSTANCE, "r", None, "send", "normal")
    assert ["own", "more"] == [limit.bucket for limit in limits]


def test_a_plan_may_be_any_sequence():
    part = Part(payload={"text": "x"})
    assert (part,) == bound(chunk=answers([part])).chunk(INSTANCE, SEND, "as_asked")
    assert () == bound(chunk=answers(())).chunk(INSTANCE, SEND, "as_asked")


async def test_a_bucket_that_is_no_report_is_the_hooks_mistake(autojump_clock):
    async def call(self, attempt):
        return Answer(buckets=({"bucket": "x"},))

    hooks = bound(call=call)
    attempt = Attempt(
        operation="call:ping", envelope_id="1", instance_id="bot", room="r", method="ping"
    )
    with pytest.raises(HookContractError, match="call"):
        await hooks.perform(INSTANCE, None, attempt)
