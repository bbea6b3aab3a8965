"""Serves sendLocation, sendSticker, sendDice, sendPoll and similar methods, and stopPoll.

Source: core.telegram.org/bots/api, the page of each method and of its message's content; the words
of refusals: the Bot API server's Client and tdlib. The value of a dice follows from its message's
id. A game, an invoice, paid media and a checklist have requirements for the account, which are not
checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from gateway_contrib.emulators.telegram.content import Formatted
from gateway_contrib.emulators.telegram.messages.stored import edited, keyboard, own, placed, store
from gateway_contrib.emulators.telegram.refusals import bad_request
from gateway_contrib.emulators.telegram.requests import Parameters
from gateway_contrib.emulators.telegram.world import Bot, Content, World

QUESTION, OPTION = 300, 100
OPTIONS = range(2, 13)
_FACES = {"🎲": 6, "🎯": 6, "🏀": 5, "⚽": 5, "🎳": 6, "🎰": 64}
_SHORTEST_ID = 8
"""Fewest characters of a file's id; a shorter text is certainly no id."""

Shown = dict[str, Any]


@attrs.frozen
class Kind:
    """A method that makes a message of one kind.

    field    the field of the message that has the content
    make     returns the content, and the text that people read; raises `Refusal`
    """

    field: str
    make: Callable[[Parameters], tuple[Shown, str]]


def send(world: World, bot: Bot, parameters: Parameters, kind: Kind) -> Any:
    """Store a message of that kind."""
    shown, words = kind.make(parameters)
    place = placed(world, parameters)
    world.admit(bot, place.chat)
    content = Content(bot.id, keyboard=keyboard(parameters), other={kind.field: shown})
    message = store(world, place, Formatted(words), content, parameters)
    fallen = _fallen(content.other or {}, int(message.id))
    place.chat.contents[message.id] = attrs.evolve(content, other=fallen)
    return world.shown(place.chat, message)


def stop_poll(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Close a poll; returns the poll as it ended."""
    chat, message = own(world, bot, parameters)
    content = chat.contents[message.id]
    poll = (content.other or {}).get("poll")
    if poll is None:
        raise bad_request("message with poll to stop not found")
    if poll["is_closed"]:
        raise bad_request("poll has already been closed")
    closed = {**poll, "is_closed": True}
    changed = attrs.evolve(content, keyboard=keyboard(parameters), other={"poll": closed})
    edited(world, chat, message, message.text, changed)
    return closed


def _fallen(other: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Add what follows from the stored message's id: a poll's id, and the value of a dice."""
    shown = {name: dict(value) for name, value in other.items()}
    if "dice" in shown:
        shown["dice"]["value"] = 1 + number % _FACES[shown["dice"]["emoji"]]
    if "poll" in shown:
        shown["poll"]["id"] = str(5_000_000_000_000_000 + number)
    return shown


def _place(parameters: Parameters) -> Shown:
    found: Shown = {}
    for name, most in (("latitude", 90), ("longitude", 180)):
        try:
            found[name] = float(parameters.values[name])
        except (KeyError, TypeError, ValueError):
            raise bad_request(f"{name} is empty") from None
        if abs(found[name]) > most:
            raise bad_request(f"wrong {name} specified")
    return found


def _needed(parameters: Parameters, *names: str) -> Shown:
    for name in names:
        if not parameters.text(name):
            raise bad_request(f'parameter "{name}" is required')
    return {name: parameters.text(name) for name in names}


def _given(parameters: Parameters, *names: str) -> Shown:
    return {name: parameters.values[name] for name in names if name in parameters.values}


def _location(parameters: Parameters) -> tuple[Shown, str]:
    place = _place(parameters)
    more = _given(parameters, "horizontal_accuracy", "live_period", "heading")
    return {**place, **more}, f"{place['latitude']:g}, {place['longitude']:g}"


def _venue(parameters: Parameters) -> tuple[Shown, str]:
    said = _needed(parameters, "title", "address")
    return {"location": _place(parameters), **said}, f"{said['title']}, {said['address']}"


def _contact(parameters: Parameters) -> tuple[Shown, str]:
    said = _needed(parameters, "phone_number", "first_name")
    more = _given(parameters, "last_name", "vcard")
    return {**said, **more}, f"{said['first_name']} {said['phone_number']}"


def _dice(parameters: Parameters) -> tuple[Shown, str]:
    emoji = parameters.text("emoji") or "🎲"
    if emoji not in _FACES:
        raise bad_request("dice emoji is invalid")
    return {"emoji": emoji}, emoji


def _file(parameters: Parameters, name: str, more: Shown) -> Shown:
    number = parameters.text(name)
    if not number:
        raise bad_request(f"there is no {name} in the request")
    if len(number) < _SHORTEST_ID:
        raise bad_request("wrong file identifier/HTTP URL specified")
    return {"file_id": number, "file_unique_id": number[:_SHORTEST_ID], **more}


def _sticker(parameters: Parameters) -> tuple[Shown, str]:
    look = {"type": "regular", "is_animated": False, "is_video": False}
    shown = _file(parameters, "sticker", {**look, "width": 512, "height": 512})
    return {**shown, **_given(parameters, "emoji")}, parameters.text("emoji") or "a sticker"


def _video_note(parameters: Parameters) -> tuple[Shown, str]:
    return _file(parameters, "video_note", {"length": 240, "duration": 1}), "a video note"


def _live_photo(parameters: Parameters) -> tuple[Shown, str]:
    look = {"width": 512, "height": 512, "duration": 1}
    _file(parameters, "photo", {})
    return _file(parameters, "live_photo", look), parameters.text("caption") or "a live photo"


def _paid_media(parameters: Parameters) -> tuple[Shown, str]:
    stars = parameters.integer("star_count")
    media = parameters.structure("media", list, "media JSON object")
    if stars <= 0 or not media:
        raise bad_request("paid media must have a price and files")
    preview = [{"type": "preview"} for _ in media]
    return {"star_count": stars, "paid_media": preview}, parameters.text("caption") or "paid media"


def _game(parameters: Parameters) -> tuple[Shown, str]:
    name = _needed(parameters, "game_short_name")["game_short_name"]
    return {"title": name, "description": name, "photo": []}, name


def _invoice(parameters: Parameters) -> tuple[Shown, str]:
    said = _needed(parameters, "title", "description", "payload", "currency")
    prices = parameters.structure("prices", list, "prices JSON object")
    if not prices:
        raise bad_request("prices must be non-empty")
    shown = {name: said[name] for name in ("title", "description", "currency")}
    return {**shown, "start_parameter": "", "total_amount": sum(map(_amount, prices))}, said[
        "title"
    ]


def _amount(price: Any) -> int:
    amount = price.get("amount") if isinstance(price, dict) else None
    if not isinstance(amount, int):
        raise bad_request("can't parse labeled price: amount must be of type Integer")
    return amount


def _checklist(parameters: Parameters) -> tuple[Shown, str]:
    if not parameters.text("business_connection_id"):
        raise bad_request("business connection not found")
    asked = parameters.structure("checklist", dict, "checklist JSON object")
    if not asked or not asked.get("title") or not asked.get("tasks"):
        raise bad_request("checklist must have a title and tasks")
    return dict(asked), str(asked["title"])


def _rich_message(parameters: Parameters) -> tuple[Shown, str]:
    asked = parameters.structure("rich_message", dict, "rich message JSON object") or {}
    words, blocks = asked.get("markdown") or asked.get("html"), asked.get("blocks") or []
    if not isinstance(blocks, list):
        raise bad_request("can't parse rich message: blocks must be of type Array")
    if not words and not blocks:
        raise bad_request("rich message must be non-empty")
    return {"blocks": blocks}, str(words or "")


def _poll(parameters: Parameters) -> tuple[Shown, str]:
    question = parameters.text("question").strip()
    options = [_option(each) for each in parameters.structure("options", list, "options") or ()]
    if not question:
        raise bad_request("poll question must be non-empty")
    if len(question) > QUESTION:
        raise bad_request(f"poll question length must not exceed {QUESTION}")
    if len(options) < OPTIONS.start:
        raise bad_request(f"poll must have at least {OPTIONS.start} option")
    if len(options) not in OPTIONS:
        raise bad_request(f"poll can't have more than {OPTIONS.stop - 1} options")
    kind = parameters.text("type") or "regular"
    shown = {
        "id": "",
        "question": question,
        "options": [
            {"persistent_id": str(place), "text": option, "voter_count": 0}
            for place, option in enumerate(options)
        ],
        "total_voter_count": 0,
        "is_closed": parameters.flag("is_closed"),
        "is_anonymous": _flag(parameters, "is_anonymous", default=True),
        "type": kind,
        "allows_multiple_answers": parameters.flag("allows_multiple_answers"),
        "allows_revoting": _flag(parameters, "allows_revoting", default=kind != "quiz"),
        "members_only": parameters.flag("members_only"),
        **_given(parameters, "open_period"),
    }
    return shown, "\n".join([question, *(f"○ {option}" for option in options)])


def _flag(parameters: Parameters, name: str, *, default: bool) -> bool:
    return parameters.flag(name) if name in parameters.values else default


def _option(posted: Any) -> str:
    """An option of a poll; the older form is the option's text alone."""
    text = str(posted.get("text") or "") if isinstance(posted, dict) else str(posted)
    if not text.strip():
        raise bad_request("poll options must be non-empty")
    if len(text) > OPTION:
        raise bad_request(f"poll options length must not exceed {OPTION}")
    return text


KINDS: Mapping[str, Kind] = {
    "sendlocation": Kind("location", _location),
    "sendvenue": Kind("venue", _venue),
    "sendcontact": Kind("contact", _contact),
    "senddice": Kind("dice", _dice),
    "sendsticker": Kind("sticker", _sticker),
    "sendvideonote": Kind("video_note", _video_note),
    "sendlivephoto": Kind("live_photo", _live_photo),
    "sendpaidmedia": Kind("paid_media", _paid_media),
    "sendgame": Kind("game", _game),
    "sendinvoice": Kind("invoice", _invoice),
    "sendchecklist": Kind("checklist", _checklist),
    "sendrichmessage": Kind("rich_message", _rich_message),
    "sendpoll": Kind("poll", _poll),
}
"""The kinds by the method's name in lower case."""
