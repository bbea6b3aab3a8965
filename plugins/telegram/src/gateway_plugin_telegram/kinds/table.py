"""Lists the kinds of messages with a method of their own, by their names in `extra`. Sans-I/O.

Under the kind's name, `extra` has a table of the method's own fields: `extra={"location":
{"latitude": 52.5, "longitude": 13.4}}`. If the kind has a main field, `extra` may have that field's
text alone: `extra={"sticker": "CAAC…"}`. Source: core.telegram.org/bots/api, each method's own
table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


FORMS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "text": ("a text", lambda value: isinstance(value, str) and value.strip() != ""),
    "number": ("a number", _is_number),
    "latitude": ("a number from -90 to 90", lambda v: _is_number(v) and abs(v) <= 90),  # noqa: PLR2004 - degrees
    "longitude": ("a number from -180 to 180", lambda v: _is_number(v) and abs(v) <= 180),  # noqa: PLR2004 - likewise
    "whole": ("a whole number", _is_whole),
    "flag": ("true or false", lambda value: isinstance(value, bool)),
    "list": ("a list that is not empty", lambda v: isinstance(v, list | tuple) and bool(v)),
    "table": ("a table", lambda value: isinstance(value, Mapping)),
}
"""What a field's value must be: in words, and as a check of a value."""


@attrs.frozen
class Kind:
    """A kind of message.

    name    as `extra` names it
    method  the method that sends it
    fields  the method's own fields, each with its form
    needed  the fields that are required
    main    the field that a text alone stands for; None: there is none
    lacks   fields of other messages that the method does not take
    """

    name: str
    method: str
    fields: Mapping[str, str]
    needed: frozenset[str]
    main: str | None = None
    lacks: frozenset[str] = frozenset()

    def given(self, value: object) -> object:
        """The fields; a text alone becomes the main field."""
        return {self.main: value} if self.main is not None and isinstance(value, str) else value


def _kind(name: str, method: str, spec: str, *, main: str | None = None, lacks: str = "") -> Kind:
    """Make a kind; `spec` has each field with its form, and a required field ends in a star."""
    pairs = [word.split(":") for word in spec.split()]
    return Kind(
        name,
        method,
        {field.rstrip("*"): form for field, form in pairs},
        frozenset(field.rstrip("*") for field, _ in pairs if field.endswith("*")),
        main,
        frozenset(lacks.split()),
    )


_PLACE = "latitude*:latitude longitude*:longitude"
_DIRECT = "direct_messages_topic_id suggested_post_parameters"
_POLL = """
    question*:text question_entities:list options*:list is_anonymous:flag type:text
    allows_multiple_answers:flag allows_revoting:flag shuffle_options:flag
    allow_adding_options:flag hide_results_until_closes:flag members_only:flag country_codes:list
    correct_option_ids:list explanation:text explanation_entities:list explanation_media:table
    open_period:whole close_date:whole is_closed:flag description:text description_entities:list
    media:table question_parse_mode:text explanation_parse_mode:text description_parse_mode:text
"""
_INVOICE = """
    title*:text description*:text payload*:text currency*:text prices*:list provider_token:text
    max_tip_amount:whole suggested_tip_amounts:list start_parameter:text provider_data:text
    photo_url:text photo_size:whole photo_width:whole photo_height:whole need_name:flag
    need_phone_number:flag need_email:flag need_shipping_address:flag
    send_phone_number_to_provider:flag send_email_to_provider:flag is_flexible:flag
"""

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        _kind(
            "location",
            "sendLocation",
            f"{_PLACE} horizontal_accuracy:number live_period:whole heading:whole"
            " proximity_alert_radius:whole",
        ),
        _kind(
            "venue",
            "sendVenue",
            f"{_PLACE} title*:text address*:text foursquare_id:text foursquare_type:text"
            " google_place_id:text google_place_type:text",
        ),
        _kind(
            "contact",
            "sendContact",
            "phone_number*:text first_name*:text last_name:text vcard:text",
        ),
        _kind("dice", "sendDice", "emoji:text", main="emoji"),
        _kind("sticker", "sendSticker", "sticker*:text emoji:text", main="sticker"),
        _kind(
            "video_note",
            "sendVideoNote",
            "video_note*:text duration:whole length:whole",
            main="video_note",
        ),
        _kind(
            "live_photo",
            "sendLivePhoto",
            "live_photo*:text photo*:text caption:text caption_entities:list parse_mode:text"
            " show_caption_above_media:flag has_spoiler:flag",
        ),
        _kind(
            "paid_media",
            "sendPaidMedia",
            "star_count*:whole media*:list payload:text caption:text caption_entities:list"
            " parse_mode:text show_caption_above_media:flag",
            lacks="message_effect_id",
        ),
        _kind("game", "sendGame", "game_short_name*:text", main="game_short_name", lacks=_DIRECT),
        _kind("invoice", "sendInvoice", _INVOICE, lacks="business_connection_id"),
        _kind(
            "checklist",
            "sendChecklist",
            "title*:text tasks*:list parse_mode:text title_entities:list"
            " others_can_add_tasks:flag others_can_mark_tasks_as_done:flag",
            lacks=f"allow_paid_broadcast {_DIRECT}",
        ),
        _kind(
            "rich_message",
            "sendRichMessage",
            "html:text markdown:text blocks:list media:list is_rtl:flag skip_entity_detection:flag",
        ),
        _kind("poll", "sendPoll", _POLL, lacks=_DIRECT),
    )
}
"""Every kind, by name. A message can have only one of them."""

NESTED = frozenset({"checklist", "rich_message"})
"""Kinds whose method takes all their fields inside one field, which has the kind's name."""

UNTHREADED = frozenset({"checklist"})
"""Kinds whose method takes no topic."""


def fields_of_own(kind: Kind) -> frozenset[str]:
    """The names of the fields that the method takes for this kind."""
    return frozenset({kind.name} if kind.name in NESTED else kind.fields)


def kinds_in(extra: Mapping[str, object] | None) -> list[Kind]:
    """The kinds that `extra` names."""
    return [KINDS[name] for name in extra or () if name in KINDS]
