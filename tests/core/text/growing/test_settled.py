"""Which beginning of a growing text may be shown where nothing can be taken back."""

from __future__ import annotations

import pytest

from gateway_core.text import healed, settled

ANSWER = """# Title

Some **bold text**, some `code` and [a link](https://example.org/a(b)).

```python
def answer() -> int:
    return 42
```

| a | b |
| --- | --- |
| 1 | 2 |

1. one
2. two &amp; ~~three~~ ||four||
"""


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("plain words ", "plain words"),
        ("It is **bo", "It is"),
        ("It is **bold**", "It is **bold**"),
        ("It is **bold** and *it", "It is **bold** and"),
        ("**all of it is *open* and `it` goes", ""),
        ("see [a li", "see"),
        ("see [a link](https://x", "see"),
        ("`code", ""),
        ("one\n\n**two", "one"),
        ("```py\nfirst = 1\nsec", "```py\nfirst = 1"),
        ("before\n\n```py", "before"),
        ("before\n\n```py\nhalf", "before"),
        ("```\ncode\n```", "```\ncode\n```"),
        ("| a | b |", ""),
        ("- one\n- **two", "- one"),
        ("flag \U0001f1e9", "flag"),
    ],
)
def test_what_is_open_is_left_out(text, kept):
    assert kept == settled(text)


def test_it_is_a_beginning_that_healing_leaves_as_it_is_and_only_grows():
    longest = ""
    for end in range(len(ANSWER) + 1):
        kept = settled(ANSWER[:end])
        assert ANSWER.startswith(kept)
        assert kept == kept.rstrip()
        in_a_fence = kept.count("```") % 2
        assert in_a_fence or healed(kept) == kept
        if len(kept) > len(longest):
            assert kept.startswith(longest)
            longest = kept
    assert longest == ANSWER.rstrip()


@pytest.mark.parametrize("sign", ["**", "[", "`", "~~", "|", "<", "\\", "&"])
def test_many_signs_take_no_longer_than_a_bounded_look(sign):
    text = f"{sign}word " * 2_000
    assert text.startswith(settled(text))
