"""Checks and shows polls of messages as Discord does.

Source: discord.com/developers/docs/resources/poll.
"""

from __future__ import annotations

from typing import Any

from gateway_contrib.emulators.discord.refusals import form

QUESTION, ANSWER = 300, 55
ANSWERS = range(1, 11)
HOURS = range(1, 32 * 24 + 1)
USUAL_HOURS = 24


def check_poll(poll: Any, prefix: str) -> None:
    """Refuse a value that is not a poll, and a poll that is too long."""
    if not isinstance(poll, dict):
        raise form(f"{prefix}poll", "MODEL_TYPE_CONVERT", "Only dictionaries may be used.")
    _check_text(poll.get("question"), QUESTION, f"{prefix}poll.question.text")
    answers = poll.get("answers")
    if not isinstance(answers, list) or len(answers) not in ANSWERS:
        words = f"Must be between {ANSWERS.start} and {ANSWERS.stop - 1} in length."
        raise form(f"{prefix}poll.answers", "BASE_TYPE_BAD_LENGTH", words)
    for number, answer in enumerate(answers):
        media = answer.get("poll_media") if isinstance(answer, dict) else None
        _check_text(media, ANSWER, f"{prefix}poll.answers.{number}.poll_media.text")
    hours = poll.get("duration")
    if hours is not None and hours not in HOURS:
        words = f"int value should be between {HOURS.start} and {HOURS.stop - 1}."
        raise form(f"{prefix}poll.duration", "NUMBER_TYPE_MAX", words)


def poll_wire(poll: dict[str, Any], ends: str) -> dict[str, Any]:
    """The poll as a message shows it."""
    answers = [{**answer, "answer_id": n} for n, answer in enumerate(poll["answers"], start=1)]
    return {
        "question": poll["question"],
        "answers": answers,
        "expiry": ends,
        "allow_multiselect": bool(poll.get("allow_multiselect")),
        "layout_type": poll.get("layout_type") or 1,
        "results": {"is_finalized": False, "answer_counts": []},
    }


def _check_text(media: Any, most: int, place: str) -> None:
    text = media.get("text") if isinstance(media, dict) else None
    if not isinstance(text, str) or not 1 <= len(text) <= most:
        words = f"Must be between 1 and {most} in length."
        raise form(place, "BASE_TYPE_BAD_LENGTH", words)
