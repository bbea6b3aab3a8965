"""How the messages of core speak: whoever gets one line at night understands it at once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

CORE = Path(__file__).parents[1] / "core/src/gateway_core"


class Odd(NamedTuple):
    """Words that need a second reading."""

    pattern: str
    better: str
    example: str


ODD = (
    Odd(r"(?<!there )\bis no (?!longer\b)", "is not a", "'x' is no path"),
    Odd(r"\bis there (twice|already)\b", "is configured twice, exists already", "is there twice"),
    Odd(r"\bstands? (there|beside|in quotes)\b", "be given together with", "must stand beside `x`"),
    Odd(r"\bis (the|a|another) \w+'s\b", "put the owner first: another process owns …",
        "account bot is another process's by now"),
    Odd(r"\bbelongs? into\b", "belongs in", "it belongs into the table"),
    Odd(r"\bsays? not\b", "does not say", "says not what to do"),
    Odd(r"\b(is|are) \w+ no more\b", "is not … any more", "its ending is remembered no more"),
    Odd(r"; there are …", "; the settings here are …", "is not a setting; there are …"),
    Odd(r"\bat most, not\b", "at most … bytes, not", "has … bytes at most, not …"),
    Odd(r"\bso (large|far)\b", "too large, that far", "not a number so large"),
    Odd(r"\bof no use\b", "cannot be used", "are of no use to this outbox"),
    Odd(r"\bnot of the\b", "not from the", "HTTP …, not of the platform: …"),
    Odd(r"\bbe (told|had)\b", "be reported, be available", "endings after … cannot be told"),
    Odd(r"\bone of both\b", "only one of them", "which take it: give one of both"),
    Odd(r"\bwhat (had|is sent|stands|waits)\b", "a noun: a message that …",
        "not done within … s; what had not started is withdrawn"),
    Odd(r"\b(answers|has|takes) none\b", "the noun again: takes no files", "files: it takes none"),
    Odd(r"\bbehind it\b", "after it", "put the poll behind it"),
)  # fmt: skip
"""Each with better words, and with a message that had it."""


class Message(NamedTuple):
    """A text of the code that somebody may read, and where it is."""

    place: str
    text: str


@cache
def messages() -> tuple[Message, ...]:
    """Every literal of several words that is no docstring, with `…` for what is filled in."""
    return tuple(found for path in sorted(CORE.rglob("*.py")) for found in messages_of(path))


def messages_of(path: Path) -> Iterator[Message]:
    """Those of one file."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    apart = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            apart |= {id(inner) for value in node.values for inner in ast.walk(value)}
    for node in nodes:
        text = "" if id(node) in apart else text_of(node)
        if " " in text.strip():
            yield Message(f"{path.relative_to(CORE)}:{node.lineno}", text)


def text_of(node: ast.AST) -> str:
    """The text of a literal; empty: it is none."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=values):
            return "".join(text_of(value) or "…" for value in values)
    return ""


@pytest.mark.parametrize("odd", ODD, ids=[odd.example for odd in ODD])
def test_no_message_of_core_needs_a_second_reading(odd):
    assert re.search(odd.pattern, odd.example)
    found = [message for message in messages() if re.search(odd.pattern, message.text)]
    assert not found, f"say rather {odd.better!r}: {found}"


def test_all_messages_are_looked_at():
    """Plain ones, those with fields, and those in several lines; a docstring is none."""
    texts = {message.text for message in messages()}
    assert "is configured twice" in texts
    assert "… is not a regular file any more" in texts
    assert "interaction.token" not in texts
    assert any(text.startswith("this gateway was open when the process forked") for text in texts)
    assert not any(text.startswith("Raises `PluginError`") for text in texts)
