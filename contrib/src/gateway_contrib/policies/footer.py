"""Adds a line below each text, such as who wrote it."""

from __future__ import annotations

import re

import attrs

from gateway_core import Edit, Envelope, Send
from gateway_core.authors import hookimpl
from gateway_core.settings import must_be
from gateway_core.text import healed

_line = must_be("a text", lambda value: isinstance(value, str) and bool(value.strip()))
_none_or_line = attrs.validators.optional(_line)
_FENCE = re.compile(r"\n[> \t]*(?:`{3,}|~{3,})")


@attrs.define(eq=False)
class Footer:
    """Adds a line once below each text that is sent or edited, and each state of a stream.

    If a text ends within a code block, the block is closed before the line.

    text    the line, as Markdown
    plain   the line below plain texts; None: the same
    native  the line below texts in a platform's own markup; None: no line there
    """

    text: str = attrs.field(validator=_line)
    plain: str | None = attrs.field(default=None, kw_only=True, validator=_none_or_line)
    native: str | None = attrs.field(default=None, kw_only=True, validator=_none_or_line)

    @hookimpl
    def rewrite(self, envelope: Envelope) -> Envelope | None:
        """The envelope with the line at the end of its text."""
        if not isinstance(envelope, Send | Edit) or not envelope.text.strip():
            return None
        line = self._line_of(envelope.format)
        if line is None or envelope.text.endswith(f"\n\n{line}"):
            return None
        above = envelope.text.rstrip()
        if envelope.format == "markdown":
            above = _with_fence_closed(above)
        return attrs.evolve(envelope, text=f"{above}\n\n{line}")

    def _line_of(self, format_: str) -> str | None:
        plain = self.text if self.plain is None else self.plain
        return {"native": self.native, "plain": plain}.get(format_, self.text)


def _with_fence_closed(text: str) -> str:
    """The Markdown with the fence of its last code block closed."""
    shown = healed(text)
    is_open = shown.startswith(text) and _FENCE.fullmatch(shown, len(text))
    return shown if is_open else text
