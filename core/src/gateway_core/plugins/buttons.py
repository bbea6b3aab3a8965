"""Asks a channel for the platform's own fields that show a message's buttons. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from gateway_core.contract.beside.buttons import Rows
from gateway_core.contract.envelopes import Edit, Envelope, Json, MessageRef
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.instances import Instance
from gateway_core.plugins.front import ChannelHooks

_NONE: Mapping[str, Json] = {}


def fields_with(
    hooks: ChannelHooks, instance: Instance, rows: Rows, extra: Mapping[str, Json] | None
) -> Mapping[str, Json]:
    """The platform's own fields of a message that has `extra` and these buttons.

    Without rows: the fields without buttons. Raises `Invalid` for buttons that the channel refuses,
    and `HookContractError` if its hook fails.
    """
    shown = hooks.buttons(instance, rows, _NONE if extra is None else extra)
    if shown is None:
        raise Invalid([Problem("buttons", f"channel {hooks.channel!r} has no buttons")])
    if not isinstance(shown, Mapping):
        raise Invalid(list(shown))
    return shown


def fields_beside(
    hooks: ChannelHooks,
    instance: Instance,
    rows: Rows,
    given: Mapping[str, Json] | None,
    known: Mapping[str, Json] | None = None,
) -> Mapping[str, Json]:
    """Like `fields_with`, beside the fields that the caller gives; else beside the known fields.

    Raises `Invalid` also if the buttons would replace a given field.
    """
    shown = fields_with(hooks, instance, rows, known if given is None else given)
    if problems := [
        Problem(f"extra.{name}", "cannot be given together with `buttons`, which set it: give one")
        for name, value in (given or _NONE).items()
        if not _stays(value, shown.get(name))
    ]:
        raise Invalid(problems)
    return shown


def with_buttons(hooks: ChannelHooks, instance: Instance, envelope: Envelope) -> Envelope:
    """The envelope as it is accepted: a `Send` has its buttons among the platform's own fields.

    An edit keeps its buttons as buttons, since its message's fields are known only when the edit
    starts. Raises like `fields_beside`.
    """
    rows: Rows | None = getattr(envelope, "buttons", None)
    if rows is None or not (rows or isinstance(envelope, Edit)):
        return envelope
    message: Any = envelope
    shown = fields_beside(hooks, instance, rows, message.extra, _known_of(message))
    if isinstance(envelope, Edit):
        return envelope
    changed: Envelope = attrs.evolve(message, extra=shown, buttons=())
    return changed


def as_planned(hooks: ChannelHooks, instance: Instance, edit: Edit) -> Edit:
    """The edit with its buttons among the fields in `extra`, as a channel plans it.

    The other fields of its message are left out. Raises like `fields_with`.
    """
    if edit.buttons is None:
        return edit
    extra = fields_with(hooks, instance, edit.buttons, edit.extra)
    return attrs.evolve(edit, extra=extra, buttons=None)


def _known_of(message: Any) -> Mapping[str, Json] | None:
    """The fields that an edit's message is known to have."""
    return message.target.extra if isinstance(message.target, MessageRef) else None


def _stays(before: Json, after: Json) -> bool:
    """Whether the buttons leave a given field as it is, or only append to its list."""
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return list(after[: len(before)]) == list(before)
    return bool(before == after)
