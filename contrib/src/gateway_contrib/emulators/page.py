"""Makes the page at `GET /`, which shows a person what arrived and what users see right now."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from types import MappingProxyType

from starlette.responses import HTMLResponse, Response

from gateway_contrib.emulators.buttons import Button, Rows
from gateway_contrib.emulators.files.kinds import PICTURES
from gateway_contrib.emulators.files.serving import PAGE_SAFE
from gateway_contrib.emulators.files.store import File
from gateway_contrib.emulators.rooms import Message, Rooms
from gateway_contrib.emulators.screen import Screen, Sight

_REFRESH = '<meta http-equiv="refresh" content="1">'
"""Reloads the page each second, while something on it grows or will disappear by itself."""

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
article { border-left: 3px solid #ccc; margin: .6rem 0; padding-left: .7rem }
article.passing { border-left-style: dashed }
article.streaming { border-left-color: #4a7 }
img { display: block; margin: .3rem 0; max-height: 16rem; max-width: 100% }
kbd { border: 1px solid #999; border-radius: .3rem; font: inherit; padding: 0 .5rem }
pre { font: inherit; margin: 0; overflow-wrap: anywhere; white-space: pre-wrap }
small { color: #666 }
"""


def _article(
    notes: list[str],
    text: str,
    kind: str = "",
    files: tuple[File, ...] = (),
    buttons: Rows = (),
) -> str:
    opening = f'<article class="{kind}">' if kind else "<article>"
    return (
        f"{opening}<small>{escape(', '.join(notes))}</small>"
        f'<pre dir="auto">{escape(text)}</pre>{"".join(map(_file, files))}'
        f"{''.join(map(_row, buttons))}</article>"
    )


def _row(row: tuple[Button, ...]) -> str:
    """The buttons of a row; nobody can press them here, and an address is shown but not opened."""
    shown = "".join(
        f'<kbd title="{escape(b.url or b.value or "")}">{escape(b.text)}</kbd> ' for b in row
    )
    return f"<div>{shown}</div>"


def _file(file: File) -> str:
    """A picture, or the name of another file; an address is shown but not opened."""
    if file.digest is None:
        return f"<small>{escape(file.name)} at {escape(file.url)}</small>"
    where = f"/files/{escape(file.digest)}"
    told = f"{file.name}, {file.media_type or 'unknown type'}, {file.size:,} bytes"
    shown = f'<a href="{where}">{escape(told)}</a>'
    if file.media_type in PICTURES:
        shown = f'<img src="{where}" alt="{escape(file.alt)}" title="{escape(told)}">'
    if file.spoiler:
        return f"<details><summary>spoiler</summary>{shown}</details>"
    return shown


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
    kind = "streaming" if message.streaming else ""
    return _article(notes, message.text, kind, message.files, message.buttons)


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

    screen   what else users see in the rooms now
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


def page_response(
    channel: str, rooms: Rooms, screen: Screen, limited: Mapping[str, int]
) -> Response:
    """The page as an answer, with headers that forbid a browser to run anything in it."""
    return HTMLResponse(rooms_page(channel, rooms, screen, limited), 200, PAGE_SAFE)
