"""Policies that change what is sent: footer, redirection, masking. Twice is the same as once."""

from __future__ import annotations

import attrs
import pytest

from gateway_contrib.policies import SECRETS, Footer, Masking, Redirection
from gateway_core import Button, File, HookContractError, Invalid, KeyRef, Secret
from gateway_core.testing import FakeChannel

PLACE = {"instance_id": "bot", "external_room_id": "r"}


def changed(policy, envelope):
    """What the policy makes of it, asked once and again."""
    answer = policy.rewrite(envelope) or envelope
    assert policy.rewrite(answer) in (None, answer)
    return answer


# -- footer


def test_a_footer_stands_below_messages_and_edits(sent, edited):
    policy = Footer("*by a robot*")
    for kind in (sent, edited):
        assert "hello\n\n*by a robot*" == changed(policy, kind(text="hello\n")).text


def test_a_call_has_none_nor_what_has_no_text(called, sent):
    assert Footer("x").rewrite(called()) is None
    assert Footer("x").rewrite(sent(text=" ")) is None


@pytest.mark.parametrize(
    ("format_", "text"),
    [("markdown", "hi\n\n**us**"), ("plain", "hi\n\nus"), ("native", "hi")],
)
def test_it_is_written_as_the_text_is(sent, format_, text):
    policy = Footer("**us**", plain="us")
    assert text == changed(policy, sent(text="hi", format=format_)).text


def test_where_no_plain_one_is_given_it_is_the_same(sent):
    assert "hi\n\nus" == changed(Footer("us"), sent(text="hi", format="plain")).text
    assert (
        "hi\n\n<b>us</b>"
        == changed(Footer("us", native="<b>us</b>"), sent(text="hi", format="native")).text
    )


@pytest.mark.parametrize("arguments", [{"text": " "}, {"text": 5}, {"text": "x", "plain": ""}])
def test_a_footer_that_is_no_text_is_refused(arguments):
    with pytest.raises(ValueError, match="must be a text"):
        Footer(**arguments)


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("so:\n\n```py\nx = 1", "so:\n\n```py\nx = 1\n```"),
        ("~~~~\nx", "~~~~\nx\n~~~~"),
        ("```\nx\n```", None),
        ("> ```\n> x", "> ```\n> x\n> ```"),
        ("a **word", None),
        ("an `x", None),
        ("1. one\n2", None),
    ],
)
def test_it_stands_below_code_whose_fence_is_open(sent, text, closed):
    assert f"{closed or text}\n\nus" == changed(Footer("us"), sent(text=text)).text


async def test_a_message_and_its_edit_have_it_once(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, Footer("us")) as gateway:
        receipt = await gateway.send("bot", "r", "one")
        await gateway.edit(receipt.ref, "two")
    assert ["two\n\nus"] == channel.texts("r")


# -- redirection

STAGING = Redirection({"bot": "staging"}, keep={"ops"}, labelled=True)


def test_all_goes_to_the_room_of_its_instance(sent, called):
    moved = changed(STAGING, sent(text="hi"))
    assert ("staging", "[for r]\n\nhi") == (moved.external_room_id, moved.text)
    assert "staging" == changed(STAGING, called()).external_room_id


def test_other_instances_and_rooms_that_are_kept_are_left_alone(sent):
    assert STAGING.rewrite(sent(text="hi", external_room_id="ops")) is None
    assert STAGING.rewrite(sent(text="hi", instance_id="other")) is None


def test_a_call_without_a_room_is_made_as_it_is(called):
    assert STAGING.rewrite(called(external_room_id="")) is None


@pytest.mark.parametrize("room", ["r", "ops", ""])
def test_a_call_that_names_a_room_is_refused_unless_its_method_is_allowed(called, room):
    call = called(external_room_id=room, arguments={"chat_id": "staging"})
    [problem] = STAGING.validate(call)
    assert "arguments.chat_id" == problem.place
    allowed = Redirection({"bot": "staging"}, calls={"pin"})
    assert not allowed.validate(call)
    assert not STAGING.validate(attrs.evolve(call, instance_id="other"))


def test_a_message_may_name_what_it_likes(sent):
    assert not STAGING.validate(sent(text="hi", extra={"user_id": 7}))


async def test_no_room_but_that_one_is_written_to(opened, autojump_clock):
    """A broadcast with one key to many rooms does not collide with itself."""
    channel = FakeChannel()
    policy = Redirection({"bot": "staging"})
    async with opened(channel, policy) as gateway:
        for room in "ab":
            await gateway.send("bot", room, f"to {room}", key="k")
        job = await gateway.broadcast("bot", list("abc"), "news", key="k")
        assert {"delivered": 3} == dict((await job.wait()).counts)
    assert {"staging"} == set(channel.rooms)
    assert 5 == len(channel.texts("staging"))


async def test_edits_have_the_label_too_whatever_names_the_message(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, Redirection({"bot": "staging"}, labelled=True)) as gateway:
        receipt = await gateway.send("bot", "r", "one", key="k")
        assert ["[for r]\n\none"] == channel.texts("staging")
        await gateway.edit(receipt.ref, "two")
        assert ["[for r]\n\ntwo"] == channel.texts("staging")
        edited = await gateway.edit(KeyRef(**PLACE, key="k"), "three")
        assert ["[for r]\n\nthree"] == channel.texts("staging")
        await gateway.edit(edited.ref, "four")
        assert ["[for r]\n\nfour"] == channel.texts("staging")
        await gateway.edit(receipt.ref, buttons=[Button("yes", "1")])
        assert ["[for r]\n\nfour"] == channel.texts("staging")


async def test_what_was_sent_to_that_room_itself_has_no_label(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, Redirection({"bot": "staging"}, labelled=True)) as gateway:
        receipt = await gateway.send("bot", "staging", "one")
        await gateway.edit(receipt.ref, "two")
    assert ["two"] == channel.texts("staging")


async def test_what_stands_elsewhere_is_not_edited(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel) as gateway:
        ref = (await gateway.send("bot", "r", "one")).ref
    async with opened(channel, Redirection({"bot": "staging"})) as gateway:
        with pytest.raises(Invalid, match="the message to change is in 'r'"):
            await gateway.edit(ref, "two")
    assert ["one"] == channel.texts("r")


@pytest.mark.parametrize("rooms", [["staging"], {"": "r"}, {"bot": 5}], ids=str)
def test_a_table_of_something_else_is_refused(rooms):
    with pytest.raises(ValueError, match="'rooms' must"):
        Redirection(rooms)


# -- masking


@pytest.mark.parametrize(
    "secret",
    [
        "123456789:" + "A" * 35,
        "xoxb-" + "1234567890-abc",
        "xapp-" + "1-A0-123-abcdef",
        "M" + "a" * 23 + ".abcdef." + "b" * 27,
        "https://hooks.slack.com/" + "services/T0/B0/abc",
        "https://discord.com/api/" + "webhooks/1/abc",
        "ghp_" + "a" * 36,
        "AKIA" + "A" * 16,
        "eyJhbGciOiJI" + ".eyJzdWIiOiIx" + ".c2ln",
        "-----BEGIN RSA " + "PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN " + "PRIVATE KEY-----\nabc",
    ],
    ids=lambda secret: secret[:11],
)
def test_tokens_that_people_paste_are_hidden(sent, secret):
    text = changed(Masking(), sent(text=f"see {secret}")).text
    assert "see [hidden]" == text


@pytest.mark.parametrize(
    "written",
    [
        "xoxb\\-1234567890\\-abcdef",
        "gh" + "p\\_" + "a" * 36,
        "xoxb&#45;1234567890-abcdef",
        "xoxb&#x2D;1234567890&#45;abcdef",
        "gh" + "p&lowbar;" + "a" * 36,
        "https://hooks\\.slack.com/" + "services/T0/B0/abc",
        "hun\\*ter&amp;2",
    ],
)
@pytest.mark.parametrize("format_", ["markdown", "native"])
def test_tokens_are_hidden_as_people_see_them(sent, written, format_):
    """However the text is written: with escapes, or with entities."""
    policy = Masking(words=["hun*ter&2"])
    text = changed(policy, sent(text=f"a \\* see {written} \\* b", format=format_)).text
    assert "a \\* see [hidden] \\* b" == text


def test_other_texts_are_left_as_they_are(sent):
    for text in (
        "a\\*b &amp; c&#45;d \\",
        "&&;&#;",
        "at 12:30, call 123456789",
        "https://slack.com/services/x",
        "a.b.c",
        "eyJ",
    ):
        assert Masking().rewrite(sent(text=text)) is None


def test_names_and_descriptions_of_files_are_looked_through(sent):
    files = (File(b"x", name="hunter2.txt", alt="the word hunter2"), File(id="1"))
    masked = changed(Masking([], words=["hunter2"]), sent(text="see", files=files)).files
    assert [("[hidden].txt", "the word [hidden]"), ("", "")] == [(f.name, f.alt) for f in masked]


def test_secrets_in_buttons_are_hidden_and_what_has_none_is_let_alone(sent):
    rows = [[Button("hunter2", "say hunter2"), Button("Go", url="https://a.example/hunter2")]]
    masked = changed(Masking([], words=["hunter2"]), sent(text="see", buttons=rows)).buttons
    hidden = Button("[hidden]", "say [hidden]"), Button("Go", url="https://a.example/[hidden]")
    assert (hidden,) == masked
    assert Masking().rewrite(sent(text="see", buttons=rows)) is None


def test_fields_and_arguments_are_looked_through(sent, edited, called):
    policy = Masking([], words=[Secret("hunter2"), "swordfish"])
    extra = {"b": [{"t": "hunter2!"}, 5, None, True], "hunter2": 1}
    hidden = {"b": [{"t": "[hidden]!"}, 5, None, True], "[hidden]": 1}
    assert hidden == changed(policy, sent(text="x", extra=extra)).extra
    assert "[hidden]" == changed(policy, edited(text="swordfish")).text
    assert edited(text="x").extra is changed(policy, edited(text="swordfish")).extra is None
    assert hidden == changed(policy, called(arguments=extra)).arguments


def test_what_is_hidden_joins_no_new_secret(sent):
    policy = Masking([r"a\[", "b"], by="[]")
    assert "[]]" == changed(policy, sent(text="ab")).text


async def test_what_cannot_be_hidden_is_not_sent(opened, autojump_clock):
    """Where each look finds another secret: a "b" after a mask, and one comes with each mask."""
    channel = FakeChannel()
    policy = Masking([r"(?<=\.)b|a"], by="x.")
    async with opened(channel, policy) as gateway:
        with pytest.raises(HookContractError, match="Masking: hook rewrite: raised ValueError"):
            await gateway.send("bot", "r", "a" + "b" * 50)
    assert [] == channel.made


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"patterns": "x+"}, "'patterns' must be a list"),
        ({"patterns": ["("]}, "'patterns' must be regular expressions"),
        ({"words": [""]}, "'words' must be a list or set of texts"),
        ({"words": [5]}, "'words' must be a list or set of texts"),
        ({"words": ["hidden"]}, "'by' must not match 'patterns' or 'words'"),
        ({"by": ""}, "'by' must be a text"),
    ],
    ids=str,
)
def test_what_it_is_made_with_is_looked_at(arguments, words):
    with pytest.raises(ValueError, match=words):
        Masking(**arguments)


def test_it_does_not_show_what_it_hides():
    assert "hunter2" not in repr(Masking(SECRETS, words=["hunter2"]))


async def test_a_key_is_that_of_the_text_before(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel, Masking([], words=["hunter2"])) as gateway:
        await gateway.send("bot", "r", "it is hunter2", key="k")
        assert (await gateway.send("bot", "r", "it is hunter2", key="k")).replayed
    assert ["it is [hidden]"] == channel.texts("r")
