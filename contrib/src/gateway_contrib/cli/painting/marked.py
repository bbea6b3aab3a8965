"""Draws lines as HTML, about as a client shows the message, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from gateway_contrib.cli.painting.seen import Line, Run

STYLE = """
.said { overflow-wrap: anywhere; white-space: pre-wrap }
.said > div, .said blockquote > div { min-height: 1.45em }
.said .h1 { font-size: 1.5em } .said .h2 { font-size: 1.3em } .said .h3 { font-size: 1.15em }
.said .h1, .said .h2, .said .h3, .said b { font-weight: 700 }
.said pre { font: 12px/1.4 ui-monospace, monospace; background: #f2f3f5; border: 1px solid #ddd;
  border-radius: .4rem; margin: .2rem 0; padding: .3rem .5rem; white-space: pre-wrap;
  direction: ltr; text-align: left }
.said pre i { float: right; color: #888; font-style: normal; padding-left: .5rem }
.said code { font: 12px ui-monospace, monospace; background: #f2f3f5; border-radius: .2rem;
  padding: 0 .2rem }
.said blockquote { border-inline-start: 3px solid #b9c2cc; margin: 0;
  padding-inline-start: .5rem }
.said .link { color: #1a66c2; text-decoration: underline }
.said .mention { background: #e3ebff; color: #3b4cca }
.said .spoiler { background: #c9ccd1; color: #c9ccd1 } .said .spoiler:hover { color: inherit }
"""
_TAGS = {
    "bold": "b",
    "italic": "i",
    "strike": "s",
    "underline": "u",
    "code": "code",
    "link": 'span class="link"',
    "mention": 'span class="mention"',
    "spoiler": 'span class="spoiler"',
}


def marked(lines: Sequence[Line]) -> str:
    """The lines as HTML; everything in them is escaped."""
    return f'<div class="said" dir="auto">{_quoted(lines)}</div>'


def _quoted(lines: Sequence[Line]) -> str:
    pieces = []
    for quote, group in groupby(lines, lambda line: line.quote):
        inner = _blocks(list(group))
        pieces.append(f"<blockquote>{inner}</blockquote>" if quote else inner)
    return "".join(pieces)


def _blocks(lines: Sequence[Line]) -> str:
    pieces = []
    for code, group in groupby(lines, lambda line: line.code):
        found = list(group)
        pieces += [_code(found)] if code else [_line(line) for line in found]
    return "".join(pieces)


def _code(lines: Sequence[Line]) -> str:
    language = f"<i>{escape(lines[0].language)}</i>" if lines[0].language else ""
    return f"<pre>{language}{escape(chr(10).join(line.text for line in lines))}</pre>"


def _line(line: Line) -> str:
    name = f' class="h{line.heading}"' if line.heading else ""
    hang = "1.2em" if line.marker else "0"
    indent = f' style="padding-inline-start:{1.2 * line.indent:g}em;text-indent:-{hang}"'
    indent = indent if line.indent else ""
    return f"<div{name}{indent}>{escape(line.marker)}{''.join(map(_run, line.runs))}</div>"


def _run(run: Run) -> str:
    text = escape(run.text)
    for name in sorted(run.styles & _TAGS.keys()):
        tag = _TAGS[name]
        text = f"<{tag}>{text}</{tag.split(maxsplit=1)[0]}>"
    return text
