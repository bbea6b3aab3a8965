"""What notifies people, where a text is asked to: `<@U…>`, `<!here>`, `<!subteam^S…>`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from gateway_plugin_slack.leaves import Element, Leaves
from gateway_plugin_slack.sizes import CALL, Sizes

_CALL: Final = re.compile(
    r"<(?:@(?P<user>[UW][A-Z0-9]+)|!(?P<range>channel|here|everyone)"
    r"|!subteam\^(?P<group>S[A-Z0-9]+))(?:\|[^|<>]{0,80})?>"
)


class CallingLeaves(Leaves):
    """Leaves of a text whose calls are elements of their own; none in links and code is a call."""

    def between(self, start: int, end: int) -> list[Element]:
        """The elements of `start..end`."""
        return list(_with_calls(super().between(start, end)))

    def bold(self, start: int, end: int) -> list[Element]:
        """The elements of `start..end`, all of it bold as well."""
        return list(_with_calls(super().bold(start, end)))


def note_calls(text: str, sizes: Sizes) -> None:
    """Count what each call takes as an element of its own, and what stands behind it as another."""
    for found in _CALL.finditer(text):
        place = found.start()
        sizes.containers[place] = sizes.containers.get(place, 0) + CALL


def _with_calls(elements: Iterable[Element]) -> Iterator[Element]:
    for element in elements:
        if element["type"] == "link" or "code" in element.get("style", ()):
            yield element
        else:
            yield from _split(element)


def _split(element: Element) -> Iterator[Element]:
    """An element of text as its calls, and what stands between them in its style."""
    text, last = element["text"], 0
    for found in _CALL.finditer(text):
        if found.start() > last:
            yield _like(element, text[last : found.start()])
        yield _call(found)
        last = found.end()
    if last < len(text):
        yield _like(element, text[last:])


def _like(element: Element, text: str) -> Element:
    like = {**element, "text": text}
    if "style" in like:
        like["style"] = {**like["style"]}
    return like


def _call(found: re.Match[str]) -> Element:
    if found["user"]:
        return {"type": "user", "user_id": found["user"]}
    if found["group"]:
        return {"type": "usergroup", "usergroup_id": found["group"]}
    return {"type": "broadcast", "range": found["range"]}
