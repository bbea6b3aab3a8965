"""Styled text as a rich_text block: exact styles, nothing to escape, nothing that pings by itself.

Of Slack's forms this keeps most. `mrkdwn` formats at word boundaries only, has no lists and must be
escaped; `markdown_text` excludes `text`, which notifications and screen readers want, and makes
mentions of what a model wrote. A rich_text block has nested lists, quotes, preformatted text and
links with any style (docs.slack.dev, rich text block). Headings are bold, tables preformatted,
task boxes and rules characters.

All blocks of a message may have about 12,000 characters, their containers counted in part
(github.com/slackapi/bolt-js/issues/2509, 2867), so what is measured here is the blocks' JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway_core.authors import Mentions
from gateway_core.text import Document
from gateway_plugin_slack.rendering.sizes import Tally
from gateway_plugin_slack.rendering.written import Written

MOST_JSON: Final = 12_000


class RichText:
    """One document as Slack shows it; a `Rendering` of gateway_core.text.

    limit    what `measure` of the visible text may be: it stands in `text` as well
    measure  of the text as it is written there
    fields   what every part's payload has besides, made from its visible text
    space    characters that the JSON of the blocks may have
    """

    def __init__(
        self,
        document: Document,
        limit: int,
        measure: Callable[[str], int],
        fields: Callable[[str], Mapping[str, Any]],
        mentions: Mentions = False,
        space: int = MOST_JSON,
    ) -> None:
        self.document, self.limit, self.measure, self.fields = document, limit, measure, fields
        self.space = space
        self.written = Written(document, mentions)
        self.sizes = self.written.sizes
        self.tally = Tally(document.text, measure)

    def cost(self, start: int, end: int) -> int:
        """The measure of the text, or the share of the blocks' JSON, whichever is nearer."""
        header = self.document.header_at(start) if start else ""
        measured, length = self.tally.between(start, end), end - start
        if header:
            measured += self.measure(header)
            length += len(header)
        whole = end - start == len(self.document.text)
        size = length + (self.sizes.before(end) if whole else self.sizes.between(start, end))
        if (size + length) * self.limit <= measured * self.space:
            return measured  # even with a backslash before each character
        text = header + self.document.text[start:end]
        for sign in '\n\t"\\':
            if sign in text:  # to ask costs a tenth of counting
                size += text.count(sign)
        return max(measured, -(-size * self.limit // self.space))

    def payload(self, start: int, end: int) -> Mapping[str, Any]:
        """`blocks`, and `text` for notifications and screen readers."""
        fields = self.fields(self._text(start, end))
        elements = self.written.between(start, end)
        return {**fields, "blocks": [{"type": "rich_text", "elements": elements}]}

    def _text(self, start: int, end: int) -> str:
        """The characters, behind the header again where a part begins inside a table."""
        header = self.document.header_at(start) if start else ""
        return header + self.document.text[start:end]
