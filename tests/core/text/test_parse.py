"""Markdown as styled text: what is seen, in which styles, from where in the source."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.text import Document, Kind, Style, parse


def spans(document: Document) -> list[tuple[str, str]]:
    return [(s.style.value, document.text[s.start : s.end]) for s in document.spans]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("one\ntwo", "one\ntwo"),
        ("one  \ntwo\\\nthree", "one\ntwo\nthree"),
        ("one\n\n\n\ntwo", "one\n\ntwo"),
        ("# One\ntwo\n## Three", "One\ntwo\n\nThree"),
        ("One\n===\ntwo", "One\ntwo"),
        ("text\n- a\n- b\n\ntext", "text\n• a\n• b\n\ntext"),
        ("- a\n\n- b\n\n  c", "• a\n• b\n  c"),
        ("- a\n  - b\n    1. c", "• a\n  • b\n    1. c"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("- [x] done\n- [ ] open", "☑ done\n☐ open"),
        ("-\n- b", "• \n• b"),
        ("- - a", "• \n  • a"),
        ("- a\n  > b", "• a\n  b"),
        ("- a\n  # b", "• a\n\n  b"),
        ("- a\n  <div>\n", "• a\n  <div>"),
        ("- a\n  - b\n  > c", "• a\n  • b\n  c"),
        ("- ```\n  x\n  ```\n- b", "• \nx\n• b"),
        ("> a\n>\n> b\n\nc", "a\n\nb\nc"),
        ("> a\n\n<!-- -->\n\n> b", "a\n<!-- -->\nb"),
        ("```py\nx = 1\n\ny = 2\n```\ntext", "x = 1\n\ny = 2\ntext"),
        ("    x\n    y", "x\ny"),
        ("a\n\n---\n\nb", "a\n────────\nb"),
        ("<b>x</b> &amp; &copy;", "<b>x</b> & ©"),
        ("<div>\nx\n</div>\n\ntext", "<div>\nx\n</div>\n\ntext"),
        ("\\*a\\*", "*a*"),
        ("a\ttab\u202eb\r\nc", "a tabb\nc"),
        ("```\na\tb\n```", "a    b"),
        ("![alt](http://a.b)", "alt"),
        ("![](http://a.b/c)", "http://a.b/c"),
        ("[a](../b.md) [c](#d) [e](mailto:f@g.h)", "a (../b.md) c e (f@g.h)"),
        ("\ud800a", "\ufffda"),
        ("", ""),
        ("```\n```", "```\n```"),
        ("[a]: http://b.c", "[a]: http://b.c"),
        ("# \n\ntext", "text"),
        ("|a|\n|-|\n\ntext", "a\n-\ntext"),
        ("- ~~~\n\n\ntext", "• \n\ntext"),
    ],
)
def test_what_is_seen(source, text):
    assert text == parse(source).text


@pytest.mark.parametrize(
    "source",
    [
        "[a](http://b.c/_d_/e)",
        "[a](\n http://b.c/_d_/e)",
        "[a](<http://b.c/_d_/e>)",
        "[a]: http://b.c/_d_/e\n\n[a]",
    ],
)
def test_a_link_has_its_address_with_all_signs(source):
    (link,) = parse(source).spans
    assert "http://b.c/_d_/e" == link.value


@pytest.mark.parametrize(
    "fence", ["```http://a.b/_c_/d\nhttp://a.b/_c_/d\n```", "    http://a.b/_c_/d"]
)
def test_code_has_its_addresses_with_all_signs(fence):
    document = parse(fence)
    assert "http://a.b/_c_/d" == document.text
    assert document.blocks[0].language in ("", "http://a.b/_c_/d")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("**a *b* c**", [("bold", "a b c"), ("italic", "b")]),
        ("***a***", [("italic", "a"), ("bold", "a")]),
        ("**a **b** c**", [("bold", "a b c")]),
        ("~~a~~ `b`", [("strike", "a"), ("code", "b")]),
        ("[a **b**](http://c.d)", [("link", "a b"), ("bold", "b")]),
        ("[![a](http://b.c)](http://d.e)", [("link", "a")]),
        ("> a\n>\n> - b\n\nc", [("quote", "a\n• b")]),
        ("> > a", [("quote", "a")]),
        ("see http://a.b/c_d(e)f, ok", [("link", "http://a.b/c_d(e)f")]),
        ("`http://a.b` <http://c.d>", [("code", "http://a.b"), ("link", "http://c.d")]),
        ("http://a.b/*c*", [("link", "http://a.b/*c")]),
        ("http://a.b/__init__.py", [("link", "http://a.b/__init__.py")]),
        (
            "http://a.b/*.py or http://a.b/*.c",
            [("link", "http://a.b/*.py"), ("link", "http://a.b/*.c")],
        ),
        ("http://a.b/~~c~~/d ~~e~~", [("link", "http://a.b/~~c~~/d"), ("strike", "e")]),
        (
            "**http://a.b/_c_/d**: _e_",
            [("bold", "http://a.b/_c_/d"), ("link", "http://a.b/_c_/d"), ("italic", "e")],
        ),
        ("**http://a.b/c**和", [("bold", "http://a.b/c")]),
        ("[http://a.b/_c_/d](http://e.f/_g_/h)", [("link", "http://a.b/_c_/d")]),
        (
            "<http://a.b/_c_/d> `http://a.b/_c_/d`",
            [("link", "http://a.b/_c_/d"), ("code", "http://a.b/_c_/d")],
        ),
        ("http://a.b/_c_/d \x01", [("italic", "c")]),
        ("[a](http://b.c/ü d)", [("link", "http://b.c/ü")]),
        ("[a](javascript:x)", []),
    ],
)
def test_styles(source, expected):
    found = spans(parse(source))
    assert sorted(expected) == sorted(found)


@pytest.mark.parametrize(
    ("source", "text", "hidden"),
    [
        ("a ||b c|| d", "a b c d", ["b c"]),
        ("||a|| and ||b||", "a and b", ["a", "b"]),
        ("||a **b** c||", "a b c", ["a b c"]),
        ("**a ||b|| c** ||d||", "a b c d", ["b", "d"]),
        ("- ||a||\n- b", "• a\n• b", ["a"]),
        ("||这||吗", "这吗", ["这"]),
        ("||a\nb||", "a\nb", ["a\nb"]),
        ("if a || b || c", "if a || b || c", []),
        ("a||b||c", "a||b||c", []),
        ("|| a ||", "|| a ||", []),
        ("\\||a||", "||a||", []),
        ("`||a||` ||b||", "||a|| b", ["b"]),
        ("```\n||a||\n```", "||a||", []),
        ("**a ||b** c||", "a ||b c||", []),
        ("a ||b||\n\n## `c||d` ||e||", "a b\n\nc||d e", ["b", "e"]),
        ("||||", "||||", []),
        ("||a||", "a", ["a"]),
        ("|a|b|\n|-|-|\n|c||\n||d|", "a | b\n--+--\nc |\n  | d", []),
    ],
)
def test_two_bars_hide_what_they_hold(source, text, hidden):
    document = parse(source)
    assert text == document.text
    assert hidden == [words for style, words in spans(document) if style == "spoiler"]


def test_what_stands_behind_a_spoiler_keeps_its_places():
    source = "> ||a|| *b* [c](http://d.e) ||`f`|| ![g](http://h.i)\n\nend"
    document = parse(source)
    assert "a b c f g\nend" == document.text
    assert [
        ("quote", "a b c f g"),
        ("spoiler", "a"),
        ("italic", "b"),
        ("link", "c"),
        ("spoiler", "f"),
        ("code", "f"),
        ("link", "g"),
    ] == spans(document)
    assert [(8, "image shown as a link")] == [*document.degraded]
    for sign in "bcg":
        assert sign == source[document.source_at(document.text.index(sign)) :].lstrip("*[!|`")[0]
    assert source.index("end") == document.source_at(document.text.index("end"))


def test_an_address_is_made_safe():
    [link] = parse("[a](<http://b.c/d e|f>)").spans
    assert "http://b.c/d%20e%7Cf" == link.value


def test_a_long_address_is_written_out():
    document = parse(f"[a](http://b.c/{'x' * 1000})")
    assert document.text.startswith("a (http://b.c/xxx")
    assert ("link written out",) == document.degraded_in(0, len(document.text))


def test_a_table_is_aligned_by_what_its_characters_take():
    document = parse(
        "| a | 価格 | c |\n|:-|-:|:-:|\n| 猫 | 1 | *x* |\n| `é` | 22 | [y](http://z.q) |"
    )
    lines = ["a  | 価格 |        c", "---+------+-----------------"]
    lines += ["猫 |    1 |        x", "é  |   22 | y (http://z.q)"]
    [table] = document.blocks
    seen = document.text.split("\n")
    assert (Kind.TABLE, lines[2:]) == (table.kind, [lines[2], seen[3].rstrip()])
    assert seen[2].startswith("猫 |    1 |")
    assert len(seen[0].split("|")) == 3
    assert document.text[table.body :].startswith("猫")
    assert not document.spans
    assert "table shown in monospace" in document.degraded_in(0, 1)


def test_a_table_whose_only_row_is_empty_keeps_its_header():
    document = parse("x\n\n| head |\n|---|\n| |\n\ny")
    assert ["x", "head", "----", "", "y"] == document.text.split("\n")


def test_what_a_table_loses_is_said_of_its_row():
    document = parse("| a | b |\n|---|---|\n| c | d |\n| [e](http://f.g) | h |")
    place = document.text.index("e (http")
    assert ("link written out",) == document.degraded_in(place, place + 1)
    assert () == document.degraded_in(1, place)


@pytest.mark.parametrize("source", ["a\n\n![]()", "![]()\n\na", "> a\n\n[![]()]()"])
def test_an_image_of_nothing_is_not_there_and_loses_nothing(source):
    document = parse(source)
    assert ("a", ()) == (document.text, document.degraded)


def test_bars_in_raw_html_hide_too():
    document = parse("<div>||so||</div>")
    assert ("<div>so</div>", [("spoiler", "so")]) == (document.text, spans(document))


def test_two_bars_of_which_one_is_escaped_hide_nothing():
    assert "a |||b|| c" == parse(r"a |\||b|| c").text


def test_rows_behind_a_spoiler_are_found_in_the_source():
    cells = " ".join(f"word{n}" for n in range(20))
    source = f"||hidden||\n\n| a | b |\n|---|---|\n| {cells} | end |"
    document = parse(source)
    for word in ("word7", "end"):
        assert source.index(word) == document.source_at(document.text.index(word))


@pytest.mark.parametrize(
    "source", ["one ||é two|| three ||a four|| five", "**||one two||** ||a|| three"]
)
def test_words_behind_bars_are_found_in_the_source(source):
    document = parse(source)
    for word in {"two", "three", "four", "five"} & {*document.text.split()}:
        assert source.index(word) == document.source_at(document.text.index(word))


def test_a_part_that_begins_with_what_is_hidden_begins_with_its_bars():
    source = "one ||two|| three"
    document = parse(source)
    assert source.index("||two") == document.source_at(document.text.index("two"))


def test_an_address_that_stands_for_an_image_is_not_escaped_by_another_text():
    assert ["x"] == [text for style, text in spans(parse(r"![](||x||) \a")) if style == "spoiler"]


def test_code_with_as_many_more_as_fewer_characters_is_found_in_the_source():
    """A tab is shown as three more, and each of three characters is dropped."""
    source = "```\na\tb\u2028c\u2028d\u2028e\n```"
    document = parse(source)
    for letter in "bcde":
        assert source.index(letter) == document.source_at(document.text.index(letter))


def test_a_row_that_many_parts_are_cut_from_is_laid_out_once():
    document = parse(f"| a | b |\n|---|---|\n| {'word ' * 200} | c |\n| {'d ' * 200} | e |")
    asked = []

    def counted(row):
        start, end, known = row
        return start, end, lambda: asked.append(row) or known()

    document = attrs.evolve(document, rows=tuple(map(counted, document.rows)))
    for place in range(len(document.text)):
        document.source_at(place)
    assert len(document.rows) == len(asked)


def test_a_place_within_a_character_is_that_characters():
    """In code, places behind dropped characters are known to the number of its backticks."""
    source = "``\u2028\u2028é\u2028漢`字``"
    document = parse(source)
    places = [document.source_at(place) for place in range(len(document.text))]
    assert places == sorted(places)


def test_blocks_tell_what_they_are():
    source = "## H\n\n> q\n\n1. a\n   - b\n\n```js x\ncode\n```\n\n---"
    found = [
        (b.kind.value, b.level, b.language, b.quote, b.depth, b.marker)
        for b in parse(source).blocks
    ]
    assert [
        ("heading", 2, "", 0, 0, ""),
        ("paragraph", 0, "", 1, 0, ""),
        ("paragraph", 0, "", 0, 1, "1. "),
        ("paragraph", 0, "", 0, 2, "• "),
        ("code", 0, "js", 0, 0, ""),
        ("rule", 0, "", 0, 0, ""),
    ] == found


@pytest.mark.parametrize("lead", ["", "é😀\n\n"])
@pytest.mark.parametrize(
    "source",
    [
        "word **bold** end",
        "# h\n\nend",
        "- a\n- **b** end",
        "`c` &amp; end",
        "```\nx\n```\nend",
        "> q\n> end",
    ],
)
def test_places_are_known_in_the_source(lead, source):
    source = lead + source
    document = parse(source)
    assert source.index("end") == document.source_at(document.text.index("end"))


def test_a_block_begins_in_the_source_with_its_marker():
    source = "a\n\n- b\n\n> # c\n\n```py\nd\n```"
    document = parse(source)
    starts = [source[document.source_at(block.start) :][:4] for block in document.blocks]
    assert ["a\n\n-", "- b\n", "> # ", "```p"] == starts


def test_spans_of_a_stretch_are_clipped():
    document = parse("**bold** *italic*")
    found = [(s.start, s.end, s.style) for s in document.spans_in(2, 8)]
    assert [(0, 2, Style.BOLD), (3, 6, Style.ITALIC)] == found


def test_what_lies_before_the_first_block_is_in_none():
    assert parse("").block_at(0) is None
    assert "" == parse("a").header_at(0)


MARKS = "*_`~[]()<>!#->|\\\n \t1.a\r\ud800\u202e"


@given(st.text(max_size=200) | st.text(alphabet=MARKS, max_size=80))
def test_any_text_can_be_parsed(source):
    document = parse(source)
    cleaned = source.translate(dict.fromkeys([*range(0x20), 0x7F, *range(0x2028, 0x202F)]))
    assert bool(document.text.strip()) == bool(cleaned.strip())
    places, origins = document.trace
    assert [*places] == sorted(places)
    assert len(origins) <= len(places)
    assert all(0 <= s.start < s.end <= len(document.text) for s in document.spans)
    edges = [edge for b in document.blocks for edge in (b.start, b.end)]
    assert edges == sorted(edges)
    assert 0 <= document.source_at(len(document.text)) <= len(source)
