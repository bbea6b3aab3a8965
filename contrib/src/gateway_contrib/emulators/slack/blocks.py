"""Refuses blocks as Slack does, and reads the text that they show (docs.slack.dev, block kit)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway_contrib.emulators.slack import rich_text
from gateway_contrib.emulators.slack.files.stored import Files, pictures
from gateway_contrib.emulators.slack.markup import calls, shown
from gateway_contrib.emulators.slack.refusals import Refusal

MOST_BLOCKS = 50
MOST_ALT = 2_000
MOST_URL = 3_000
MOST_TEXT = 13_200
"""Most characters in all blocks; above that, Slack was seen to answer `msg_blocks_too_long`."""

TYPES = frozenset(
    {
        "actions",
        "alert",
        "call",
        "card",
        "carousel",
        "context",
        "context_actions",
        "divider",
        "file",
        "header",
        "image",
        "input",
        "markdown",
        "plan",
        "rich_text",
        "section",
        "table",
        "task_card",
        "video",
    }
)


def check(blocks: Any, files: Files) -> None:
    """Refuse what Slack refuses: wrong forms, numbers or lengths, and pictures it cannot show."""
    if not isinstance(blocks, list):
        raise Refusal("invalid_blocks_format")
    if len(blocks) > MOST_BLOCKS:
        raise Refusal("invalid_blocks", f"no more than {MOST_BLOCKS} items allowed [json-pointer:]")
    for index, block in enumerate(blocks):
        _check(f"/blocks/{index}", block)
        for image in pictures(block):
            _check_image(f"/blocks/{index}", image, files)
    if sum(map(len, _texts(blocks))) > MOST_TEXT:
        raise Refusal("msg_blocks_too_long")


def _check(place: str, block: Any) -> None:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if not isinstance(kind, str) or kind not in TYPES:
        raise Refusal("invalid_blocks", f"unsupported type: {kind} [json-pointer:{place}/type]")
    check = _CHECKS.get(kind)
    if check is not None:
        check(place, block)


def _check_image(place: str, image: Mapping[str, Any], files: Files) -> None:
    """Check an image of a block: it has an address, or is a file that is shared somewhere."""
    alt, url, file = (image.get(name) for name in ("alt_text", "image_url", "slack_file"))
    if not isinstance(alt, str) or not alt:
        raise _invalid(f"missing required field: alt_text [json-pointer:{place}/alt_text]")
    if len(alt) > MOST_ALT:
        words = f"must be less than {MOST_ALT + 1} characters"
        raise _invalid(f"{words} [json-pointer:{place}/alt_text]")
    if file is not None:
        if files.usable(file) is None:
            raise _invalid(f"invalid slack file [json-pointer:{place}/slack_file]")
        return
    if not isinstance(url, str) or not url:
        raise _invalid(f"missing required field: image_url [json-pointer:{place}/image_url]")
    if len(url) > MOST_URL:
        words = f"must be less than {MOST_URL + 1} characters"
        raise _invalid(f"{words} [json-pointer:{place}/image_url]")
    if not url.startswith(("https://", "http://")):
        raise _invalid(f"invalid_url [json-pointer:{place}/image_url]")
    if url in files.broken:
        raise _invalid(f"downloading image failed [json-pointer:{place}/image_url]")


def _invalid(words: str) -> Refusal:
    """A refusal with its words twice, as in Slack: in a field of their own and in the messages."""
    return Refusal("invalid_blocks", words, errors=[words])


def _section(place: str, block: Mapping[str, Any]) -> None:
    if "text" in block:
        _text(f"{place}/text", block["text"], 3000)
    elif not block.get("fields"):
        raise Refusal("invalid_blocks", f"must define text or fields [json-pointer:{place}]")
    _many(f"{place}/fields", block.get("fields") or [], 10)
    for index, field in enumerate(block.get("fields") or []):
        _text(f"{place}/fields/{index}", field, 2000)


def _header(place: str, block: Mapping[str, Any]) -> None:
    _text(f"{place}/text", block.get("text"), 150, ("plain_text",))


def _actions(place: str, block: Mapping[str, Any]) -> None:
    elements = block.get("elements")
    if not isinstance(elements, list) or not elements:
        raise Refusal("invalid_blocks", f"no items [json-pointer:{place}/elements]")
    _many(f"{place}/elements", elements, 25)
    for at, element in enumerate(elements):
        if isinstance(element, Mapping) and element.get("type") == "button":
            _button(f"{place}/elements/{at}", element)
    names = [element.get("action_id") for element in elements if isinstance(element, Mapping)]
    twice = next((name for name in names if name is not None and names.count(name) > 1), None)
    if twice is not None:
        words = f"`action_id` must be unique within a block: {twice}"
        raise Refusal("invalid_blocks", f"{words} [json-pointer:{place}/elements]")


def _button(place: str, button: Mapping[str, Any]) -> None:
    _text(f"{place}/text", button.get("text"), 75, ("plain_text",))
    for name, most in (("value", 2000), ("url", MOST_URL), ("action_id", 255)):
        text = button.get(name)
        if isinstance(text, str) and len(text) > most:
            words = f"must be less than {most + 1} characters [json-pointer:{place}/{name}]"
            raise Refusal("invalid_blocks", words)
    if button.get("style") not in (None, "primary", "danger"):
        raise Refusal("invalid_blocks", f"unsupported style [json-pointer:{place}/style]")


def _many(place: str, items: Any, most: int) -> None:
    if not isinstance(items, list) or len(items) > most:
        raise Refusal("invalid_blocks", f"no more than {most} items allowed [json-pointer:{place}]")


def _text(
    place: str, text: Any, most: int, kinds: tuple[str, ...] = ("mrkdwn", "plain_text")
) -> None:
    words = text.get("text") if isinstance(text, Mapping) else None
    if not isinstance(words, str) or not words or text.get("type") not in kinds:
        raise Refusal("invalid_blocks", f"missing required field: text [json-pointer:{place}]")
    if len(words) > most:
        raise Refusal(
            "invalid_blocks", f"must be less than {most + 1} characters [json-pointer:{place}/text]"
        )


_CHECKS: Mapping[str, Callable[[str, Mapping[str, Any]], None]] = {
    "section": _section,
    "header": _header,
    "actions": _actions,
}


def _texts(node: Any) -> Iterator[str]:
    """Every text in blocks, depth first, as a person reads it."""
    if isinstance(node, list):
        for child in node:
            yield from _texts(child)
    elif isinstance(node, Mapping):
        words = node.get("text")
        if isinstance(words, str):
            yield shown(words) if node.get("type") == "mrkdwn" else words
        for child in node.values():
            yield from _texts(child)


def visible(blocks: Any) -> str:
    """The text that blocks show, one line per block."""
    return "\n".join(filter(None, map(_shown, blocks)))


def _shown(block: Mapping[str, Any]) -> str:
    return rich_text.lines(block) if block["type"] == "rich_text" else "".join(_texts(block))


def called(blocks: Any) -> Iterator[str]:
    """Whom blocks notify, in Slack's markup and in elements of rich text."""
    for words in _marked(blocks):
        yield from calls(words)
    yield from rich_text.called([block for block in blocks if block["type"] == "rich_text"])


def _marked(node: Any) -> Iterator[str]:
    """Every text in Slack's markup."""
    if isinstance(node, list):
        for child in node:
            yield from _marked(child)
    elif isinstance(node, Mapping):
        if node.get("type") == "mrkdwn" and isinstance(node.get("text"), str):
            yield node["text"]
        for child in node.values():
            yield from _marked(child)
