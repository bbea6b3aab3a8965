"""Renders styled text as a rich_text block: exact, without escapes or unasked notifications.

Of Slack's forms of text, rich_text keeps the most of the styles. `mrkdwn` formats at word
boundaries only, has no lists and must be escaped; `markdown_text` excludes `text`, which
notifications and screen readers need, and makes mentions of what a model wrote. A rich_text block
has nested lists, quotes, preformatted text and links with any style (docs.slack.dev, rich text
block). Headings are bold, tables are preformatted, task boxes and rules are characters.

All blocks of a message may have about 12,000 characters. Slack counts their containers in part
(github.com/slackapi/bolt-js/issues/2509, 2867), so this module measures the blocks' JSON.
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

    limit    the most that `measure` may say of the visible text, which is in `text` as well
    measure  measures the text as it is written in `text`
    fields   makes the other fields of a part's payload from the part's visible text
    space    most characters of the blocks' JSON
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
        """The measure of the text, or the JSON's share of `space` scaled to `limit`, if larger."""
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
            if sign in text:  # `in` costs a tenth of counting
                size += text.count(sign)
        return max(measured, -(-size * self.limit // self.space))

    def payload(self, start: int, end: int) -> Mapping[str, Any]:
        """`blocks`, and `text` for notifications and screen readers."""
        fields = self.fields(self._text(start, end))
        elements = self.written.between(start, end)
        return {**fields, "blocks": [{"type": "rich_text", "elements": elements}]}

    def _text(self, start: int, end: int) -> str:
        """The characters; if the part begins inside a table, the table's header comes first."""
        header = self.document.header_at(start) if start else ""
        return header + self.document.text[start:end]
