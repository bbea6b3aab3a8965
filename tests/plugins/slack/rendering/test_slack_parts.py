"""Texts for Slack: escaped, quiet, in parts that fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core import Call, Edit, KeyRef, MessageRef, Secret, Send
from gateway_core.text import neutral
from gateway_plugin_slack import hooks
from gateway_plugin_slack.rendering import parts as rendering
from gateway_plugin_slack.settings import Settings

TARGET = MessageRef(instance_id="support", external_room_id="C024BE91L", envelope_id="e1")


def message(text, **fields):
    fields = {"format": "plain"} | fields
    return Send(instance_id="support", external_room_id="C024BE91L", text=text, **fields)


def edit(text, **fields):
    fields = {"target": TARGET, "format": "plain", **fields}
    return Edit(instance_id="support", external_room_id="C024BE91L", text=text, **fields)


def parts(instance, envelope, mode="as_asked"):
    return hooks.chunk(instance=instance, envelope=envelope, mode=mode)


def texts(*args, **kwargs):
    return [part.payload["text"] for part in parts(*args, **kwargs)]


def test_a_plain_text_is_one_part_that_neither_formats_nor_unfurls(instance):
    [part] = parts(instance, message("a < b && *c* http://x.example"))
    assert {
        "text": "a &lt; b &amp;&amp; *c* http://x.example",
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": part.payload["blocks"],
    } == part.payload
    assert ((0, 29), ()) == (part.span, part.degraded)


def test_previews_are_unfolded_on_demand_only(instance):
    [part] = parts(instance, message("http://x.example", link_previews=True))
    assert (True, True) == (part.payload["unfurl_links"], part.payload["unfurl_media"])


@pytest.mark.parametrize(
    "text",
    ["<!channel>", "<!here|here>", "<@U024BE7LH>", "<!subteam^S012>", "<!everyone>", "<#C01>"],
)
def test_nobody_is_called_unless_the_envelope_says_so(instance, text):
    escaped = text.replace("<", "&lt;").replace(">", "&gt;")
    assert [escaped] == texts(instance, message(text))


def test_with_mentions_people_are_called_and_nothing_else_is_markup(instance):
    text = "<@U024BE7LH> <!here> <!subteam^S012|team> <http://x|y> <#C01> <!date^1^x|y> <@ada>"
    escaped = "&lt;http://x|y&gt; &lt;#C01&gt; &lt;!date^1^x|y&gt; &lt;@ada&gt;"
    assert [f"<@U024BE7LH> <!here> <!subteam^S012|team> {escaped}"] == texts(
        instance, message(text, mentions=True)
    )


def test_an_entity_in_the_source_is_no_mention(instance):
    [text] = texts(instance, message("&lt;@U024BE7LH&gt;", mentions=True))
    assert "&amp;lt;@U024BE7LH&amp;gt;" == text


def test_native_markup_passes_but_calls_nobody(instance):
    text = "*b* <http://x|y> <!date^1700000000^{date}|then> <!channel> <@U024BE7LH> &amp;"
    [part] = parts(instance, message(text, format="native"))
    assert part.payload["mrkdwn"] is True
    assert (
        "*b* <http://x|y> <!date^1700000000^{date}|then> &lt;!channel&gt; &lt;@U024BE7LH&gt; &amp;"
    ) == part.payload["text"]
    assert [text] == texts(instance, message(text, format="native", mentions=True))


def test_native_markup_is_shown_as_it_stands_when_slack_refused_it(instance):
    [part] = parts(instance, message("*a* & b", format="native"), "plain")
    assert ("*a* &amp; b", False) == (part.payload["text"], part.payload["mrkdwn"])
    assert ("formatting",) == part.degraded


def test_blocks_are_left_out_of_a_plain_part_and_that_is_said(instance):
    envelope = message("hello", extra={"blocks": [{"type": "divider"}]})
    assert [()] == [part.degraded for part in parts(instance, envelope)]
    assert [("blocks and attachments",)] == [
        part.degraded for part in parts(instance, envelope, "plain")
    ]


def test_a_part_is_measured_in_bytes_of_escaped_text(instance):
    for text, count in [("a" * 4000, 1), ("a" * 4001, 2), ("&" * 800, 1), ("&" * 801, 2)]:
        assert count == len(parts(instance, message(text)))
    assert [1, 2] == [len(parts(instance, message("語" * n))) for n in (1333, 1334)]


def test_a_part_that_was_called_too_long_is_cut_smaller(instance):
    assert [2000, 2000] == [len(t) for t in texts(instance, message("a" * 4000), "stricter")]


def test_a_text_for_notifications_is_not_cut_smaller(instance):
    envelope = message("a" * 4000, format="native", extra={"blocks": [{"type": "divider"}]})
    assert [4000] == [len(text) for text in texts(instance, envelope, "stricter")]


def test_an_empty_text_makes_no_part_unless_blocks_show_something(instance):
    assert [] == parts(instance, message(" \n"))
    assert [] == parts(instance, edit(""))
    [part] = parts(instance, message("", extra={"blocks": [{"type": "divider"}]}))
    assert ("", (0, 0)) == (part.payload["text"], part.span)


def test_a_size_of_ones_own_is_kept():
    small = Settings(token=Secret("xoxb-1"), part_bytes=100)
    assert [100, 20] == [
        len(part.payload["text"])
        for part in rendering.parts_of(small, message("a" * 120), "as_asked")
    ]


def test_an_edit_of_the_same_text_has_the_same_digests(instance):
    sent, edited = message("word " * 2000), edit("word " * 2000)
    replied = message("word " * 2000, reply_to="1700000000.000100")
    digests = [[p.digest for p in parts(instance, e)] for e in (sent, edited, replied)]
    assert digests[0] == digests[1] == digests[2]


def test_every_part_of_a_reply_stands_in_its_thread(instance):
    replied = parts(instance, message("a" * 9000, reply_to="C024BE91L:1700000000.000100"))
    assert ["1700000000.000100"] * 3 == [part.payload["thread_ts"] for part in replied]
    thread = parts(instance, message("a", reply_to="1.1", thread_id="1700000000.000100"))
    assert ["thread_ts" in part.payload for part in thread] == [False]


def test_only_texts_are_planned(instance):
    call = Call(instance_id="support", external_room_id="C024BE91L", method="views.open")
    assert hooks.chunk(instance=instance, envelope=call, mode="as_asked") is None
    keyed = edit("x", target=KeyRef(instance_id="s", external_room_id="C0", key="k"))
    assert ["x"] == texts(instance, keyed)


def test_markdown_is_rich_text_with_its_visible_text_beside_it(instance):
    [part] = parts(instance, message("**a** <b", format="markdown"))
    assert ("a &lt;b", ()) == (part.payload["text"], part.degraded)
    inline = [
        {"type": "text", "text": "a", "style": {"bold": True}},
        {"type": "text", "text": " <b"},
    ]
    section = {"type": "rich_text_section", "elements": inline}
    assert [{"type": "rich_text", "elements": [section]}] == part.payload["blocks"]


@given(
    st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from("&<>@! \nU語👩"), max_size=400)
)
def test_every_part_of_any_text_can_be_sent_and_edited(text):
    settings = Settings(token=Secret("xoxb-1"), part_bytes=100)
    for mentions in (False, True):
        for form in ("plain", "native"):
            planned = rendering.parts_of(
                settings, message(text, mentions=mentions, format=form), "as_asked"
            )
            assert all(len(part.payload["text"].encode()) <= 100 for part in planned)
            shown = "".join(text[slice(*part.span)] for part in planned)
            assert "".join(neutral(text).split()) == "".join(neutral(shown).split())
