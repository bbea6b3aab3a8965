"""Makes mentions that an envelope allows: `<@U…>`, `<!here>`, `<!subteam^S…>`. Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from gateway_core.authors import Mentions
from gateway_core.text import Span
from gateway_plugin_slack.rendering.plain import calls, escape
from gateway_plugin_slack.rendering.runs import Element, Runs
from gateway_plugin_slack.rendering.sizes import MENTION, Sizes, size_of_style

_NATIVE_PING = re.compile(r"<(?P<call>[@!](?!date\^)[^<>\n]*+)(?P<end>>?)")

_MENTION: Final = re.compile(
    r"<(?:@(?P<user>[UW][A-Z0-9]+)|!(?P<range>channel|here|everyone)"
    r"|!subteam\^(?P<group>S[A-Z0-9]+))(?:\|[^|<>]{0,80})?>"
)


class MentioningRuns(Runs):
    """Runs of a text whose mentions are elements of their own, except in links and code.

    `containers` records the size of each mention, and of the text after it in the same style.
    """

    def __init__(
        self, text: str, spans: Iterable[Span], sizes: Sizes, mentions: Mentions = True
    ) -> None:
        super().__init__(text, spans, sizes)
        self.containers = sizes.containers
        self.mentions = mentions

    def between(self, start: int, end: int) -> list[Element]:
        """The elements of `start..end`."""
        return self._with_mentions(super().between(start, end), start)

    def bold(self, start: int, end: int) -> list[Element]:
        """The elements of `start..end`, all of it bold as well."""
        return self._with_mentions(super().bold(start, end), start)

    def _with_mentions(self, elements: Iterable[Element], place: int) -> list[Element]:
        """The elements with their mentions; the first element is at `place` in the text."""
        found: list[Element] = []
        for element in elements:
            if element["type"] == "link" or "code" in element.get("style", ()):
                found.append(element)
            else:
                found += self._split(element, place)
            place += len(element["text"])
        return found

    def _split(self, element: Element, place: int) -> Iterator[Element]:
        """Split an element of text into its mentions and the texts between them, in its style."""
        text, last = element["text"], 0
        size = MENTION + size_of_style(element.get("style", ()))
        for found in _MENTION.finditer(text):
            if not calls(self.mentions, found["user"] or found["range"] or found["group"]):
                continue
            if found.start() > last:
                yield _like(element, text[last : found.start()])
            yield _mention(found)
            last = found.end()
            at = place + found.start()
            self.containers[at] = self.containers.get(at, 0) + size
        if last < len(text):
            yield _like(element, text[last:])


def _like(element: Element, text: str) -> Element:
    like = {**element, "text": text}
    if "style" in like:
        like["style"] = {**like["style"]}
    return like


def _mention(found: re.Match[str]) -> Element:
    if found["user"]:
        return {"type": "user", "user_id": found["user"]}
    if found["group"]:
        return {"type": "usergroup", "usergroup_id": found["group"]}
    return {"type": "broadcast", "range": found["range"]}


def native(text: str, *, mentions: Mentions) -> str:
    """Slack's own markup as it is sent; mentions that `mentions` does not allow are only text."""
    if mentions is True:
        return text

    def silenced(found: re.Match[str]) -> str:
        if calls(mentions, found["call"].partition("|")[0]):
            return found[0]
        return f"&lt;{found['call']}{escape(found['end'])}"

    return _NATIVE_PING.sub(silenced, text)
