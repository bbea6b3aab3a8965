"""The page at `GET /` on which a person looks at what arrived, and at what is seen right now."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from types import MappingProxyType

from gateway_contrib.emulators.rooms import Message, Rooms
from gateway_contrib.emulators.screen import Screen, Sight

_REFRESH = '<meta http-equiv="refresh" content="1">'
"""As long as something grows or goes by itself, the page is read anew each second."""

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
article { border-left: 3px solid #ccc; margin: .6rem 0; padding-left: .7rem }
article.passing { border-left-style: dashed }
article.streaming { border-left-color: #4a7 }
pre { font: inherit; margin: 0; overflow-wrap: anywhere; white-space: pre-wrap }
small { color: #666 }
"""


def _article(notes: list[str], text: str, kind: str = "") -> str:
    opening = f'<article class="{kind}">' if kind else "<article>"
    return (
        f"{opening}<small>{escape(', '.join(notes))}</small>"
        f'<pre dir="auto">{escape(text)}</pre></article>'
    )


def _message(message: Message) -> str:
    notes = [f"id {message.id}"]
    if message.user is not None:
        notes.append(f"from {message.user}")
    if message.thread is not None:
        notes.append(f"thread {message.thread}")
    if message.reply_to is not None:
        notes.append(f"answers {message.reply_to}")
    if message.streaming_until is not None:
        notes.append("streaming" if message.streaming else "streamed")
    if message.revisions:
        count = len(message.revisions)
        notes.append("edited" if count == 1 else f"edited {count} times")
    return _article(notes, message.text, "streaming" if message.streaming else "")


def _passing(sight: Sight) -> str:
    notes = [sight.what]
    if sight.thread is not None:
        notes.append(f"thread {sight.thread}")
    if sight.user is not None:
        notes.append(f"only {sight.user} sees it")
    return _article(notes, sight.text, "passing")


def _room(name: str, rooms: Rooms, seen: list[Sight]) -> str:
    messages = rooms.conversation(name)
    return (
        f"<details open><summary>{escape(name)} ({len(messages)})</summary>"
        f"{''.join(map(_message, messages))}{''.join(map(_passing, seen))}</details>"
    )


def _limited(limited: Mapping[str, int]) -> str:
    if not limited:
        return ""
    rows = "".join(f"<li>{escape(route)}: {count}</li>" for route, count in limited.items())
    return f"<details><summary>429s ({sum(limited.values())})</summary><ul>{rows}</ul></details>"


def rooms_page(
    channel: str,
    rooms: Rooms,
    screen: Screen | None = None,
    limited: Mapping[str, int] = MappingProxyType({}),
) -> str:
    """The rooms of an emulator and their conversations, as plain HTML without scripts.

    screen   what else is seen in them now
    limited  how many 429s the limits gave, by route
    """
    title = f"{escape(channel)} emulator"
    seen = screen.now() if screen else []
    names = dict.fromkeys([*rooms.names(), *(sight.room for sight in seen)])
    listed = "".join(_room(name, rooms, [s for s in seen if s.room == name]) for name in names)
    growing = any(m.streaming for name in rooms.names() for m in rooms.conversation(name))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f"{_REFRESH if growing or seen else ''}<title>{title}</title>"
        f"<style>{_STYLE}</style><h1>{title}</h1>"
        f"{listed or '<p>Nothing arrived yet.</p>'}{_limited(limited)}</html>"
    )
