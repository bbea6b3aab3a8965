"""Markup thrown together: what no person writes, and a parser must still read as it was meant."""

from __future__ import annotations

import random

PIECES = [
    "**bold**", "*it*", "~~gone~~", "`co*de`", "||no||", "snake_case_word", "2*3*4", "x < y > z",
    "a\\*b", "[a](https://x.example/a_(b))", "https://x.example/a_b?c=d", "<https://y.example>",
    "@everyone", "<@123456789012345678>", "<#1>", ":tada:", "<t:1:R>", "# no", "- no", "> no",
    "1. no", "**a *b* c**", "***both***", "_under_ __score__", "``a`b``", "汉字**强调**文字",
    "שלום", "👨‍👩‍👧", "e\u0301", "~", "|", "||", "**", "*", "_", "`", "[", "](", "\\", "<", ">",
    "&amp;", "!",
]  # fmt: skip
FRAMES = [
    "{}", "{}", "{}", "> {}", "- {}", "1. {}", "## {}", "- [x] {}", "```py\n{}\n```",
    "|a|b|\n|-|-|\n|{}|c|",
]  # fmt: skip


def mixed(rng: random.Random) -> str:
    """One to four blocks of such pieces."""

    def words() -> str:
        return rng.choice([" ", " ", ""]).join(rng.choices(PIECES, k=rng.randint(1, 7)))

    return "\n\n".join(rng.choice(FRAMES).format(words()) for _ in range(rng.randint(1, 4)))
