"""What is shown of half a construct, one by one."""

from __future__ import annotations

import pytest

from gateway_core.text import healed

ROWS = "\n".join(["| a | b |", "|--|--|", *["| c | d |"] * 200])
WHOLE = None
"""Shown as it is."""


def check(source: str, expected: str | None) -> None:
    assert (source if expected is WHOLE else expected) == healed(source)
    assert healed(source) == healed(healed(source))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("**bold", "**bold**"),
        ("**bold*", "**bold**"),
        ("**bold **", "**bold**"),
        ("**bold** and *it", "**bold** and *it*"),
        ("***both", "***both***"),
        ("**bold *it", "**bold *it***"),
        ("*italic **bold*", "*italic **bold***"),
        ("_it", "_it_"),
        ("~~gone", "~~gone~~"),
        ("~~gone~", "~~gone~~"),
        ("||hidden", "||hidden||"),
        ("||hidden|", "||hidden||"),
        ("a ||", "a"),
        ("a **", "a"),
        ("a *", "a"),
        ("这是**重", "这是**重**"),
        ("# A **bold", "# A **bold**"),
        ("> one\n> *two", "> one\n> *two*"),
        ("- [ ] **x", "- [ ] **x**"),
        ("5 * 3", WHOLE),
        ("2**3", WHOLE),
        ("2*3", WHOLE),
        ("*.py", WHOLE),
        ("snake_case", WHOLE),
        ("a || b", WHOLE),
        ("~5 minutes", WHOLE),
        ("\\*a", WHOLE),
        ("https://a.b/*c_d", WHOLE),
        ("**a：**b", WHOLE),  # Markdown takes the second stars for no end
        ("price*", WHOLE),
        ("**", ""),
        ("**![", ""),
    ],
)
def test_styles(source, expected):
    check(source, expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a `co", "a `co`"),
        ("a `**co", "a `**co`"),
        ("**b `co", "**b `co`**"),
        ("``a`b", "``a`b``"),
        ("``a`", "``a``"),
        ("`a``", "`a`"),
        ("a `", "a"),
        ("a ``", "a"),
        ("`` `a` ``", WHOLE),
        ("`C:\\", "`C:\\`"),
        ("`a` and `b` *c", "`a` and `b` *c*"),
    ],
)
def test_code(source, expected):
    check(source, expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a\n\n```", "a"),
        ("a\n\n```py", "a"),
        ("a\n\n```py\n", "a"),
        ("```py\nx", "```py\nx\n```"),
        ("```py\nx\n\n", "```py\nx\n```"),
        ("```py\nx\n`", "```py\nx\n```"),
        ("```py\nx\n``", "```py\nx\n```"),
        ("```py\n``", ""),
        ("```py\nx\n```", WHOLE),
        ("```py\n**x\n```\n*a", "```py\n**x\n```\n*a*"),
        ("````md\n```py\nx\n```", "````md\n```py\nx\n````"),
        ("~~~\nx\n```", "~~~\nx\n```\n~~~"),
        ("> - ```py\n>   x", "> - ```py\n>   x\n>   ```"),
        ("> - ```py\n>   x\n>   `", "> - ```py\n>   x\n>   ```"),
        ("> - ```py\n>   x\n>   ```", WHOLE),
        ("> - ```py", ""),
        ("1. a\n   ```\n   x", "1. a\n   ```\n   x\n   ```"),
        ("1. a\n   ```\n   x\n   ```\n   *b", "1. a\n   ```\n   x\n   ```\n   *b*"),
        ("- ```\n  x\n\nafter *b", "- ```\n  x\n\nafter *b*"),
        ("- ```\n  x\n- *b", "- ```\n  x\n- *b*"),
        (" ```\nx\n```\n*b", " ```\nx\n```\n*b*"),
        (" ```\nx", " ```\nx\n ```"),
        ("    x = **y", WHOLE),
    ],
)
def test_fences(source, expected):
    check(source, expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("see [the", "see the"),
        ("see [the **b", "see the **b**"),
        ("**[the", "**the**"),
        ("[a](", "a"),
        ("[a](http://ex", "a"),
        ("[a](<http://ex", "a"),
        ('[a](http://ex "ti', "a"),
        ("[a](http://b.c/d_(e", "a"),
        ("[a](http://b.c/d_(e)", "a"),
        ("[**a** b](h", "**a** b"),
        ("x ![a](h", "x a"),
        ("x ![](h", "x"),
        ("[![a](http://b.c)](h", "![a](http://b.c)"),
        ("[a][re", "a"),
        ("[a](http://b.c)", WHOLE),
        ("[a] (b", WHOLE),
        ("x[i", WHOLE),
        ("x[i]", WHOLE),
        ("f [1", "f"),
        ("f [1]", WHOLE),
        ("f [^no", "f"),
        ("f [sic]", WHOLE),
        ("<http://ex", "http://ex"),
        ("a <ht", "a"),
        ("a <kb", "a"),
        ("a <b@c.d", "a b@c.d"),
        ("a <kbd>C", WHOLE),
        ("List<int", WHOLE),
        ("a <3", WHOLE),
        ("see http://ex", WHOLE),
        ("x\n\n[a]: ht", "x"),
        ("x\n\n[a]: http://b.c", WHOLE),
    ],
)
def test_links(source, expected):
    check(source, expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x\n\n|", "x"),
        ("x\n\n| a | b |", "x"),
        ("x\n\n| a | b |\n", "x"),
        ("x\n\n| a | b |\n|--", "x"),
        ("x\n\n| a | b |\n|--|", "x"),
        ("| a | b |\n|--|--|", WHOLE),
        ("| a | b |\n|--|--|\n| c", "| a | b |\n|--|--|"),
        ("| a | b |\n|--|--|\n| c |", "| a | b |\n|--|--|"),
        ("| a | b |\n|--|--|\n| c | d |", WHOLE),
        ("| a | b |\n|--|--|\n| c | d |\n| e", "| a | b |\n|--|--|\n| c | d |"),
        ("| a | b |\n|--|--|\n| c\n", "| a | b |\n|--|--|\n| c | |"),
        ("| a | b |\n|--|--|\n| c \\|", "| a | b |\n|--|--|"),
        ("a | b\n-", "a | b"),
        ("a | b\n--|", "a | b"),
        ("a | b\n--|--\nc | d", WHOLE),
        ("> | a |\n> |--|\n> | b", "> | a |\n> |--|"),
        ("- x\n  | a | b", "- x"),
        (f"{ROWS}\n| e", ROWS),
        ("a |", "a"),
    ],
)  # fmt: skip
def test_tables(source, expected):
    check(source, expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a\n-", "a"),
        ("a\n- ", "a"),
        ("- a\n-", "- a"),
        ("- a\n  -", "- a"),
        ("a\n\n1.", "a"),
        ("1. a\n2", "1. a"),
        ("1. a\n2.", "1. a"),
        ("1. a\n\n2", "1. a"),
        ("9. a\n1", "9. a"),
        ("a\n1999.", WHOLE),
        ("It is\n\n42", WHOLE),
        ("a\n>", "a"),
        ("> a\n>", "> a"),
        ("a\n> - ", "a"),
        ("a\n\n##", "a"),
        ("a\n--", "a"),
        ("a\n==", "a"),
        ("a\n\n--", "a"),
        ("a\n\n---", WHOLE),
        ("a\n\n***", "a"),
        ("a\n\n***\n", "a\n\n* * *"),
        ("- [", ""),
        ("- [x", ""),
        ("- [x]", ""),
        ("- a\n\n![", "- a"),
        ("-\n-\n-\n**", ""),
    ],
)
def test_markers(source, expected):
    check(source, expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a &am", "a"),
        ("a &#12", "a"),
        ("a &#x1F", "a"),
        ("a &amp;", WHOLE),
        ("b&lt", "b"),
        ("AT&T", WHOLE),
        ("a & b", WHOLE),
        ("a &nope", WHOLE),
        ("a \\", "a"),
        ("a \\\\", WHOLE),
        ("a 👩\u200d", "a"),
        ("a 👩", WHOLE),
        ("a 👩\u200d💻", WHOLE),
        ("a 🇫", "a"),
        ("a 🇫🇷", WHOLE),
        ("a 🇫🇷🇩", "a 🇫🇷"),
        ("a 1\ufe0f", "a"),
        ("a 1\ufe0f\u20e3", WHOLE),
        ("a 🏴\U000e0067\U000e0062", "a"),
        ("**👩\u200d", ""),
        ("क\u094d\u200d", WHOLE),  # joins letters, and ends words
        ("a \ud83d", WHOLE),
        ("**a \ud83d", "**a \ud83d**"),
        ("", ""),
        (" \n", ""),
        ("a \n\n", "a"),
    ],
    ids=ascii,
)
def test_ends(source, expected):
    check(source, expected)
