"""Shows what an envelope would become, without sending it. Waits only for a long text's plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import attrs

from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import (
    MESSAGES,
    UPLOAD,
    Call,
    Edit,
    Envelope,
    MessageRef,
    Mode,
    Part,
    Send,
)
from gateway_core.contract.errors import ConfigError, Invalid, Problem
from gateway_core.contract.hookspecs import Limit
from gateway_core.contract.instances import Instance
from gateway_core.contract.validators import name_fault
from gateway_core.deliveries.revisions import fixed_in
from gateway_core.deliveries.step_files import held, left_out
from gateway_core.engine.long_texts import LONG, goes_apart
from gateway_core.files.looking import seen_at_once
from gateway_core.plugins.buttons import as_planned, with_buttons
from gateway_core.plugins.front import ChannelHooks
from gateway_core.plugins.loader import Given, bind
from gateway_core.plugins.plain import plain
from gateway_core.submission.checks import checked, problems_of
from gateway_core.text.reading.letters import letters

NOWHERE: Mapping[str, str] = MappingProxyType({})
"""No room has moved."""


@attrs.frozen(kw_only=True)
class Preview:
    """What would become of an envelope.

    envelope  the envelope that would be sent, as policies change it; `asked`: the original
    problems  why it would be refused; empty: it would be accepted, if there were a slot for it
    parts     the platform messages that a `Send` or an `Edit` becomes, if it could be planned
    limits    every limit that each of its attempts uses
    """

    asked: Envelope
    envelope: Envelope
    problems: tuple[Problem, ...]
    parts: tuple[Part, ...]
    limits: tuple[Limit, ...]


def preview(
    instance: Instance,
    envelope: Envelope,
    *,
    config: GatewayConfig | None = None,
    plugins: Sequence[Given] = (),
) -> Preview:
    """Preview `envelope` on `instance`, without a gateway and without a network.

    Calls `validate`, `chunk` and `rate_limit` as a gateway does, starting with given and installed
    policies. `config` has the bounds and the allowed plugins. Raises `PluginError` if plugins
    cannot be bound, `ConfigError` for a channel that no plugin serves or settings of another
    channel, and `HookContractError` if a hook fails.
    """
    config = config or GatewayConfig()
    hooks = bind(plugins, config.plugins)
    if instance.channel not in hooks:
        served = ", ".join(sorted(hooks)) or "none"
        text = f"no plugin serves channel {instance.channel!r}; served: {served}"
        raise ConfigError([Problem(f"instances.{instance.id}.channel", text)])
    if unfit := hooks[instance.channel].unfit(instance):
        raise ConfigError([Problem(f"instances.{instance.id}.settings", unfit)])
    return foresee(hooks[instance.channel], instance, envelope, config)


def foresee(
    hooks: ChannelHooks,
    instance: Instance,
    asked: Envelope,
    config: GatewayConfig,
    addresses: Mapping[str, str] = NOWHERE,
) -> Preview:
    """Do what `preview` does, with bound hooks.

    addresses  the present addresses of rooms that moved
    """
    asked, envelope, problems = _to_plan(hooks, instance, asked)
    if problems:
        return _unplanned(asked, envelope, problems)
    found = planned(hooks, instance, envelope, config.max_parts)
    return _foreseen(hooks, instance, asked, envelope, found, addresses)


async def foresee_apart(
    hooks: ChannelHooks,
    instance: Instance,
    asked: Envelope,
    config: GatewayConfig,
    addresses: Mapping[str, str] = NOWHERE,
) -> Preview:
    """Do what `foresee` does; a long text is planned in a worker thread, so no other task waits."""
    asked, envelope, problems = _to_plan(hooks, instance, asked)
    if problems:
        return _unplanned(asked, envelope, problems)
    found = await planned_apart(hooks, instance, envelope, config.max_parts)
    return _foreseen(hooks, instance, asked, envelope, found, addresses)


def _to_plan(
    hooks: ChannelHooks, instance: Instance, asked: Envelope
) -> tuple[Envelope, Envelope, list[Problem]]:
    """The envelope as its caller handed it in, the envelope to plan, and the problems."""
    problems = problems_of(asked)
    envelope = asked
    if not problems:
        asked, problems = seen_at_once(plain(asked))
    if not problems:
        try:
            envelope, problems = seen_at_once(accepted_as(hooks, instance, asked))
        except Invalid as error:
            problems = [*error.problems]
    return asked, envelope, problems


def _unplanned(asked: Envelope, envelope: Envelope, problems: Sequence[Problem]) -> Preview:
    known = tuple(problems)
    return Preview(asked=asked, envelope=envelope, problems=known, parts=(), limits=())


def _foreseen(
    hooks: ChannelHooks,
    instance: Instance,
    asked: Envelope,
    envelope: Envelope,
    found: tuple[tuple[Part, ...], list[Problem]],
    addresses: Mapping[str, str],
) -> Preview:
    """The preview, from the plan and the limits of its attempts."""
    parts, problems = found
    room = addresses.get(envelope.external_room_id, envelope.external_room_id)
    thread = envelope.thread_id if hooks.traits.independent_threads else None
    limits = hooks.rate_limit(instance, room, thread, asked_for(envelope), envelope.priority)
    known = tuple(problems)
    return Preview(asked=asked, envelope=envelope, problems=known, parts=parts, limits=limits)


def asked_for(envelope: Envelope) -> str:
    """The operation for which the adapter is asked for limits."""
    uploads = isinstance(envelope, Send) and any(file.url is None for file in envelope.files)
    return UPLOAD if uploads else envelope.operation


def accepted_as(hooks: ChannelHooks, instance: Instance, asked: Envelope) -> Envelope:
    """The envelope to accept, as policies made it; a `Send` has its buttons among its fields.

    Raises as `rewritten` does, and `Invalid` for buttons that the channel does not take.
    """
    envelope = rewritten(hooks, asked) if "rewrite" in hooks.served else asked
    rows = envelope.buttons if isinstance(envelope, MESSAGES) else None
    if rows is None or (rows == () and isinstance(envelope, Send)):
        return envelope
    return with_buttons(hooks, instance, envelope)


def rewritten(hooks: ChannelHooks, asked: Envelope) -> Envelope:
    """The envelope that policies made of an envelope without problems.

    Raises `HookContractError` if a policy fails, and `Invalid` if its envelope cannot be sent.
    """
    envelope = hooks.rewrite(asked)
    if envelope is asked:
        return asked
    room, target = envelope.external_room_id, envelope.target
    if target is None or room == asked.external_room_id:
        return checked(envelope)
    if isinstance(target, MessageRef):
        raise Invalid([moved_away(room, target.external_room_id)])
    if fault := name_fault(room):
        raise Invalid([Problem("external_room_id", fault)])
    own = checked(attrs.evolve(envelope, external_room_id=target.external_room_id))
    return attrs.evolve(own, external_room_id=room)


def moved_away(room: str, of_message: str) -> Problem:
    """The problem of a change that policies move to a room where its message is not."""
    text = f"a policy chose {room!r}, but the message to change is in {of_message!r}"
    return Problem("external_room_id", text)


def _with_held(message: Send | Edit) -> Send | Edit:
    """An edit with the files that its message is known to keep."""
    target = message.target
    if not isinstance(target, MessageRef) or not any(part.files for part in target.parts):
        return message
    return attrs.evolve(message, files=held(target.parts))


def _about_polls(edit: Edit) -> Iterator[Problem]:
    """The problem that no edit can change the message, if it has a fixed part."""
    target = edit.target
    if isinstance(target, MessageRef) and any(part.fixed for part in target.parts):
        fault = fixed_in(target)
        if fault is not None:
            yield Problem("target", fault)


def planned(
    hooks: ChannelHooks,
    instance: Instance,
    envelope: Envelope,
    most: int,
    *,
    chunk: Callable[[Instance, Send | Edit, Mode], tuple[Part, ...]] | None = None,
) -> tuple[tuple[Part, ...], list[Problem]]:
    """The plan of an envelope that passed core's checks, and the channel's problems with it.

    chunk  makes the plan in place of the hooks
    """
    operation = "call" if isinstance(envelope, Call) else envelope.operation
    has_plan = True
    problems: list[Problem] = []
    if isinstance(envelope, Edit):
        has_plan = envelope.buttons is None or not envelope.only_buttons
        if has_plan:
            problems = list(_about_polls(envelope))
            envelope = as_planned(hooks, instance, envelope)
    elif isinstance(envelope, Send) and envelope.poll is not None and not hooks.traits.polls:
        problems = [Problem("poll", f"channel {hooks.channel!r} has no polls")]
    problems += hooks.validate(instance, envelope)
    if not hooks.has(operation):
        text = f"channel {hooks.channel!r} has no {operation}"
        problems = [Problem("operation", text), *problems]
    named = isinstance(envelope, MESSAGES) and type(envelope.mentions) is not bool
    if named and not hooks.traits.mentions_by_id:
        text = f"must be true or false: channel {hooks.channel!r} cannot notify only some people"
        problems = [Problem("mentions", text), *problems]
    if problems or not isinstance(envelope, MESSAGES) or not has_plan:
        return (), problems
    longest = hooks.longest_part
    if (
        longest is not None
        and len(envelope.text) > longest * most
        and (problems := _too_long(envelope, longest, most))
    ):
        return (), problems
    if envelope.files is None:  # an edit keeps the files of its message, if they are known
        envelope = _with_held(envelope)
    plan = (chunk or partial(hooks.chunk, most=most))(instance, envelope, "as_asked")
    return plan, _problems_of_plan(hooks, plan, envelope, most)


def is_long(envelope: Envelope) -> bool:
    """Whether the envelope is to be planned in a worker thread; a short text never is."""
    long = isinstance(envelope, MESSAGES) and len(envelope.text) > LONG
    return long and goes_apart(envelope)


async def planned_apart(
    hooks: ChannelHooks, instance: Instance, envelope: Envelope, most: int
) -> tuple[tuple[Part, ...], list[Problem]]:
    """Do what `planned` does; a long text is planned in a worker thread, so no other task waits."""
    if not is_long(envelope):
        return planned(hooks, instance, envelope, most)
    asked: list[Send | Edit] = []

    def note(_instance: Instance, to_plan: Send | Edit, _mode: Mode) -> tuple[Part, ...]:
        asked.append(to_plan)
        return ()

    plan, problems = planned(hooks, instance, envelope, most, chunk=note)
    for to_plan in asked:
        plan = await hooks.chunk_apart(instance, to_plan, "as_asked", most)
        problems = _problems_of_plan(hooks, plan, to_plan, most)
    return plan, problems


def _too_long(envelope: Send | Edit, longest: int, most: int) -> list[Problem]:
    """The problem of a text whose letters alone need too many parts; empty: it needs fewer."""
    if envelope.format == "native":
        return []
    least = -(-letters(envelope.text, markdown=envelope.format == "markdown") // longest)
    return (
        []
        if least <= most
        else [Problem("text", f"needs at least {least} messages, at most {most} (`max_parts`)")]
    )


def _problems_of_plan(
    hooks: ChannelHooks, plan: Sequence[Part], message: Send | Edit, most: int
) -> list[Problem]:
    if not message.files and len(plan) == 1:  # the common case
        return []
    if not plan:
        return [Problem("text", f"leaves nothing to send on channel {hooks.channel!r}")]
    if len(plan) > most:
        return [Problem("text", f"needs {len(plan)} messages, at most {most} (`max_parts`)")]
    if message.files and (fault := left_out(plan, message)) is not None:
        return [Problem("files", fault)]
    return []
