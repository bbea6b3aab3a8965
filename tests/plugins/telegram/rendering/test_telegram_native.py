"""Telegram's own HTML, read as Telegram's library reads it; sent as text and entities."""

from __future__ import annotations

import json
import random
import time

import pytest
from amounts import amount
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_core import Instance, Secret, Send
from gateway_plugin_telegram import TelegramSettings, hooks
from gateway_plugin_telegram.rendering.native import read

BOT = Instance("support", "telegram", TelegramSettings(token=Secret("1:a")))
TEXTS = amount("drawn texts read by Telegram's library")
TAGGED = amount("drawn tags read by Telegram's library")
NAMES = {
    "BlockQuote": "blockquote", "ExpandableBlockQuote": "expandable_blockquote",
    "PreCode": "pre", "TextUrl": "text_link", "MentionName": "text_mention",
    "CustomEmoji": "custom_emoji", "DateTime": "date_time",
}  # fmt: skip


@pytest.fixture(scope="module")
def tdlib():
    """What Telegram's own library makes of HTML, offline: text and entities, or its refusal."""
    tdjson = pytest.importorskip("tdjson", reason="the PyPI package tdjson is not installed")

    def call(kind, **fields):
        return json.loads(tdjson.td_execute(json.dumps({"@type": kind, **fields}).encode()))

    call("setLogVerbosityLevel", new_verbosity_level=0)
    return lambda text: call(
        "parseTextEntities", text=text, parse_mode={"@type": "textParseModeHTML"}
    )


def message(text: str, **fields) -> Send:
    return Send(instance_id="support", external_room_id="7", text=text, format="native", **fields)


def parts(instance, text: str, mode: str = "as_asked", **fields):
    return hooks.chunk(instance, message(text, **fields), mode)


def ours(source: str) -> list:
    native = read(source, mentions=True)
    found = [(entity.start, entity.end, entity.fields["type"]) for entity in native.entities]
    return characters(native.document.text, found)


def theirs(answer: dict) -> list:
    text, found = answer["text"], []
    places = {0: 0}
    units = 0
    for index, sign in enumerate(text, 1):
        units += 2 if sign > "\uffff" else 1
        places[units] = index
    for entity in answer["entities"]:
        name = entity["type"]["@type"].removeprefix("textEntityType")
        start, end = entity["offset"], entity["offset"] + entity["length"]
        found.append((places[start], places[end], NAMES.get(name, name.lower())))
    return characters(text, found)


def characters(text: str, found: list) -> list:
    """Each character with its styles; a code within a pre is no more than the pre."""
    styles: list[set] = [set() for _ in text]
    for start, end, name in found:
        for place in range(start, end):
            styles[place].add(name)
    return [
        (sign, frozenset(style - {"code"} if "pre" in style else style))
        for sign, style in zip(text, styles, strict=True)
    ]


@pytest.mark.parametrize(
    "source",
    [
        "<b>a</b> <strong>b</strong> <i>c</i> <em>d</em>",
        "<u>a</u><ins>b</ins><s>c</s><strike>d</strike><del>e</del>",
        '<span class="tg-spoiler">a</span><tg-spoiler>b</tg-spoiler>',
        '<a href="https://x.example/?a=1&amp;b=2">a</a> <a href=x.com>b</a> <a>x.org</a>',
        '<a href="javascript:1">a</a> <a href="http://localhost">b</a> <a href="tel:+1">c</a>',
        '<a href="tg://user?id=5">a</a> <a href="tg://resolve?domain=x">b</a>',
        "<code>a</code> <pre>b</pre> <pre><code>c</code></pre>",
        '<pre><code class="language-py">x</code></pre> <code class="language-py">y</code>',
        "<blockquote>a</blockquote> <blockquote expandable>b</blockquote>",
        '<tg-emoji emoji-id="5368324170671202286">👍</tg-emoji>',
        "<B>a</B > <b class='x>y'>b</b> <b>c</>",
        "a &lt; b &amp;&quot; &#60;&#x3C; &nbsp; &LT; &ltx &amp &#0; &#1114112;",
        "&#0000065;&#00000065;&#x000041;&#x0000041;&#65٣;",
        "<i>a<b>b</b></i>c 😀<b>😀</b>",
        "<b <>a</b> <b < x<y <z='<'>b</b> <b a>>c</b>",
        "<b a=\"1\"b=2 c = '3'd>a</b> <b a=>b</b> <b\va\tb\r>c</b\n>",
        '<a href="x.org" href>a</a> <a HREF="x.org">b</a> <a href=X.ORG href>c</a>',
        '<span class="x" class="tg-spoiler">a</span> <blockquote EXPANDABLE>b</blockquote>',
        '<tg-time unix="1000000000" format="wDT">a</tg-time> <tg-time unix=7>b</tg-time>',
        '<tg-time>a</tg-time> <tg-time unix="2147483648">b</tg-time> <b><i>c</></>',
        '<tg-emoji></tg-emoji>a <tg-emoji emoji-id="-5">👍</tg-emoji>',
    ],
)
def test_what_it_says_is_what_telegram_reads(source, tdlib):
    assert () == read(source, mentions=True).problems
    assert theirs(tdlib(source)) == ours(source)


PEOPLE = (
    "tg://user?id=5", "tg:user?id=5", "TG://USER?ID=5", "tg://user/?id=5", "tg://user?id=5&x=1",
    "tg://user?x=1&id=5", "tg://user?x&&id=5&id=6", "tg://user?id=5#a", "tg:user?idx=1&id=5",
    "tg://user?id=1099511627775",
)  # fmt: skip
NOBODY = (
    "tg://user?id=0", "tg://user?id=05", "tg://user?id=5a", "tg://user?id=-5", "tg://user?id&id=5",
    "tg://user?id=1099511627776", "tg://user?id=99999999999999999999", "tg://user?x#&id=5",
    "tg://u\u017fer?id=5", "tg://users?id=5", "tg://user?id=x&id=5",
)  # fmt: skip


@pytest.mark.parametrize("address", PEOPLE)
def test_a_link_to_a_person_is_known_in_every_form_that_telegram_knows(address, tdlib):
    """Without `mentions` it is none: whoever is named hears of it otherwise."""
    source = f'<a href="{address}">a</a>'
    assert theirs(tdlib(source)) == ours(source)
    assert "text_mention" == read(source, mentions=True).entities[0].fields["type"]
    assert () == read(source, mentions=False).entities


@pytest.mark.parametrize("address", NOBODY)
def test_what_is_like_a_link_to_a_person_is_a_link_or_nothing(address, tdlib):
    source = f'<a href="{address}">a</a>'
    assert theirs(tdlib(source)) == ours(source)
    assert "text_mention" not in [e.fields["type"] for e in read(source, mentions=True).entities]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("<b>x", "<b> is not closed"),
        ("x</b>", "</b> at 1 closes nothing"),
        ("<b>x</i></b>", "</i> at 4 closes nothing"),
        ("<br>", "<br> at 0 is not a tag that Telegram knows"),
        ("a < b", "the < at 2 does not begin a tag; write &lt; for the sign"),
        ("<span>x</span>", 'at 0: a span must have the class "tg-spoiler"'),
        ('<tg-emoji emoji-id="x">👍</tg-emoji>', "at 0: tg-emoji needs its emoji-id, a number"),
        ("<b x=y=z>q</b>", "the attributes of <b> at 0 cannot be read"),
        ("<!-- x -->", "<!--> at 0 is not a tag that Telegram knows"),
        ("<b<>x</b>", "<b<> at 0 is not a tag that Telegram knows"),
        ("<b/>x", "<b/> at 0 is not a tag that Telegram knows"),
        ("<b a<", "the tag <b> at 0 has no end"),
        ("<b a='x>y</b>", "the tag <b> at 0 has no end"),
        ("<b a=<>x</b>", "the attributes of <b> at 0 cannot be read"),
        ("<b>x</b <>", "the end tag at 4 has no end"),
        ("<stri\u212ae>x", "<stri\u212ae> at 0 is not a tag that Telegram knows"),
        ("<b\x0ca>x</b>", r"<b\x0ca> at 0 is not a tag that Telegram knows"),
        ('<tg-emoji emoji-id="05">👍</tg-emoji>', "at 0: tg-emoji needs its emoji-id, a number"),
        (
            '<tg-time unix="7" format="x">y</tg-time>',
            "at 0: the format of tg-time is r, or some of w, d, D, t and T",
        ),
    ],
)
def test_what_telegram_refuses_is_a_problem_before_it_is_accepted(source, words, instance, tdlib):
    assert "error" == tdlib(source)["@type"]
    problem, *_ = hooks.validate(BOT, message(source))
    assert f"text: Telegram's HTML: {words}" == str(problem)


TAGS = [
    "b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "tg-spoiler", "code", "pre",
    "blockquote", "blockquote expandable", 'span class="tg-spoiler"', 'a href="https://x.example"',
    'a href="x.com/a?b&amp;c"', "a", 'pre class="x"', 'code class="language-py"', "B", "foo",
    "span", 'tg-emoji emoji-id="5368324170671202286"',
]  # fmt: skip
WORDS = st.text(
    alphabet=st.sampled_from("ab c\n<>&;\"'=/#x1😀é\u0301lt"), max_size=6
) | st.sampled_from(["&lt;", "&amp", "&#65;", "word", "👨‍👩‍👧", "x.org"])


def closed(inner: str, tag: str) -> str:
    return f"<{tag}>{inner}</{tag.split(maxsplit=1)[0]}>"


HTML = st.recursive(
    WORDS,
    lambda inner: st.lists(inner | st.builds(closed, inner, st.sampled_from(TAGS)), max_size=4).map(
        "".join
    ),
    max_leaves=12,
)


@given(source=HTML)
@settings(max_examples=TEXTS, deadline=None)
def test_generated_html_is_read_or_refused_as_telegram_does(source, tdlib):
    answer = tdlib(source)
    native = read(source, mentions=True)
    if answer["@type"] == "error" or "\u0301" in source:
        return
    assert () == native.problems
    assert theirs(answer) == ours(source)


TAG = st.builds(
    lambda name, pieces: f"<{name}{''.join(pieces)}>",
    st.sampled_from(
        ["b", "a", "span", "code", "tg-emoji", "tg-time", "blockquote", "/b", "/", "foo"]
    ),
    st.lists(
        st.sampled_from([
            " ", "\t", "\v", "\f", "<", ">", "/", "a", "=", '="', "='", '"', "'", "&lt;", "é", "5",
            " href", " class", "tg-spoiler", " unix=7", ' emoji-id="5"', " expandable",
            ' format="r"',
        ]),
        max_size=6,
    ),
)  # fmt: skip


@given(pieces=st.lists(TAG | st.sampled_from(["x", "😀", "</b>", "</a>", "</>"]), max_size=5))
@settings(max_examples=TAGGED, deadline=None)
def test_tags_of_any_make_are_read_or_refused_as_telegram_does(pieces, tdlib):
    source = "".join(pieces)
    answer, native = tdlib(source), read(source, mentions=True)
    if answer["@type"] == "error":
        assert native.problems or "must be non-empty" in answer["message"]
        return
    assert () == native.problems
    assert theirs(answer) == ours(source)


@given(source=HTML)
@settings(max_examples=TEXTS, deadline=None)
def test_no_problem_is_overlooked(source, tdlib):
    if not read(source, mentions=True).problems:
        assert "error" != tdlib(source)["@type"] or "must be non-empty" in tdlib(source)["message"]


def test_it_goes_out_as_text_and_entities(instance):
    [part] = parts(instance, '<b>Hi</b> <a href="https://x.example">there</a>')
    assert {
        "text": "Hi there",
        "entities": [
            {"type": "bold", "offset": 0, "length": 2},
            {"type": "text_link", "url": "https://x.example", "offset": 3, "length": 5},
        ],
        "link_preview_options": {"is_disabled": True},
    } == part.payload


def test_people_are_named_only_where_the_envelope_says_so(instance):
    text = '<a href="tg://user?id=5">you</a>'
    [quiet], [loud] = parts(instance, text), parts(instance, text, mentions=True)
    assert "entities" not in quiet.payload
    assert {"id": 5} == loud.payload["entities"][0]["user"]
    assert (("link to a person shown as text",), ()) == (quiet.degraded, loud.degraded)


def test_only_the_part_that_loses_a_link_to_a_person_reports_it(instance):
    """And once, however many such links it has."""
    text = '<a href="tg://user?id=5">you</a> <a href="tg://user?id=6">and you</a> '
    first, *_, last = parts(instance, text + "word " * 1500)
    assert (("link to a person shown as text",), ()) == (first.degraded, last.degraded)
    [shown] = parts(instance, text, mentions=["5", "6"])
    assert () == shown.degraded


def test_a_long_one_is_cut_with_its_tags_closed_and_opened_again(instance):
    source = f"<blockquote><b>{'word ' * 1500}</b></blockquote>"
    made = parts(instance, source)
    assert [["blockquote", "bold"]] * 2 == [
        [entity["type"] for entity in part.payload["entities"]] for part in made
    ]
    assert (0, len(source)) == (made[0].span[0], made[-1].span[1])
    assert 1500 == sum(part.payload["text"].count("word") for part in made)


def test_more_markup_than_fits_is_cut_by_the_number_of_entities(instance):
    made = parts(instance, "<b>a</b> <i>b</i> " * 120)
    assert all(len(part.payload["entities"]) <= 100 for part in made)
    assert 240 == sum(len(part.payload["entities"]) for part in made)


def test_a_stretch_of_it_can_be_planned_again_whatever_is_open(instance):
    """As after a refusal, of a part that begins inside one tag and ends inside another."""
    [part] = parts(instance, "a</b> b <i>c", "stricter")
    assert "a b c" == part.payload["text"]
    [shown] = parts(instance, "<b>a</b>", "plain")
    assert ("<b>a</b>", False) == (shown.payload["text"], "entities" in shown.payload)


def test_a_moment_is_shown_in_each_readers_own_time(instance):
    [part] = parts(instance, 'At <tg-time unix="1700000000" format="wDT">ten</tg-time>')
    moment = {"unix_time": 1_700_000_000, "date_time_format": "wDT"}
    assert [{"type": "date_time", **moment, "offset": 3, "length": 3}] == part.payload["entities"]


def test_a_text_whose_tags_hold_nothing_is_refused():
    [problem] = hooks.validate(BOT, message("<b> </b>"))
    assert "text" == problem.place


@pytest.mark.parametrize(
    "unit",
    [
        "<", "<b>", "&", "<a '", '<a "x', "<b x ", "</b>", "<a>x</a>", "<b a='", "<b <b/", "<b ",
        "</b ", "<b a=x/", "<b a = ", "<b" + " " * 50 + "/",
    ],
)  # fmt: skip
def test_time_is_linear(unit):
    """CPU time of four times the text against that of the text; a busy machine is asked again."""

    def spent(count: int) -> float:
        began = time.process_time()
        read(unit * count, mentions=True)
        return time.process_time() - began

    assert any(spent(40_000) < 12 * spent(10_000) + 0.02 for _ in range(3))


def test_any_text_can_be_read():
    rng = random.Random("native")
    for _ in range(3000):
        source = "".join(
            rng.choice("<>/&;#x'\"= abpre\n\u202e😀") for _ in range(rng.randint(0, 60))
        )
        assert len(read(source, mentions=False).document.text) <= len(source)
