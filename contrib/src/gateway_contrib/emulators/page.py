"""The page at `GET /` on which a person looks at what arrived."""

from __future__ import annotations

from html import escape

from gateway_contrib.emulators.rooms import Message, Rooms

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
article { border-left: 3px solid #ccc; margin: .6rem 0; padding-left: .7rem }
pre { font: inherit; margin: 0; overflow-wrap: anywhere; white-space: pre-wrap }
small { color: #666 }
"""


def _message(message: Message) -> str:
    notes = [f"id {message.id}"]
    if message.thread is not None:
        notes.append(f"thread {message.thread}")
    if message.reply_to is not None:
        notes.append(f"answers {message.reply_to}")
    if message.revisions:
        count = len(message.revisions)
        notes.append("edited" if count == 1 else f"edited {count} times")
    return (
        f"<article><small>{escape(', '.join(notes))}</small>"
        f'<pre dir="auto">{escape(message.text)}</pre></article>'
    )


def _room(name: str, rooms: Rooms) -> str:
    messages = rooms.conversation(name)
    return (
        f"<details open><summary>{escape(name)} ({len(messages)})</summary>"
        f"{''.join(map(_message, messages))}</details>"
    )


def rooms_page(channel: str, rooms: Rooms) -> str:
    """The rooms of an emulator and their conversations, as plain HTML without scripts."""
    title = f"{escape(channel)} emulator"
    listed = "".join(_room(name, rooms) for name in rooms.names()) or "<p>Nothing arrived yet.</p>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1>{listed}</html>"
    )
