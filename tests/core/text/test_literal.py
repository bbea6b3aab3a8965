"""Plain texts: every character is itself, and none shows the others otherwise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway_core.text import Style, literal, neutral

ODD = st.text(alphabet=st.sampled_from("ab *_<\t\n\r\x00\x07\x7f\u2028\u202b\u202e\u200d👩é"))


def test_control_characters_are_spaces_and_turns_of_direction_are_gone():
    assert "a b\tc\nd e" == neutral("a\x07b\tc\r\nd\x7f\u202ee\u2028")


def test_markup_is_text_and_an_address_is_a_link():
    document = literal("*a* `b` https://x.example/a_b.")
    assert "*a* `b` https://x.example/a_b." == document.text
    [link] = document.spans
    assert (8, 29, Style.LINK, "https://x.example/a_b") == link


def test_of_nothing_there_is_no_block():
    assert ("", ()) == (literal("\r").text, literal("\r").blocks)


@given(ODD)
def test_every_character_knows_where_it_came_from(source):
    document = literal(source)
    for place, sign in enumerate(document.text):
        assert sign == neutral(source[document.source_at(place) :])[0]


@given(ODD)
def test_what_is_neutral_stays_as_it_is(source):
    assert neutral(source) == neutral(neutral(source))
