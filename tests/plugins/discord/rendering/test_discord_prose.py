"""A line of words is a message as it stands, and the same one that planning would make of it."""

from __future__ import annotations

import re
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from gateway_core import Send
from gateway_core.text import is_prose, parse, plan
from gateway_plugin_discord.rendering.document import Dialect
from gateway_plugin_discord.rendering.parts import _fields, parts_of

PROSE = st.from_regex(re.compile(r"[a-zß-öА-я漢𝐀][\w ,.!?'()%/+=;-]{0,60}"), fullmatch=True)


@given(PROSE.filter(is_prose), st.booleans(), st.booleans())
def test_a_line_of_words_is_planned_as_any_other_text_would_be(text, previews, mentions):
    where = {"instance_id": "bot", "external_room_id": "1"}
    envelope = Send(text=text, link_previews=previews, mentions=mentions, **where)
    fields = partial(_fields, envelope)
    parts = plan(parse(text), lambda d: Dialect(d, fields, previews, mentions), limit=2000)
    assert parts == parts_of(envelope, limit=2000)


@given(PROSE.filter(lambda text: is_prose(text) and len(text) > 8))
def test_one_that_is_too_long_is_cut(text):
    parts = parts_of(Send(instance_id="bot", external_room_id="1", text=text), limit=8)
    contents = [part.payload["content"] for part in parts]
    assert all(len(content.encode("utf-16-le")) <= 16 for content in contents)
    assert "".join(text.split()) == "".join("".join(contents).split())
