"""Plain text reaches the reader as it was written, in as few messages as will hold it."""

import random
import re
from pathlib import Path

import pytest

from gateway_contrib.emulators.discord.markup import visible
from gateway_core import Edit, MessageRef, Send
from gateway_plugin_discord.hooks import chunk
from gateway_plugin_discord.rendering.parts import parts_of
from gateway_plugin_discord.rendering.plain import escape, length

ROOM = "1100000000000000001"

ESCAPED = {
    "**bold** and *em*": r"\*\*bold\*\* and \*em\*",
    "5 * 3 = 15": "5 * 3 = 15",
    "* a star begins a list": r"\* a star begins a list",
    "snake_case_name": "snake_case_name",
    "__init__": r"\__init\_\_",
    "_em_ é_é": r"_em\_ é\_é",
    "~~gone~~ ~one~": r"\~~gone\~~ ~one~",
    "a | b || c ||": r"a | b \|| c \||",
    "`code` ```\nblock\n```": r"\`code\` \`\`\`" "\nblock\n" r"\`\`\`",
    "C:\\new \\! \\": r"C:\new \\! " "\\",
    "# title\n#no title\n### 3\n#### 4": "\\# title\n#no title\n\\### 3\n#### 4",
    "-# small\n- item\n -x\n  - nested": "\\-# small\n\\- item\n -x\n  \\- nested",
    "1. one\n12. two\n3.5 kg": "1\\. one\n12\\. two\n3.5 kg",
    "> quote\n>no quote\n>>> all": "\\> quote\n>no quote\n\\>>> all",
    "<@1> <@&2> <#3> <:a:4> <a:b:5>": r"\<@1> \<@&2> \<#3> \<\:a:4> \<a\:b:5>",
    "<t:1700000000:R> <id:guide> </say:1> a < b": r"\<t\:1700000000:R> \<id:guide> \</say:1> a < b",
    "@everyone @here @heretic me@x.org": r"\@everyone \@here \@heretic me@x.org",
    "[label](https://example.org)": r"[label]\(https://example.org)",
    "list[0](x)": r"list[0]\(x)",
    ":tada: 12:30 a::b": r"\:tada: 12:30 a::b",
    "¯\\_(ツ)_/¯": r"¯\\\_(ツ)\_/¯",
    "Vec<T> and x<y": "Vec<T> and x<y",
    "https://example.org/a_b_*c*?x=~~y~~": "https://example.org/a_b_*c*?x=~~y~~",
    "<https://example.org>": r"\<https://example.org>",
    "<user@example.org>": r"\<user@example.org>",
    "https://x.org<@1>": r"https\://x.org\<@1>",
    "a_b https://x.org/c_ d": r"a\_b https://x.org/c_ d",
    "[a https://x.org](b)": r"\[a https://x.org](b)",
    "https://* is a pattern": r"https\://\* is a pattern",
    "`https://`": r"\`https\://`",
}


@pytest.mark.parametrize("text", ESCAPED)
def test_escapes_what_would_be_markup_and_nothing_else(text):
    assert ESCAPED[text] == escape(text)
    assert text == visible(escape(text))


def test_mentions_stay_mentions_where_they_are_wanted():
    text = "<@1> <@!2> <@&3> @everyone @here <#4> *x*"
    assert r"<@1> <@!2> <@&3> @everyone @here \<#4> \*x\*" == escape(text, mentions=True)


FRAGMENTS = [
    *"\\*_~`|<>@#:[]()-.!1 9aéツ\n",
    "https://", "http://x", "x.org/", "everyone", "here", ":smile:", "```", "**", "__", "||", "~~",
    "](", "<@123>", "<#5>", "<:a:55>", "<t:7>", "</x:5>", "# ", "- ", "> ", ">>> ", "1. ", "-# ",
    "_a_", "🙂", "👩\u200d👩\u200d👧", "\t", "x@y.z", "<12:guide>", "foo:/bar", "<a", " \n ",
]  # fmt: skip


def texts(seed, count, longest):
    draw = random.Random(seed)
    for _ in range(count):
        yield "".join(draw.choice(FRAGMENTS) for _ in range(draw.randint(1, longest)))


def test_any_text_is_seen_as_it_was_written():
    """20,000 texts made of whatever the dialect knows, put in the worst order."""
    assert [] == [text for text in texts("seen", 20_000, 12) if visible(escape(text)) != text]


def test_without_escaping_most_of_them_would_not_be():
    """The oracle sees markup: it is not blind."""
    changed = sum(visible(text) != text for text in texts("seen", 2_000, 12))
    assert changed > 1_000


def send(text, **fields):
    fields = {"format": "plain"} | fields
    return Send(instance_id="support", external_room_id=ROOM, text=text, **fields)


def plan(instance, envelope, mode="as_asked"):
    return list(chunk(instance=instance, envelope=envelope, mode=mode))


def test_two_thousand_characters_are_one_message(instance):
    (part,) = plan(instance, send("a" * 2000))
    assert ("a" * 2000, (0, 2000)) == (part.payload["content"], part.span)
    assert 2 == len(plan(instance, send("a" * 2001)))


def test_escapes_count(instance):
    assert 1 == len(plan(instance, send("*" * 1000)))
    assert 2 == len(plan(instance, send("*" * 1001)))


def test_emoji_count_as_the_more_of_both_units(instance):
    """One code point, two UTF-16 units."""
    assert 1 == len(plan(instance, send("🙂" * 1000)))
    assert 2 == len(plan(instance, send("🙂" * 1001)))
    assert 3 == length("a🙂")


def test_stricter_is_half(instance):
    assert [1000, 1000] == [
        len(part.payload["content"]) for part in plan(instance, send("a" * 2000), "stricter")
    ]


def test_long_texts_fit_and_lose_nothing_but_white_space_at_the_cuts(instance):
    for number, text in enumerate(texts("long", 40, 2500)):
        parts = plan(instance, send(text))
        assert all(length(part.payload["content"]) <= 2000 for part in parts), number
        seen = [visible(part.payload["content"]) for part in parts]
        assert [text[slice(*part.span)] for part in parts] == seen
        assert "".join(text.split()) == "".join("".join(seen).split())


def test_spans_leave_out_the_white_space_that_discord_takes_off(instance):
    (part,) = plan(instance, send("\n  code\n"))
    assert ("code", (3, 7)) == (part.payload["content"], part.span)


def test_the_bundled_texts_come_through(instance):
    for path in sorted(Path("tests/texts").glob("*.md")):
        text = path.read_text()
        for part in plan(instance, send(text)):
            assert text[slice(*part.span)] == visible(part.payload["content"]), path


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("[**https://x.org/a**](https://x.org/a)", "**<https://x.org/a>**"),
        ("**[*https://x.org/a*](https://x.org/a)**", "***<https://x.org/a>***"),
        ("*[https://x.org/a_b](https://x.org/a_b)* c", "<https://x.org/a_b> c"),
        ("[a `b|c` *d*](http://x.org)", "[a `b|c` *d*](<http://x.org>)"),
    ],
)
def test_an_address_is_written_as_it_is_whatever_styles_are_in_or_around_it(
    source, written, instance
):
    (part,) = plan(instance, send(source, format="markdown"))
    assert written == part.payload["content"]


def test_native_markup_is_passed_on(instance):
    (part,) = plan(instance, send("**bold** <@1>", format="native"))
    assert "**bold** <@1>" == part.payload["content"]


def test_nobody_is_pinged_and_nothing_unfolds_unless_asked(instance):
    (quiet,) = plan(instance, send("hi"))
    assert {"content": "hi", "allowed_mentions": {"parse": []}, "flags": 4} == quiet.payload
    (loud,) = plan(instance, send("hi", mentions=True, link_previews=True))
    assert {"content": "hi", "flags": 0} == loud.payload


@pytest.mark.parametrize("form", ["plain", "native", "markdown"])
def test_control_and_bidirectional_characters_are_neutral(instance, form):
    (part,) = plan(instance, send("a\x07b\u202ec", format=form))
    assert "a bc" == part.payload["content"]


@pytest.mark.parametrize("form", ["plain", "native"])
def test_a_text_of_nothing_seen_makes_no_message(instance, form):
    assert [] == plan(instance, send("\x07\u202e", format=form))


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("[a](https://x.example) **b `c`**", ()),
        ("[a \\[b\\]](https://x.example)", ("link written out",)),
        ("**a `b_c` d**", ("style left off code",)),
        ("`b_c`", ()),
        ("[a](https://x.example)\n```\nb](c)\n```", ("link written out",)),
        ("[a](https://x.example)\n```\n[b](c)\n```", ()),
        ("`b](c)` [a](https://x.example)", ()),
        ("**see https://x.example/a_b**", ("style left off an address",)),
        ("- # `b_c`", ("style left off code",)),
    ],
)
def test_what_discord_cannot_show_is_told(instance, text, lost):
    (part,) = plan(instance, send(text, format="markdown"))
    assert lost == part.degraded


def test_a_link_that_is_written_out_over_several_messages_is_told(instance):
    address = "https://x.example/" + "q" * 3000
    parts = plan(instance, send(f"See [the report]({address}) now.", format="markdown"))
    assert [(), ("link written out",), ()] == [part.degraded for part in parts]


def test_two_codes_side_by_side_stay_two(instance):
    (part,) = plan(instance, send("~`c*d`~``a`b``", format="markdown"))
    assert "`c*d`\u200b``a`b``" == part.payload["content"]


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("``` a`b``c ```", "``a`b`\u200b`c``"),
        ("``` a`b```` ```", "``a`b```` ``"),
        ("`a``b`", "`a``b`"),
    ],
)
def test_no_backticks_begin_a_code_block_in_a_line(instance, text, content):
    (part,) = plan(instance, send(text, format="markdown"))
    assert content == part.payload["content"]


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("*` ` x*", "` ` *x*"),
        ("*x ` `* y", "*x* ` ` y"),
        ("~~` ` `a~b`~~", "` ` `a~b`"),
        ("**` ` ` ` `a*b`**", "` ` ` ` `a*b`"),
    ],
)
def test_no_mark_stands_around_white_space_beside_code_that_is_white(instance, text, content):
    (part,) = plan(instance, send(text, format="markdown"))
    assert content == part.payload["content"]


def test_no_mark_stands_behind_a_list_marker_that_a_part_ends_with():
    link = f"[a](https://x.example/{'p' * 20})"
    envelope = send(f"# heading\n\n- {link}{link}", format="markdown")
    first, *_ = parts_of(envelope, limit=55)
    assert "# heading\n- " == first.payload["content"]


@pytest.mark.parametrize("previews", [False, True])
def test_what_a_part_begins_with_inside_an_address_is_text(previews):
    address = f"https://x.example/{'p' * 60}/@everyone/{'q' * 20}"
    envelope = send(address, format="markdown", link_previews=previews)
    begun, rest = [part.payload["content"] for part in parts_of(envelope, limit=60)]
    assert "https://x.example/ppp" in begun
    assert re.fullmatch(r"p*/\\@everyone/q{20}", rest)


@pytest.mark.parametrize("text", ["<<[a](https://x.example)", "<*b*[a](https://x.example)"])
def test_no_bracket_opens_an_address_that_a_link_would_end(instance, text):
    (part,) = plan(instance, send(text, format="markdown"))
    assert "<" not in part.payload["content"].partition("[")[0].replace("\\<", "")


@pytest.mark.parametrize("count", range(1, 14))
@pytest.mark.parametrize("code", ["{}", "a{}", "{}b", "a\n{} b\n{}"])
def test_no_backticks_in_a_code_block_end_it(instance, code, count):
    code = code.replace("{}", "`" * count)
    fence = "~" * 3
    (part,) = plan(instance, send(f"{fence}\n{code}\n{fence}", format="markdown"))
    opened, inner, closed = re.fullmatch(
        "(```\n)([\\s\\S]*)(\n```)", part.payload["content"]
    ).groups()
    assert (code, "```\n", "\n```") == (inner.replace("\u200b", ""), opened, closed)
    assert "```" not in inner


def test_silence_is_a_flag_that_makes_no_other_message(instance):
    (loud,), (silent,) = plan(instance, send("hi")), plan(instance, send("hi", silent=True))
    assert 4 | 4096 == silent.payload["flags"]
    assert loud.digest == silent.digest


def test_an_edit_to_the_same_text_has_the_same_digest(instance):
    ref = MessageRef(instance_id="support", external_room_id=ROOM, envelope_id="e1")
    edit = Edit(instance_id="support", external_room_id=ROOM, target=ref, text="hi")
    assert plan(instance, send("hi"))[0].digest == plan(instance, edit)[0].digest
    assert plan(instance, send("ho"))[0].digest != plan(instance, edit)[0].digest


def test_embeds_alone_make_a_message(instance):
    (part,) = plan(instance, send("", extra={"embeds": [{"title": "hi"}]}))
    assert "content" not in part.payload
    assert [] == plan(instance, send(" "))


def test_only_texts_are_planned(instance):
    assert chunk(instance=instance, envelope=None, mode="as_asked") is None
